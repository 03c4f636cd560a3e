"""Adamax."""

from __future__ import annotations

import tiny_torch as torch

from .adam import _check_betas
from .optimizer import Optimizer, _check_lr, _check_option, _closure_loss, _number, _zeros

__all__ = ["Adamax"]


class Adamax(Optimizer):
    """Adam with the largest recent gradient in place of the root mean square (Kingma and Ba, 2014)."""

    _host_keys = ("step",)

    def __init__(
        self, params, lr=2e-3, betas=(0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
        foreach: bool | None = None, *, maximize: bool = False, differentiable: bool = False, capturable: bool = False,
    ) -> None:  # fmt: skip
        _check_lr(lr)
        _check_option(eps, eps >= 0.0, "epsilon value")
        _check_betas(betas)
        _check_option(weight_decay, weight_decay >= 0.0, "weight_decay value")
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def step(self, closure=None):
        """One update; returns the closure's loss."""
        loss = _closure_loss(closure)
        all_state = self._begin_step()
        with torch.no_grad():
            for group in self.param_groups:
                lr, eps, decay = _number(group["lr"]), group["eps"], group["weight_decay"]
                beta1, beta2 = group["betas"]
                for p in group["params"]:
                    grad = p.grad
                    if grad is None:
                        continue
                    state = all_state[p]
                    if not state:
                        state["step"] = self._scalar(0)
                        state["exp_avg"] = _zeros(p)
                        state["exp_inf"] = _zeros(p)
                    host = self._scalars(p, state)
                    step = host["step"] = host["step"] + 1
                    if group["maximize"]:
                        grad = -grad
                    if decay != 0:
                        grad = grad.add(p, alpha=decay)
                    exp_avg, exp_inf = state["exp_avg"], state["exp_inf"]
                    exp_avg.lerp_(grad, 1 - beta1)
                    exp_inf.copy_(torch.maximum(exp_inf.mul_(beta2), grad.abs().add_(eps)))
                    p.addcdiv_(exp_avg, exp_inf, value=-(lr / (1 - beta1**step)))
        return loss
