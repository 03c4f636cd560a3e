"""Other names of dtypes and layouts, and the constants of mathematics."""
import math

from . import _C

__all__ = ["e", "inf", "nan", "newaxis", "pi"]

e = math.e
inf = math.inf
nan = math.nan
pi = math.pi
newaxis = None

_DTYPES = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
    "cfloat": "complex64",
    "cdouble": "complex128",
    "chalf": "complex32",
}
for _alias, _dtype in _DTYPES.items():
    if hasattr(_C, _dtype):
        globals()[_alias] = getattr(_C, _dtype)
        __all__.append(_alias)
