"""Distances and similarities."""

from __future__ import annotations

import tiny_torch as torch


def pairwise_distance(x1, x2, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False):
    """The p-norm of `x1 - x2 + eps` over the last dimension."""
    return torch.norm(x1 - x2 + eps, p, -1 if max(x1.dim(), x2.dim()) > 1 or keepdim else 0, keepdim)


def cosine_similarity(x1, x2, dim: int = 1, eps: float = 1e-8):
    """The cosine along `dim`; each norm counts as at least `eps`."""
    x1, x2 = torch.broadcast_tensors(x1, x2)
    n1 = (x1 * x1).sum(dim, keepdim=True).sqrt().clamp_min(eps)
    n2 = (x2 * x2).sum(dim, keepdim=True).sqrt().clamp_min(eps)
    return ((x1 / n1) * (x2 / n2)).sum(dim)


def pdist(input, p: float = 2.0):
    """The distances between all pairs of rows: (N, M) -> (N (N-1) / 2)."""
    if input.dim() != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.dim()}D")
    n = input.size(0)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    first = torch.tensor([i for i, _ in pairs], dtype=torch.long, device=input.device)
    second = torch.tensor([j for _, j in pairs], dtype=torch.long, device=input.device)
    return torch.norm(input.index_select(0, first) - input.index_select(0, second), p, 1)


def bilinear(input1, input2, weight, bias=None):
    """`x1^T W_o x2 + b_o` for every output o."""
    out = torch.einsum(
        "bi,oij,bj->bo", input1.reshape(-1, input1.size(-1)), weight, input2.reshape(-1, input2.size(-1))
    )
    out = out.reshape(*input1.shape[:-1], weight.size(0))
    return out if bias is None else out + bias
