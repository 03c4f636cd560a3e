"""The CPU as a device."""

from ._C import _flush

__all__ = ["current_device", "current_stream", "device_count", "is_available", "is_initialized", "set_device", "stream", "synchronize"]


def is_available():
    return True


def is_initialized():
    return True


def device_count():
    return 1


def current_device():
    return "cpu"


def set_device(device):
    """Accepted: there is one."""


def synchronize(device=None):
    """Waits until everything asked for is computed."""
    _flush()


class Stream:
    """The CPU's one queue of work."""

    def wait_stream(self, stream):
        pass


class Event:
    """A mark in the CPU's queue of work."""

    def __init__(self, enable_timing=False):
        import time

        self._clock = time.perf_counter
        self._time = None

    def record(self, stream=None):
        synchronize()
        self._time = self._clock()

    def synchronize(self):
        pass

    def elapsed_time(self, end):
        """Milliseconds from this mark to the other."""
        return (end._time - self._time) * 1e3


def current_stream(device=None):
    return Stream()


class stream:
    """Accepted: there is one queue."""

    def __init__(self, stream):
        pass

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        return None
