"""The backward hooks of modules."""

from __future__ import annotations

import tiny_torch as torch
from tiny_torch.utils.hooks import RemovableHandle

__all__ = ["BackwardHook", "RemovableHandle"]


_tap = None


def _tap_class():
    """An identity on the tape that shows its gradients to a callback; made on first use."""
    global _tap
    if _tap is None:

        class Tap(torch.autograd.Function):
            @staticmethod
            def forward(ctx, callback, *tensors):
                ctx.callback = callback
                ctx.mark_non_differentiable(*[t for t in tensors if not t.requires_grad])
                return tensors[0].view_as(tensors[0]) if len(tensors) == 1 else tuple(t.view_as(t) for t in tensors)

            @staticmethod
            def backward(ctx, *grads):
                return (None, *ctx.callback(grads))

        _tap = Tap
    return _tap


class BackwardHook:
    """Runs the full backward hooks of one call of a module.

    The call's inputs and outputs pass through identities. The outputs' identity learns `grad_output` (and lets the
    pre-hooks replace it), the inputs' identity learns `grad_input` and lets the hooks replace that.
    """

    def __init__(self, module, user_hooks, user_pre_hooks):
        self.module = module
        self.user_hooks = user_hooks
        self.user_pre_hooks = user_pre_hooks
        self.grad_outputs = None
        self.n_inputs = -1
        self.input_places = None

    def _tapped(self, args, callback):
        """`args` with its tensors sent through one identity, and their places, or None where none needs a gradient."""
        places = [i for i, a in enumerate(args) if isinstance(a, torch.Tensor)]
        tensors = [args[i] for i in places]
        if not (torch.is_grad_enabled() and any(t.requires_grad for t in tensors)):
            return args, None
        out = _tap_class().apply(lambda grads: callback(places, grads), *tensors)
        out = (out,) if isinstance(out, torch.Tensor) else out
        args = list(args)
        for i, t in zip(places, out):
            args[i] = t
        return tuple(args), places

    def _replaced(self, where, current, new):
        if not isinstance(new, tuple):
            new = (new,)
        if len(new) != len(current):
            raise RuntimeError(
                f"Backward hook returned an invalid number of {where}, got {len(new)}, but expected {len(current)}"
            )
        return new

    def _at_input(self, places, grads):
        if self.grad_outputs is None:
            # Backward was run up to the inputs without reaching the outputs: there is nothing to report.
            return grads
        full = [None] * self.n_inputs
        for i, g in zip(places, grads):
            full[i] = g
        full = tuple(full)
        for hook in self.user_hooks:
            out = hook(self.module, full, self.grad_outputs)
            if out is not None:
                full = self._replaced("grad_input", full, out)
        self.grad_outputs = None
        return tuple(full[i] for i in places)

    def _at_output(self, n_outputs, places, grads):
        full = [None] * n_outputs
        for i, g in zip(places, grads):
            full[i] = g
        full = tuple(full)
        for hook in self.user_pre_hooks:
            out = hook(self.module, full)
            if out is not None:
                full = self._replaced("grad_output", full, out)
        self.grad_outputs = full
        if self.input_places is None:
            # No input needs a gradient, so this is the last point of the call that backward reaches.
            for hook in self.user_hooks:
                out = hook(self.module, (None,) * max(self.n_inputs, 0), full)
                if out is not None and not (isinstance(out, tuple) and all(g is None for g in out)):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always return None or None "
                        "for all gradients."
                    )
            self.grad_outputs = None
        return tuple(full[i] for i in places)

    def setup_input_hook(self, args):
        self.n_inputs = len(args)
        args, self.input_places = self._tapped(args, self._at_input)
        return args

    def setup_output_hook(self, result):
        single = not isinstance(result, tuple)
        args = (result,) if single else result
        n = len(args)
        args, _ = self._tapped(args, lambda places, grads: self._at_output(n, places, grads))
        return args[0] if single else args
