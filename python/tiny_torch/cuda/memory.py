"""Memory of GPUs: what tensors hold, and what is kept for the next."""
from .. import _C


def _stats(device):
    from . import _ordinal, is_available

    return _C._cuda_memory_stats(_ordinal(device)) if is_available() else (0,) * 6


def memory_allocated(device=None):
    """Bytes that tensors hold."""
    return _stats(device)[0]


def max_memory_allocated(device=None):
    """The most bytes that tensors have held since the peak was last reset."""
    return _stats(device)[1]


def memory_reserved(device=None):
    """Bytes taken from the driver: those of tensors, and those kept for the next."""
    return _stats(device)[2]


def max_memory_reserved(device=None):
    """The most bytes taken from the driver since the peak was last reset."""
    return _stats(device)[3]


memory_cached, max_memory_cached = memory_reserved, max_memory_reserved


def memory_stats(device=None):
    """The counters, by PyTorch's names."""
    allocated, peak, reserved, reserved_peak, requests, hits = _stats(device)
    return {
        "allocated_bytes.all.current": allocated,
        "allocated_bytes.all.peak": peak,
        "reserved_bytes.all.current": reserved,
        "reserved_bytes.all.peak": reserved_peak,
        "num_device_alloc": requests,
        "num_cache_hits": hits,
    }


def memory_summary(device=None, abbreviated=False):
    """The counters as a table."""
    from . import is_available

    if not is_available():
        return "no CUDA device"
    return "\n".join(f"{name:32} {value:16,}" for name, value in memory_stats(device).items())


def reset_peak_memory_stats(device=None):
    """Sets the peaks to what is held now."""
    from . import _ordinal, is_available

    if is_available():
        _C._cuda_reset_peak_memory_stats(_ordinal(device))


reset_max_memory_allocated = reset_max_memory_cached = reset_accumulated_memory_stats = reset_peak_memory_stats


def mem_get_info(device=None):
    """Bytes that the driver has left, and all there are."""
    from . import _ordinal

    return _C._cuda_memory_info(_ordinal(device))


def empty_cache():
    """Gives memory that no tensor needs back to the driver."""
    from . import is_available, is_initialized

    if is_initialized() and is_available():
        _C._cuda_empty_cache()


def set_per_process_memory_fraction(fraction, device=None):
    """Accepted and ignored: a process takes what it needs."""
