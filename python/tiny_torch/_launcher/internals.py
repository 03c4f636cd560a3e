"""Names of PyTorch's native module that libraries touch when they are imported.

They concern PyTorch's dispatcher, which has no counterpart here: keys and guards can be made, and change nothing.
"""
from ..overrides import DisableTorchFunctionSubclass


class DispatchKeySet:
    """A set of the dispatcher's keys."""

    def __init__(self, *keys):
        self.keys = frozenset(keys)

    def __or__(self, other):
        return DispatchKeySet(*self.keys, *other.keys)

    __add__ = __or__

    def __sub__(self, other):
        return DispatchKeySet(*(self.keys - other.keys))

    def has(self, key):
        return key in self.keys


class _DispatchKeys:
    """`DispatchKey.CPU` and so on: names."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return f"DispatchKey.{name}"


class _Guard:
    """A context in which nothing is different."""

    def __init__(self, *args):
        pass

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        return None


def _get_tracing_state():
    from ..jit import is_tracing

    return True if is_tracing() else None


def _log_api_usage_once(event):
    """Nothing is counted."""


NAMES = {
    "DisableTorchFunction": DisableTorchFunctionSubclass,
    "DisableTorchFunctionSubclass": DisableTorchFunctionSubclass,
    "DispatchKey": _DispatchKeys(),
    "DispatchKeySet": DispatchKeySet,
    "_AutoDispatchBelowAutograd": _Guard,
    "_DisableTorchDispatch": _Guard,
    "_ExcludeDispatchKeyGuard": _Guard,
    "_get_tracing_state": _get_tracing_state,
    "_has_mkldnn": False,
    "_log_api_usage_metadata": lambda event, metadata: None,
    "_log_api_usage_once": _log_api_usage_once,
}


def install(native):
    """Adds the names to the native module where it has none of its own."""
    for name, value in NAMES.items():
        if not hasattr(native, name):
            setattr(native, name, value)
