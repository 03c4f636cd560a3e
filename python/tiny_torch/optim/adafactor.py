"""Adafactor."""

from __future__ import annotations

import tiny_torch as torch

from .optimizer import Optimizer, _closure_loss, _number, _zeros

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """Adam's second moment kept as an outer product of row and column averages (Shazeer and Stern, 2018)."""

    _host_keys = ("step",)

    def __init__(
        self, params, lr=1e-2, beta2_decay: float = -0.8, eps=(None, 1e-3), d: float = 1.0, weight_decay: float = 0.0,
        *, foreach: bool | None = None, maximize: bool = False,
    ) -> None:  # fmt: skip
        if isinstance(lr, torch.Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        lr_value = _number(lr)
        if lr_value < 0.0:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if beta2_decay > 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and eps[0] < 0.0:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if eps[1] < 0.0:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if d < 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if weight_decay < 0.0:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        defaults = {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def step(self, closure=None):
        """One update; returns the closure's loss. Norms stay tensors, so nothing is read."""
        loss = _closure_loss(closure)
        all_state = self._begin_step()
        with torch.no_grad():
            for group in self.param_groups:
                lr, decay, d = _number(group["lr"]), group["weight_decay"], group["d"]
                eps1, eps2 = group["eps"]
                for p in group["params"]:
                    grad = p.grad
                    if grad is None:
                        continue
                    state = all_state[p]
                    if not state:
                        state["step"] = self._scalar(0)
                        if grad.dim() > 1:
                            state["row_var"] = grad.new_zeros([*grad.shape[:-1], 1])
                            state["col_var"] = grad.new_zeros([*grad.shape[:-2], 1, grad.shape[-1]])
                        else:
                            state["variance"] = _zeros(grad)
                    host = self._scalars(p, state)
                    step = host["step"] = host["step"] + 1
                    if group["maximize"]:
                        grad = -grad
                    tiny = torch.finfo(p.dtype).eps if eps1 is None else eps1
                    share = step ** group["beta2_decay"]
                    rate = min(lr, 1 / (step**0.5))
                    alpha = (p.norm(2) / (p.numel() ** 0.5)).clamp(min=eps2) * rate
                    if decay != 0:
                        p.mul_(1 - lr * decay)
                    if grad.dim() > 1:
                        row_var, col_var = state["row_var"], state["col_var"]
                        row_var.lerp_(torch.norm(grad, dim=-1, keepdim=True).square_().div_(grad.size(-1)), share)
                        col_var.lerp_(torch.norm(grad, dim=-2, keepdim=True).square_().div_(grad.size(-2)), share)
                        estimate = row_var @ col_var
                        estimate.div_(row_var.mean(dim=-2, keepdim=True).clamp_(min=tiny))
                    else:
                        state["variance"].lerp_(grad * grad, share)
                        estimate = state["variance"].clone()
                    update = estimate.clamp_(min=tiny * tiny).rsqrt_().mul_(grad)
                    denom = (update.norm(2) / ((update.numel() ** 0.5) * d)).clamp(min=1.0)
                    p.sub_(update * (alpha / denom))
        return loss
