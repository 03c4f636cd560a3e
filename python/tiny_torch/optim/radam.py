"""RAdam."""

from __future__ import annotations

import tiny_torch as torch

from .adam import _check_betas
from .optimizer import Optimizer, _check_lr, _check_option, _closure_loss, _number, _zeros

__all__ = ["RAdam"]


class RAdam(Optimizer):
    """Adam that scales by the second moment only once its variance is tractable (Liu et al., 2019)."""

    _host_keys = ("step",)

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
        decoupled_weight_decay: bool = False, *, foreach: bool | None = None, maximize: bool = False,
        capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        _check_lr(lr)
        _check_option(eps, eps >= 0.0, "epsilon value")
        _check_betas(betas)
        _check_option(weight_decay, weight_decay >= 0.0, "weight_decay value")
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
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
                # The length of the second moment's average as the steps go to infinity.
                longest = 2 / (1 - beta2) - 1
                for p in group["params"]:
                    grad = p.grad
                    if grad is None:
                        continue
                    state = all_state[p]
                    if not state:
                        state["step"] = self._scalar(0)
                        state["exp_avg"] = _zeros(p)
                        state["exp_avg_sq"] = _zeros(p)
                    host = self._scalars(p, state)
                    step = host["step"] = host["step"] + 1
                    if group["maximize"]:
                        grad = -grad
                    if decay != 0:
                        if group["decoupled_weight_decay"]:
                            p.mul_(1 - lr * decay)
                        else:
                            grad = grad.add(p, alpha=decay)
                    exp_avg, exp_avg_sq = state["exp_avg"], state["exp_avg_sq"]
                    exp_avg.lerp_(grad, 1 - beta1)
                    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                    correction2 = 1 - beta2**step
                    length = longest - 2 * step * (beta2**step) / correction2
                    update = (exp_avg / (1 - beta1**step)) * lr
                    if length > 5.0:
                        adaptive = (correction2**0.5) / exp_avg_sq.sqrt().add_(eps)
                        rectify = (
                            (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
                        ) ** 0.5
                        update = update * adaptive * rectify
                    p.add_(update, alpha=-1.0)
        return loss
