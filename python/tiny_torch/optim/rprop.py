"""Resilient backpropagation."""

from __future__ import annotations

import tiny_torch as torch

from .optimizer import Optimizer, _check_lr, _closure_loss, _zeros

__all__ = ["Rprop"]


class Rprop(Optimizer):
    """Steps by the gradient's sign, longer while it stays and shorter when it turns (Riedmiller and Braun, 1993)."""

    _host_keys = ("step",)
    _uses_step = False

    def __init__(
        self, params, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50), *, capturable: bool = False,
        foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        _check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def step(self, closure=None):
        """One update; returns the closure's loss."""
        loss = _closure_loss(closure)
        all_state = self._begin_step()
        with torch.no_grad():
            for group in self.param_groups:
                shorter, longer = group["etas"]
                smallest, largest = group["step_sizes"]
                for p in group["params"]:
                    grad = p.grad
                    if grad is None:
                        continue
                    state = all_state[p]
                    if not state:
                        state["step"] = self._scalar(0)
                        state["prev"] = _zeros(p)
                        state["step_size"] = torch.full_like(grad, float(group["lr"]))
                    self._scalars(p, state)["step"] += 1
                    if group["maximize"]:
                        grad = -grad
                    prev, step_size = state["prev"], state["step_size"]
                    turn = grad * prev
                    factor = torch.where(turn > 0, longer, torch.where(turn < 0, shorter, 1.0)).to(p.dtype)
                    step_size.mul_(factor).clamp_(smallest, largest)
                    # Where the sign turned, this step is left out.
                    grad = torch.where(turn < 0, torch.zeros_like(grad), grad)
                    p.addcmul_(grad.sign(), step_size, value=-1)
                    prev.copy_(grad)
        return loss
