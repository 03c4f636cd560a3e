"""The machine's accelerator, if this build can use one."""

__all__ = ["current_accelerator", "current_device_index", "current_stream", "device_count", "is_available", "synchronize"]


def is_available():
    from . import cuda

    return cuda.is_available()


def device_count():
    from . import cuda

    return cuda.device_count()


def current_accelerator(check_available=False):
    """The accelerator's device, or None."""
    from . import _C

    return _C.device("cuda") if is_available() else None


def current_device_index():
    return 0


current_device_idx = current_device_index


def set_device_index(device, /):
    """Accepted; there is at most one device."""


set_device_idx = set_device_index


def current_stream(device=None, /):
    from . import cuda

    return cuda.current_stream(device)


def synchronize(device=None, /):
    """Waits until everything asked for is computed."""
    from . import _C

    _C._flush()


def empty_cache():
    """Accepted; the allocator returns what it does not need."""
