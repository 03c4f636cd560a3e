"""Masked operators: where the mask is false, an element counts as the identity of the operation.

A mask of None leaves nothing out. It broadcasts to the input, and is taken for what is not zero.
"""
from .. import _C

_INF = float("inf")


def _axes(dim, rank):
    """The axes of `dim`, sorted, counted from 0; None and () mean all."""
    if dim is None or dim == ():
        return tuple(range(rank))
    rank = max(rank, 1)
    axes = []
    for d in (dim,) if isinstance(dim, int) else dim:
        if d in axes:
            raise RuntimeError(f"dim={d} appears multiple times in the list of dims")
        if d >= rank or d < -rank:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {d})"
            )
        axes.append(d % rank)
    return tuple(sorted(axes))


def _mask_of(input, mask):
    """The mask as bools of the input's sizes."""
    if mask.shape != input.shape:
        if mask.dim() > input.dim():
            raise IndexError(
                "_input_mask expected broadcastable mask (got mask dimensionality higher than of the input)"
            )
        mask = mask.expand(input.shape)
    return mask.to(_C.bool)


def _kept(input, mask, identity):
    """The input with `identity` where the mask is false."""
    if mask is None:
        return input
    return _C.where(_mask_of(input, mask), input, _C.tensor(identity, dtype=input.dtype))


def _lowest(dtype):
    return -_INF if dtype.is_floating_point else _C.iinfo(dtype).min


def _highest(dtype):
    return _INF if dtype.is_floating_point else _C.iinfo(dtype).max


def _sum_dtype(input):
    return input.dtype if input.dtype.is_floating_point else _C.int64


def sum(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The sum over `dim` of what the mask keeps."""
    dtype = _sum_dtype(input) if dtype is None else dtype
    return _C.sum(_kept(input, mask, 0), _axes(dim, input.dim()), bool(keepdim), dtype=dtype)


def prod(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The product over `dim` of what the mask keeps."""
    dtype = _sum_dtype(input) if dtype is None else dtype
    result = _kept(input, mask, 1)
    for d in reversed(_axes(dim, input.dim())):
        result = result.prod(dim=d, keepdim=bool(keepdim))
    return result.to(dtype)


def cumsum(input, dim, *, dtype=None, mask=None):
    """Running sums along `dim` of what the mask keeps."""
    return _C.cumsum(_kept(input, mask, 0), _axes(dim, input.dim())[0], dtype=dtype or input.dtype)


def cumprod(input, dim, *, dtype=None, mask=None):
    """Running products along `dim` of what the mask keeps."""
    return _C.cumprod(_kept(input, mask, 1), _axes(dim, input.dim())[0], dtype=dtype or input.dtype)


def amax(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The largest element over `dim` of what the mask keeps."""
    kept = _kept(input, mask, _lowest(input.dtype))
    return _C.amax(kept, _axes(dim, input.dim()), bool(keepdim)).to(dtype or input.dtype)


def amin(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The smallest element over `dim` of what the mask keeps."""
    kept = _kept(input, mask, _highest(input.dtype))
    return _C.amin(kept, _axes(dim, input.dim()), bool(keepdim)).to(dtype or input.dtype)


def argmax(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The position of the largest element of what the mask keeps, in the input's dtype."""
    kept = _kept(input, mask, _lowest(input.dtype))
    return _C.argmax(kept, dim, bool(keepdim)).to(dtype or input.dtype)


def argmin(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The position of the smallest element of what the mask keeps, in the input's dtype."""
    kept = _kept(input, mask, _highest(input.dtype))
    return _C.argmin(kept, dim, bool(keepdim)).to(dtype or input.dtype)


def _count(input, dim, keepdim, mask):
    if mask is None:
        mask = _C.ones(input.shape, dtype=_C.int64)
    else:
        mask = _mask_of(input, mask)
    return _C.sum(mask, _axes(dim, input.dim()), bool(keepdim))


def mean(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The mean over `dim` of what the mask keeps; NaN where it keeps nothing."""
    given = dtype
    dtype = input.dtype if dtype is None else dtype
    if not dtype.is_floating_point:
        raise ValueError(
            f"mean(): Could not infer output dtype. {'Input' if given is None else 'Optional'} dtype must be "
            f"either a floating point or complex dtype. Got: {dtype}"
        )
    total = sum(input, dim, keepdim=keepdim, dtype=dtype, mask=mask)
    return total / _count(input, dim, keepdim, mask)


def median(input, dim=-1, *, keepdim=False, dtype=None, mask=None):
    """The (lower) median along `dim` of what the mask keeps."""
    floats = input.dtype.is_floating_point
    dtype = input.dtype if dtype is None else dtype
    kept = _kept(input if floats else input.to(_C.float32), mask, float("nan"))
    result = _C.nanmedian(kept, _axes(dim, input.dim())[0], keepdim).values
    if floats:
        return result
    if result.isnan().any():
        raise ValueError("masked median expects no fully masked out rows if dtype is not floating point")
    return result.to(dtype)


def logsumexp(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The logarithm of the sum of exponentials over `dim` of what the mask keeps."""
    kept = _kept(input, mask, _lowest(input.dtype))
    return _C.logsumexp(kept, _axes(dim, input.dim()), keepdim=keepdim).to(dtype or input.dtype)


def logaddexp(input, other, *, dtype=None, input_mask=None, other_mask=None):
    """`log(exp(input) + exp(other))`, where each counts only where its mask is true."""
    first = _kept(input, input_mask, -_INF)
    second = _kept(other, other_mask, -_INF)
    return _C.logaddexp(first, second).to(dtype or input.dtype)


def norm(input, ord=2.0, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The vector norm of order `ord` over `dim` of what the mask keeps."""
    ord = 2.0 if ord is None else ord
    kept = _kept(input, mask, _INF if ord == -_INF else 0)
    axes = _axes(dim, input.dim())
    return _C._linalg.vector_norm(kept, ord, axes, bool(keepdim), dtype=dtype or input.dtype)


def _variance(input, dim, unbiased, correction, keepdim, dtype, mask):
    """The variance over `dim` of what the mask keeps, in a floating dtype."""
    if unbiased is not None and correction is not None:
        raise AssertionError("Only one of unbiased and correction may be given")
    if correction is None:
        correction = 1.0 if unbiased is None or unbiased else 0.0
    dtype = (input.dtype if input.dtype.is_floating_point else _C.float32) if dtype is None else dtype
    count = _count(input, dim, True, mask)
    gap = input - sum(input, dim, keepdim=True, dtype=dtype, mask=mask) / count
    total = sum(gap * gap, dim, keepdim=keepdim, dtype=dtype, mask=mask)
    if not keepdim:
        count = count.reshape(total.shape)
    if correction:
        count = (count.to(dtype) - correction).clamp(min=0)
    return (total / count).to(dtype)


def var(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    """The variance over `dim` of what the mask keeps."""
    return _variance(input, dim, unbiased, correction, keepdim, dtype, mask)


def std(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    """The standard deviation over `dim` of what the mask keeps."""
    return _variance(input, dim, unbiased, correction, keepdim, dtype, mask).sqrt()


def softmax(input, dim, *, dtype=None, mask=None):
    """`exp(x) / sum(exp(x))` along `dim` over what the mask keeps; 0 elsewhere."""
    kept = _kept(input, mask, _lowest(input.dtype))
    return _C.softmax(kept, _axes(dim, input.dim())[0], dtype=dtype or input.dtype)


def log_softmax(input, dim, *, dtype=None, mask=None):
    """The logarithm of `softmax`."""
    kept = _kept(input, mask, _lowest(input.dtype))
    return _C.log_softmax(kept, _axes(dim, input.dim())[0], dtype=dtype or input.dtype)


def softmin(input, dim, *, dtype=None, mask=None):
    """`softmax` of the negative input."""
    kept = _kept(input, mask, _highest(input.dtype))
    return _C.softmax(-kept, _axes(dim, input.dim())[0], dtype=dtype or input.dtype)


def normalize(input, ord, dim, *, eps=1e-12, dtype=None, mask=None):
    """What the mask keeps, divided by its norm along `dim` (at least `eps`)."""
    dtype = input.dtype if dtype is None else dtype
    size = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return _kept(input, mask, 0) / _C.maximum(size, size.new_full((), eps))
