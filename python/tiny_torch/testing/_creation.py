"""Tensors of random values for tests."""
import math

from .. import _C

__all__ = ["make_tensor"]


def _bounds(low, high, default_low, default_high, lowest, highest):
    low = default_low if low is None else low
    high = default_high if high is None else high
    if low != low or high != high:
        raise ValueError(f"`low` and `high` cannot be NaN, but got low={low} and high={high}")
    if low > high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    if high < lowest or low >= highest:
        raise ValueError(
            f"The value interval specified by `low` and `high` is [{low}, {high}), but the dtype only supports "
            f"[{lowest}, {highest})"
        )
    return min(max(low, lowest), highest), min(max(high, lowest), highest)


def make_tensor(
    *shape,
    dtype,
    device="cpu",
    low=None,
    high=None,
    requires_grad=False,
    noncontiguous=False,
    exclude_zero=False,
    memory_format=None,
):
    """Uniformly random values in [low, high). By default [-9, 9), [-9, 10) for integers, [0, 10) for unsigned ones."""
    if len(shape) == 1 and not isinstance(shape[0], int):
        shape = shape[0]
    shape = tuple(shape)
    floating = dtype.is_floating_point
    if noncontiguous and memory_format is not None:
        raise ValueError(
            "The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got "
            f"noncontiguous={noncontiguous} and memory_format={memory_format}"
        )
    if requires_grad and not floating:
        raise ValueError(
            f"`requires_grad=True` is not supported for boolean and integral dtypes, but got dtype={dtype}"
        )
    noncontiguous = noncontiguous and math.prod(shape) > 1
    if noncontiguous:
        shape = (*shape[:-1], 2 * shape[-1])
    if floating:
        info = _C.finfo(dtype)
        low, high = _bounds(low, high, -9, 9, info.min, info.max)
        wide = _C.empty(shape, dtype=_C.float32 if info.bits < 32 else dtype)
        result = wide.uniform_(low, high).to(dtype)
    else:
        if dtype == _C.bool:
            low, high = _bounds(low, high, 0, 2, 0, 2)
        else:
            info = _C.iinfo(dtype)
            default_low, default_high = (0, 10) if info.min == 0 else (-9, 10)
            low, high = _bounds(low, high, default_low, default_high, info.min, info.max + (info.bits < 64))
        result = _C.randint(math.ceil(low), math.ceil(high), shape, dtype=dtype)
    if noncontiguous:
        result = result[..., 1::2]
    if exclude_zero:
        result[result == 0] = _C.finfo(dtype).tiny if floating else 1
    return result.requires_grad_(requires_grad) if floating else result
