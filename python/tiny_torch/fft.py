"""Fourier transforms."""
from . import _C

_native = getattr(_C, "_fft", None)
__all__ = [name for name in dir(_native) if not name.startswith("_")] if _native is not None else []
globals().update({name: getattr(_native, name) for name in __all__})
