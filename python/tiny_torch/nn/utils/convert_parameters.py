"""All parameters as one vector, and back."""

from __future__ import annotations

import tiny_torch as torch

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters):
    """The parameters, flattened, one after the other."""
    return torch.cat([p.view(-1) for p in parameters])


def vector_to_parameters(vec, parameters) -> None:
    """Points the parameters at consecutive slices of `vec`."""
    if not isinstance(vec, torch.Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {torch.typename(vec)}")
    at = 0
    for p in parameters:
        n = p.numel()
        p.data = vec[at : at + n].view_as(p).data
        at += n
