"""Marks that programs put on code for PyTorch's scripting. Here the code is Python, and stays so."""
import builtins
from typing import Final

_tracing = []


def is_scripting():
    return False


def is_tracing():
    return bool(_tracing)


def annotate(the_type, the_value):
    """The value."""
    return the_value


def ignore(drop=False, **kwargs):
    """The function, whether used with or without arguments."""
    return drop if callable(drop) else lambda function: function


def unused(fn):
    return fn


def export(fn):
    return fn


def interface(obj):
    return obj


def script_if_tracing(fn):
    return fn


_script_if_tracing = script_if_tracing


def _overload(func):
    return func


def _overload_method(func):
    return func


def isinstance(obj, target_type):  # noqa: A001
    """`isinstance` for types as annotations write them."""
    origin = getattr(target_type, "__origin__", None)
    return builtins.isinstance(obj, origin or target_type)


class Attribute:
    """A value with a type."""

    def __init__(self, value, type):
        self.value = value
        self.type = type


__all__ = [
    "Attribute",
    "Final",
    "annotate",
    "export",
    "ignore",
    "interface",
    "is_scripting",
    "is_tracing",
    "isinstance",
    "script_if_tracing",
    "unused",
]
