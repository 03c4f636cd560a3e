"""Linear algebra."""
from . import _C

_native = getattr(_C, "_linalg", None)
__all__ = [name for name in dir(_native) if not name.startswith("_")] if _native is not None else []
globals().update({name: getattr(_native, name) for name in __all__})

# What a factorization of an unsuitable matrix raises.
LinAlgError = RuntimeError


def vander(x, *, N=None):
    """Powers of the last axis, as a new last axis."""
    x = x.unsqueeze(0) if x.dim() == 0 else x
    N = x.shape[-1] if N is None else N
    if N <= 1:
        raise RuntimeError(f"N must be greater than 1, but got {N}.")
    dtype = x.dtype if x.dtype.is_floating_point else _C.int64
    powers = x.to(dtype).unsqueeze(-1).expand((*x.shape, N - 1)).cumprod(-1)
    return _C.cat((_C.ones((*x.shape, 1), dtype=dtype), powers), -1)


__all__ += ["LinAlgError", "vander"]
