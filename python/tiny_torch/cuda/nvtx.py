"""Marks for NVIDIA's profilers. Nothing listens to them here: `torch.profiler` shows what ran."""

import contextlib

__all__ = ["mark", "range", "range_end", "range_pop", "range_push", "range_start"]

_depth = 0


def range_push(msg):
    """Begins a range within others; gives how many there are around it."""
    global _depth
    _depth += 1
    return _depth - 1


def range_pop():
    """Ends the innermost range; gives how many there are around it."""
    global _depth
    _depth -= 1
    return _depth


def range_start(msg):
    """Begins a range that `range_end` ends; gives its number."""
    return 0


def range_end(range_id):
    """Ends a range that `range_start` began."""


def mark(msg):
    """Marks a moment."""


@contextlib.contextmanager
def range(msg, *args, **kwargs):
    """A range for the length of a block."""
    range_push(msg.format(*args, **kwargs))
    try:
        yield
    finally:
        range_pop()
