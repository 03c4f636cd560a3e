"""Adadelta."""

from __future__ import annotations

import tiny_torch as torch

from .optimizer import Optimizer, _check_lr, _check_option, _closure_loss, _number, _zeros

__all__ = ["Adadelta"]


class Adadelta(Optimizer):
    """Steps whose scale follows the size of past steps (Zeiler, 2012)."""

    _host_keys = ("step",)
    _uses_step = False

    def __init__(
        self, params, lr=1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0,
        foreach: bool | None = None, *, capturable: bool = False, maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        _check_lr(lr)
        _check_option(rho, 0.0 <= rho <= 1.0, "rho value")
        _check_option(eps, eps >= 0.0, "epsilon value")
        _check_option(weight_decay, weight_decay >= 0.0, "weight_decay value")
        defaults = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def step(self, closure=None):
        """One update; returns the closure's loss."""
        loss = _closure_loss(closure)
        all_state = self._begin_step()
        with torch.no_grad():
            for group in self.param_groups:
                rate, rho, eps, decay = -_number(group["lr"]), group["rho"], group["eps"], group["weight_decay"]
                for p in group["params"]:
                    grad = p.grad
                    if grad is None:
                        continue
                    state = all_state[p]
                    if not state:
                        state["step"] = self._scalar(0)
                        state["square_avg"] = _zeros(p)
                        state["acc_delta"] = _zeros(p)
                    self._scalars(p, state)["step"] += 1
                    if group.get("maximize"):
                        grad = -grad
                    if decay != 0:
                        grad = grad.add(p, alpha=decay)
                    square_avg, acc_delta = state["square_avg"], state["acc_delta"]
                    square_avg.mul_(rho).addcmul_(grad, grad, value=1 - rho)
                    std = square_avg.add(eps).sqrt_()
                    delta = acc_delta.add(eps).sqrt_().div_(std).mul_(grad)
                    acc_delta.mul_(rho).addcmul_(delta, delta, value=1 - rho)
                    p.add_(delta, alpha=rate)
        return loss
