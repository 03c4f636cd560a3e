"""Arguments that are one number or one for each dimension, and operands under `autocast`."""

from __future__ import annotations

from itertools import repeat

from tiny_torch import _C


def _under_autocast(name: str, *operands) -> tuple:
    """The operands of a function that is composed here, cast as `autocast` casts those of an operator of that name."""
    return tuple(_C._autocast_operand(name, x) for x in operands) if _C._autocast_is_on() else operands


def _each(n: int, value) -> tuple:
    """`value` for each of `n` dimensions, from one number, a sequence of one, or a sequence of `n`."""
    value = tuple(value) if hasattr(value, "__iter__") else (value,)
    return value * n if len(value) == 1 else value


def _ntuple(n: int, name: str = "parse"):
    """A function that makes `n` of one number, and leaves sequences as they are."""

    def parse(x):
        return tuple(x) if hasattr(x, "__iter__") else tuple(repeat(x, n))

    parse.__name__ = name
    return parse
