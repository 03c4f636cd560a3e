"""RMSprop."""

from __future__ import annotations

import tiny_torch as torch

from .optimizer import Optimizer, _check_lr, _check_option, _closure_loss, _number, _varying_numbers, _zeros

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Steps scaled by a running average of the squared gradient (Hinton), optionally centred and with momentum."""

    _host_keys = ("step",)
    _uses_step = False

    def __init__(
        self, params, lr=1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0, momentum: float = 0,
        centered: bool = False, capturable: bool = False, foreach: bool | None = None, maximize: bool = False,
        differentiable: bool = False,
    ) -> None:  # fmt: skip
        _check_lr(lr)
        _check_option(eps, eps >= 0.0, "epsilon value")
        _check_option(momentum, momentum >= 0.0, "momentum value")
        _check_option(weight_decay, weight_decay >= 0.0, "weight_decay value")
        _check_option(alpha, alpha >= 0.0, "alpha value")
        defaults = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            for key, value in (("momentum", 0), ("centered", False), ("foreach", None), ("maximize", False),
                               ("differentiable", False), ("capturable", False)):  # fmt: skip
                group.setdefault(key, value)
        for entry in self._state.values():
            if entry and not isinstance(entry.get("step"), torch.Tensor) and "step" in entry:
                entry["step"] = self._scalar(entry["step"])

    def step(self, closure=None):
        """One update; returns the closure's loss."""
        loss = _closure_loss(closure)
        all_state = self._begin_step()
        with torch.no_grad():
            for group in self.param_groups:
                rate, decay, eps = -_number(group["lr"]), group["weight_decay"], group["eps"]
                alpha, momentum, centered, maximize = (
                    group["alpha"], group["momentum"], group["centered"], group["maximize"]
                )  # fmt: skip
                share = 1 - alpha
                for p in group["params"]:
                    grad = p.grad
                    if grad is None:
                        continue
                    state = all_state[p]
                    if not state:
                        state["step"] = self._scalar(0)
                        state["square_avg"] = _zeros(p)
                        if momentum > 0:
                            state["momentum_buffer"] = _zeros(p)
                        if centered:
                            state["grad_avg"] = _zeros(p)
                    self._scalars(p, state)["step"] += 1
                    if maximize:
                        grad = -grad
                    if decay != 0:
                        grad = grad.add(p, alpha=decay)
                    square_avg = state["square_avg"]
                    square_avg.mul_(alpha).addcmul_(grad, grad, value=share)
                    if centered:
                        grad_avg = state["grad_avg"]
                        grad_avg.lerp_(grad, share)
                        avg = square_avg.addcmul(grad_avg, grad_avg, value=-1).sqrt_()
                    else:
                        avg = square_avg.sqrt()
                    avg = avg.add_(eps)
                    if momentum > 0:
                        buf = state["momentum_buffer"]
                        buf.mul_(momentum).addcdiv_(grad, avg)
                    with _varying_numbers():
                        if momentum > 0:
                            p.add_(buf, alpha=rate)
                        else:
                            p.addcdiv_(grad, avg, value=rate)
        return loss
