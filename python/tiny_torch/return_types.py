"""The named tuples that operators return."""
from ._return_types import make

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
    value = globals()[name] = make(name, _FIELDS[name].split())
    return value
