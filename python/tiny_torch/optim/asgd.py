"""Averaged stochastic gradient descent."""

from __future__ import annotations

import tiny_torch as torch

from .nadam import _f32
from .optimizer import Optimizer, _check_lr, _check_option, _closure_loss, _number, _zeros

__all__ = ["ASGD"]


class ASGD(Optimizer):
    """Gradient descent that also averages its iterates, in the state `ax` (Polyak and Juditsky, 1992)."""

    _host_keys = ("step", "eta", "mu")

    def __init__(
        self, params, lr=1e-2, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6, weight_decay: float = 0,
        foreach: bool | None = None, maximize: bool = False, differentiable: bool = False, capturable: bool = False,
    ) -> None:  # fmt: skip
        _check_lr(lr)
        _check_option(weight_decay, weight_decay >= 0.0, "weight_decay value")
        defaults = {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def step(self, closure=None):
        """One update; returns the closure's loss."""
        loss = _closure_loss(closure)
        all_state = self._begin_step()
        with torch.no_grad():
            for group in self.param_groups:
                lr, lambd, decay = _number(group["lr"]), group["lambd"], group["weight_decay"]
                for p in group["params"]:
                    grad = p.grad
                    if grad is None:
                        continue
                    state = all_state[p]
                    if not state:
                        state["step"] = self._scalar(0)
                        state["eta"] = self._scalar(lr)
                        state["mu"] = self._scalar(1)
                        state["ax"] = _zeros(p)
                    host = self._scalars(p, state)
                    step = host["step"] = host["step"] + 1
                    eta, mu = host["eta"], host["mu"]
                    if group["maximize"]:
                        grad = -grad
                    if decay != 0:
                        grad = grad.add(p, alpha=decay)
                    p.mul_(1 - lambd * eta)
                    p.add_(grad, alpha=-eta)
                    average = state["ax"]
                    if mu == 1:
                        average.copy_(p)
                    else:
                        average.add_(p.sub(average).mul_(mu))
                    host["eta"] = _f32(lr / ((1 + lambd * lr * step) ** group["alpha"]))
                    host["mu"] = _f32(1 / max(1, step - group["t0"]))
        return loss
