"""NAdam."""

from __future__ import annotations

import struct

import tiny_torch as torch

from .adam import _check_betas
from .optimizer import Optimizer, _check_lr, _check_option, _closure_loss, _number, _zeros

__all__ = ["NAdam"]


def _f32(x: float) -> float:
    """Rounded to float32, the precision in which PyTorch keeps the product of momenta."""
    return struct.unpack("f", struct.pack("f", x))[0]


class NAdam(Optimizer):
    """Adam with Nesterov momentum (Dozat, 2016)."""

    _host_keys = ("step", "mu_product")

    def __init__(
        self, params, lr=2e-3, betas=(0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
        momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
        maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        _check_lr(lr)
        _check_option(eps, eps >= 0.0, "epsilon value")
        _check_betas(betas)
        _check_option(weight_decay, weight_decay >= 0.0, "weight_decay value")
        _check_option(momentum_decay, momentum_decay >= 0.0, "momentum_decay value")
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable,
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
                fading = group["momentum_decay"]
                for p in group["params"]:
                    grad = p.grad
                    if grad is None:
                        continue
                    state = all_state[p]
                    if not state:
                        state["step"] = self._scalar(0)
                        state["mu_product"] = self._scalar(1)
                        state["exp_avg"] = _zeros(p)
                        state["exp_avg_sq"] = _zeros(p)
                    host = self._scalars(p, state)
                    step = host["step"] = host["step"] + 1
                    mu = beta1 * (1.0 - 0.5 * (0.96 ** (step * fading)))
                    mu_next = beta1 * (1.0 - 0.5 * (0.96 ** ((step + 1) * fading)))
                    product = host["mu_product"] = _f32(host["mu_product"] * _f32(mu))
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
                    denom = exp_avg_sq.div(1 - beta2**step).sqrt().add_(eps)
                    p.addcdiv_(grad, denom, value=-lr * (1.0 - mu) / (1.0 - product))
                    p.addcdiv_(exp_avg, denom, value=(-lr * mu_next) / (1.0 - product * mu_next))
        return loss
