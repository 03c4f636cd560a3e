"""Arguments split over devices, and results joined on one of them. Derivatives flow through both."""

from __future__ import annotations

import warnings

import tiny_torch as torch

__all__ = ["gather", "scatter", "scatter_kwargs"]


def _device(target):
    return torch.device("cuda", target) if isinstance(target, int) else torch.device(target)


def _is_namedtuple(value):
    return isinstance(value, tuple) and hasattr(value, "_fields")


def scatter(inputs, target_gpus, dim: int = 0):
    """A list with the part of `inputs` for each of `target_gpus`.

    Tensors are cut along `dim`; tuples, lists and dictionaries are gone through, anything else goes to all.
    """

    def parts(value):
        if isinstance(value, torch.Tensor):
            chunks = value.chunk(len(target_gpus), dim)
            return [chunk.to(_device(target)) for chunk, target in zip(chunks, target_gpus)]
        if _is_namedtuple(value):
            return [type(value)(*row) for row in zip(*map(parts, value))]
        if isinstance(value, tuple) and value:
            return list(zip(*map(parts, value)))
        if isinstance(value, list) and value:
            return [list(row) for row in zip(*map(parts, value))]
        if isinstance(value, dict) and value:
            return [type(value)(row) for row in zip(*map(parts, value.items()))]
        return [value for _ in target_gpus]

    return parts(inputs)


def scatter_kwargs(inputs, kwargs, target_gpus, dim: int = 0):
    """[`scatter`] of positional and named arguments: two tuples of equal length."""
    rows = scatter(inputs, target_gpus, dim) if inputs else []
    named = scatter(kwargs, target_gpus, dim) if kwargs else []
    rows += [()] * (len(named) - len(rows))
    named += [{}] * (len(rows) - len(named))
    return tuple(rows), tuple(named)


def gather(outputs, target_device, dim: int = 0):
    """The results of several devices, joined along `dim` on `target_device` (a number or a device; -1 is the processor)."""
    target = torch.device("cpu") if target_device == -1 else _device(target_device)

    def join(values):
        first = values[0]
        if isinstance(first, torch.Tensor):
            if first.dim() == 0 and dim == 0:
                warnings.warn(
                    "Was asked to gather along dimension 0, but all input tensors were scalars; will instead unsqueeze "
                    "and return a vector.",
                    stacklevel=4,
                )
                values = [v.unsqueeze(0) for v in values]
            return torch.cat([v.to(target) for v in values], dim)
        if first is None:
            return None
        if isinstance(first, dict):
            if not all(len(first) == len(v) for v in values):
                raise ValueError("All dicts must have the same number of keys")
            return type(first)((key, join([v[key] for v in values])) for key in first)
        if _is_namedtuple(first):
            return type(first)._make(map(join, zip(*values)))
        return type(first)(map(join, zip(*values)))

    return join(list(outputs))
