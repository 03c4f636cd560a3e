"""The named tuples that operators return."""
import collections

from . import _C

_FIELDS = {
    "max": "values indices",
    "min": "values indices",
    "median": "values indices",
    "nanmedian": "values indices",
    "mode": "values indices",
    "kthvalue": "values indices",
    "sort": "values indices",
    "topk": "values indices",
    "cummax": "values indices",
    "cummin": "values indices",
    "aminmax": "min max",
    "frexp": "mantissa exponent",
    "histogram": "hist bin_edges",
    "qr": "Q R",
    "svd": "U S V",
    "slogdet": "sign logabsdet",
}


def __getattr__(name):
    if name not in _FIELDS:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    native = getattr(getattr(_C, "_return_types", None), name, None)
    value = globals()[name] = native or collections.namedtuple(name, _FIELDS[name], module="torch.return_types")
    return value
