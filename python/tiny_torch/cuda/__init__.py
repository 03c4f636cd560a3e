"""CUDA: answers for programs that ask whether there is any. This build computes on the CPU."""
from .. import _C

__all__ = ["is_available", "device_count", "synchronize", "empty_cache", "manual_seed", "manual_seed_all"]

has_half = False
default_generators = ()


def _no_device(what):
    raise AssertionError(f"Torch not compiled with CUDA enabled ({what} needs a CUDA device)")


def is_available():
    return False


def device_count():
    return 0


def is_initialized():
    return False


def is_bf16_supported(including_emulation=True):
    return False


def init():
    _no_device("torch.cuda.init")


def current_device():
    _no_device("torch.cuda.current_device")


def get_device_name(device=None):
    _no_device("torch.cuda.get_device_name")


def get_device_capability(device=None):
    _no_device("torch.cuda.get_device_capability")


def get_device_properties(device=None):
    _no_device("torch.cuda.get_device_properties")


def get_arch_list():
    return []


def mem_get_info(device=None):
    _no_device("torch.cuda.mem_get_info")


def set_device(device):
    _no_device("torch.cuda.set_device")


# With no device these have nothing to do, and programs call them without asking first.


def synchronize(device=None):
    """Waits until everything asked for is computed."""
    _C._flush()


def empty_cache():
    pass


def ipc_collect():
    pass


def manual_seed(seed):
    pass


def manual_seed_all(seed):
    pass


def seed():
    pass


def seed_all():
    pass


def initial_seed():
    _no_device("torch.cuda.initial_seed")


def get_rng_state(device="cuda"):
    _no_device("torch.cuda.get_rng_state")


def get_rng_state_all():
    return []


def set_rng_state(new_state, device="cuda"):
    pass


def set_rng_state_all(new_states):
    pass


def memory_allocated(device=None):
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_cached = max_memory_cached = memory_allocated


def reset_peak_memory_stats(device=None):
    pass


reset_max_memory_allocated = reset_max_memory_cached = reset_accumulated_memory_stats = reset_peak_memory_stats


def memory_stats(device=None):
    return {}


def memory_summary(device=None, abbreviated=False):
    return "no CUDA device"


def set_per_process_memory_fraction(fraction, device=None):
    pass


def can_device_access_peer(device, peer_device):
    return False


def is_current_stream_capturing():
    return False


class _NoDeviceContext:
    """Accepts and ignores a device or a stream."""

    def __init__(self, *args, **kwargs):
        pass

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        return None


class device(_NoDeviceContext):
    """`with torch.cuda.device(i):`, which without a device does nothing."""


class device_of(_NoDeviceContext):
    """`with torch.cuda.device_of(tensor):`, which without a device does nothing."""


class stream(_NoDeviceContext):
    """`with torch.cuda.stream(s):`, which without a device does nothing."""


class Stream:
    """A queue of work on a device."""

    def __init__(self, *args, **kwargs):
        _no_device("torch.cuda.Stream")


class Event:
    """A mark in a queue of work."""

    def __init__(self, *args, **kwargs):
        _no_device("torch.cuda.Event")


class CUDAGraph:
    """A recorded queue of work."""

    def __init__(self, *args, **kwargs):
        _no_device("torch.cuda.CUDAGraph")


def current_stream(device=None):
    _no_device("torch.cuda.current_stream")


def default_stream(device=None):
    _no_device("torch.cuda.default_stream")


def __getattr__(name):
    import importlib

    if name in ("amp", "nvtx", "comm", "random", "memory"):
        return importlib.import_module(f"{__name__}.{name}")
    from .._legacy import TENSOR_TYPES

    if name in TENSOR_TYPES:

        def construct(*args, **kwargs):
            _no_device(f"torch.cuda.{name}")

        return construct
    if name in ("OutOfMemoryError", "AcceleratorError"):
        return getattr(importlib.import_module(__package__.rpartition(".")[0]), name, MemoryError)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
