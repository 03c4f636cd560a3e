"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

import tiny_torch as torch

from .optimizer import Optimizer, _check_lr, _check_option, _closure_loss, _number, _varying_numbers, _zeros

__all__ = ["SGD"]


class SGD(Optimizer):
    """p -= lr * g, where g may gather momentum (Sutskever et al., 2013)."""

    def __init__(
        self, params, lr=1e-3, momentum: float = 0, dampening: float = 0, weight_decay: float = 0,
        nesterov: bool = False, *, maximize: bool = False, foreach: bool | None = None, differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:  # fmt: skip
        _check_lr(lr)
        _check_option(momentum, momentum >= 0.0, "momentum value")
        _check_option(weight_decay, weight_decay >= 0.0, "weight_decay value")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach, "differentiable": differentiable,
            "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            for key, value in (("nesterov", False), ("maximize", False), ("foreach", None), ("differentiable", False),
                               ("fused", False)):  # fmt: skip
                group.setdefault(key, value)

    def step(self, closure=None):
        """One update; returns the closure's loss."""
        loss = _closure_loss(closure)
        all_state = self._begin_step()
        with torch.no_grad():
            for group in self.param_groups:
                rate, decay = -_number(group["lr"]), _number(group["weight_decay"])
                momentum, keep = group["momentum"], 1 - group["dampening"]
                nesterov, maximize = group["nesterov"], group["maximize"]
                updates = []
                for p in group["params"]:
                    grad = p.grad
                    if grad is None:
                        continue
                    if maximize:
                        grad = -grad
                    if decay != 0:
                        grad = grad.add(p, alpha=decay)
                    if momentum != 0:
                        state = all_state[p]
                        buf = state.get("momentum_buffer")
                        if buf is None and keep == 1:
                            buf = state["momentum_buffer"] = _zeros(grad)
                        if buf is None:
                            buf = state["momentum_buffer"] = grad.clone().detach()
                        else:
                            buf.mul_(momentum).add_(grad, alpha=keep)
                        grad = grad.add(buf, alpha=momentum) if nesterov else buf
                    updates.append((p, grad))
                with _varying_numbers():
                    for p, grad in updates:
                        p.add_(grad, alpha=rate)
        return loss
