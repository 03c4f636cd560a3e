"""Helpers shared by several modules of the package."""
import sys

__all__ = ["ExceptionWrapper", "KeyErrorMessage", "cpu_count"]


class KeyErrorMessage(str):
    """A message that a KeyError shows as it is, line breaks and all."""

    __slots__ = ()

    def __repr__(self):
        return self


class ExceptionWrapper:
    """An exception, with its traceback as text, on its way from a worker to the process that waits for it."""

    def __init__(self, exc_info=None, where="in background"):
        import traceback

        kind, error, trace = exc_info or sys.exc_info()
        self.exc_type = kind
        self.exc_msg = "".join(traceback.format_exception(kind, error, trace))
        self.where = where

    def reraise(self):
        """Raises the exception here, its message telling where it came from."""
        message = f"Caught {self.exc_type.__name__} {self.where}.\nOriginal {self.exc_msg}"
        if self.exc_type is KeyError:
            raise KeyError(KeyErrorMessage(message))
        if getattr(self.exc_type, "message", None):
            raise self.exc_type(message=message)
        try:
            error = self.exc_type(message)
        except Exception:
            # Its constructor wants something else than one message.
            raise RuntimeError(message) from None
        raise error


def cpu_count():
    """How many processors this process may use."""
    import os

    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()
