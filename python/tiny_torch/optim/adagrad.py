"""Adagrad."""

from __future__ import annotations

import tiny_torch as torch

from .optimizer import Optimizer, _check_lr, _check_option, _closure_loss, _compute, _number

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Steps scaled by the root of the sum of all squared gradients (Duchi et al., 2011)."""

    _host_keys = ("step",)

    def __init__(
        self, params, lr=1e-2, lr_decay: float = 0, weight_decay: float = 0, initial_accumulator_value: float = 0,
        eps: float = 1e-10, foreach: bool | None = None, *, maximize: bool = False, differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:  # fmt: skip
        _check_lr(lr)
        _check_option(lr_decay, lr_decay >= 0.0, "lr_decay value")
        _check_option(weight_decay, weight_decay >= 0.0, "weight_decay value")
        _check_option(initial_accumulator_value, initial_accumulator_value >= 0.0, "initial_accumulator_value value")
        _check_option(eps, eps >= 0.0, "epsilon value")
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)
        # Unlike the others it makes its state at once.
        for group in self.param_groups:
            for p in group["params"]:
                state = self._state[p]
                state["step"] = self._scalar(0)
                state["sum"] = torch.full_like(p, initial_accumulator_value, memory_format=torch.preserve_format)
        _compute([state["sum"] for state in self._state.values()])

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            for key, value in (("foreach", None), ("maximize", False), ("differentiable", False), ("fused", None)):
                group.setdefault(key, value)

    def share_memory(self) -> None:
        """Moves the state to shared memory."""
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["sum"].share_memory_()

    def step(self, closure=None):
        """One update; returns the closure's loss."""
        loss = _closure_loss(closure)
        all_state = self._begin_step()
        with torch.no_grad():
            for group in self.param_groups:
                lr, decay, eps = _number(group["lr"]), group["weight_decay"], group["eps"]
                for p in group["params"]:
                    grad = p.grad
                    if grad is None:
                        continue
                    state = all_state[p]
                    host = self._scalars(p, state)
                    step = host["step"] = host["step"] + 1
                    if group["maximize"]:
                        grad = -grad
                    if decay != 0:
                        grad = grad.add(p, alpha=decay)
                    rate = lr / (1 + (step - 1) * group["lr_decay"])
                    total = state["sum"]
                    total.addcmul_(grad, grad, value=1)
                    p.addcdiv_(grad, total.sqrt().add_(eps), value=-rate)
        return loss
