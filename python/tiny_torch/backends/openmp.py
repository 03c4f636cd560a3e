"""OpenMP: not used; threads are the runtime's own."""

__all__ = ["is_available"]


def is_available():
    return False
