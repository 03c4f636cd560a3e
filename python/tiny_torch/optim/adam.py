"""Adam and AdamW."""

from __future__ import annotations

import tiny_torch as torch

from .optimizer import Optimizer, _check_lr, _check_option, _closure_loss, _number, _varying_numbers, _zeros

__all__ = ["Adam"]


def _check_betas(betas) -> None:
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


class Adam(Optimizer):
    """Steps scaled by running averages of the gradient and of its square (Kingma and Ba, 2014)."""

    _host_keys = ("step",)

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0, amsgrad: bool = False,
        *, foreach: bool | None = None, maximize: bool = False, capturable: bool = False, differentiable: bool = False,
        fused: bool | None = None, decoupled_weight_decay: bool = False,
    ) -> None:  # fmt: skip
        _check_lr(lr)
        _check_option(eps, eps >= 0.0, "epsilon value")
        _check_betas(betas)
        _check_option(weight_decay, weight_decay >= 0.0, "weight_decay value")
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            for key, value in (("amsgrad", False), ("maximize", False), ("foreach", None), ("capturable", False),
                               ("differentiable", False), ("decoupled_weight_decay", False), ("fused", None)):  # fmt: skip
                group.setdefault(key, value)
        for entry in self._state.values():
            # Old files hold the count as a plain number.
            if entry and not isinstance(entry.get("step", None), torch.Tensor) and "step" in entry:
                entry["step"] = self._scalar(entry["step"])

    def step(self, closure=None):
        """One update; returns the closure's loss."""
        loss = _closure_loss(closure)
        all_state = self._begin_step()
        with torch.no_grad():
            for group in self.param_groups:
                lr, decay, eps = _number(group["lr"]), _number(group["weight_decay"]), group["eps"]
                beta1, beta2 = (_number(b) for b in group["betas"])
                amsgrad, maximize, decoupled = group["amsgrad"], group["maximize"], group["decoupled_weight_decay"]
                shrink = 1 - lr * decay
                share1, share2 = 1 - beta1, 1 - beta2
                counted = None
                updates = []
                for p in group["params"]:
                    grad = p.grad
                    if grad is None:
                        continue
                    state = all_state[p]
                    if not state:
                        state["step"] = self._scalar(0)
                        state["exp_avg"] = _zeros(p)
                        state["exp_avg_sq"] = _zeros(p)
                        if amsgrad:
                            state["max_exp_avg_sq"] = _zeros(p)
                    host = self._scalars(p, state)
                    step = host["step"] = host["step"] + 1
                    if step != counted:
                        # The same for all parameters that have been updated equally often.
                        counted = step
                        rate = -(lr / (1 - beta1**step))
                        spread = (1 - beta2**step) ** 0.5
                    if maximize:
                        grad = -grad
                    if decay != 0:
                        if decoupled:
                            with _varying_numbers():
                                p.mul_(shrink)
                        else:
                            grad = grad.add(p, alpha=decay)
                    exp_avg, exp_avg_sq = state["exp_avg"], state["exp_avg_sq"]
                    exp_avg.lerp_(grad, share1)
                    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=share2)
                    if amsgrad:
                        largest = state["max_exp_avg_sq"]
                        exp_avg_sq = largest.copy_(torch.maximum(largest, exp_avg_sq))
                    updates.append((p, exp_avg, exp_avg_sq.sqrt(), spread, rate))
                with _varying_numbers():
                    for p, exp_avg, root, spread, rate in updates:
                        p.addcdiv_(exp_avg, (root / spread).add_(eps), value=rate)
        return loss
