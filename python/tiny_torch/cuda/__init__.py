"""CUDA: the GPUs of this machine, if it has any.

The driver and NVRTC (the compiler of kernels) are looked for when something here is first asked for, in the `nvidia-*`
wheels, in the toolkit's folder and where the loader looks; nothing of CUDA is needed to install or import this package.
Work of a device runs in one queue, in the order of the program, behind Python; see `streams` and `graphs`.
"""
import functools
import glob
import os
import sys

from .. import _C
from .memory import (
    empty_cache,
    max_memory_allocated,
    max_memory_cached,
    max_memory_reserved,
    mem_get_info,
    memory_allocated,
    memory_cached,
    memory_reserved,
    memory_stats,
    memory_summary,
    reset_accumulated_memory_stats,
    reset_max_memory_allocated,
    reset_max_memory_cached,
    reset_peak_memory_stats,
    set_per_process_memory_fraction,
)
from .graphs import CUDAGraph, graph, graph_pool_handle, make_graphed_callables
from .streams import (
    Event,
    ExternalStream,
    Stream,
    StreamContext,
    current_stream,
    default_stream,
    is_current_stream_capturing,
    set_stream,
    stream,
)

has_half = True


@functools.cache
def _libraries():
    """Says where the libraries may be, once: the folders of `TTK_CUDA_LIBRARIES`, or else the wheels' and the toolkit's."""
    chosen = os.environ.get("TTK_CUDA_LIBRARIES")
    if chosen:
        _C._cuda_add_search_paths(chosen.split(os.pathsep))
        return
    folders = []
    for site in sys.path:
        folders += sorted(glob.glob(os.path.join(site, "nvidia", "*", "lib")))
    for name in ("CUDA_HOME", "CUDA_PATH"):
        if os.environ.get(name):
            folders += [os.path.join(os.environ[name], "lib64"), os.path.join(os.environ[name], "lib")]
    folders.append("/usr/local/cuda/lib64")
    _C._cuda_add_search_paths([f for f in folders if os.path.isdir(f)])


def is_available():
    """Whether there is a GPU to compute on; `torch.cuda.why_not()` says why there is none."""
    _libraries()
    return _C._cuda_is_available()


def why_not():
    """Why `is_available()` is false: what was looked for and where. `None` when it is true."""
    _libraries()
    return _C._cuda_why_not()


def device_count():
    """How many GPUs there are."""
    _libraries()
    return _C._cuda_device_count()


def is_initialized():
    """Whether the libraries have been looked for."""
    return _libraries.cache_info().currsize > 0


def init():
    """Makes sure that there is a GPU; raises `AssertionError` otherwise."""
    if not is_available():
        raise AssertionError(f"Torch not compiled with CUDA enabled: {why_not()}")


def _ordinal(device=None):
    """The number of a device given as a number, a string, a `torch.device` or nothing."""
    init()
    if device is None:
        return _C._cuda_current_device()
    if isinstance(device, int):
        return _C._cuda_current_device() if device < 0 else device
    chosen = _C.device(device)
    if chosen.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {chosen}")
    return _C._cuda_current_device() if chosen.index is None else chosen.index


def is_bf16_supported(including_emulation=True):
    """Whether the current GPU computes in bfloat16 (compute capability 8.0, or by conversion)."""
    return is_available() and (including_emulation or get_device_capability()[0] >= 8)


def current_device():
    """The number of the GPU that `"cuda"` means."""
    init()
    return _C._cuda_current_device()


def set_device(device):
    """Sets the GPU that `"cuda"` means."""
    ordinal = _ordinal(device)
    if not isinstance(device, int) or device >= 0:
        _C._cuda_set_device(ordinal)


class _DeviceProperties:
    """What is known of a GPU."""

    def __init__(self, ordinal):
        self.name, (self.major, self.minor), self.total_memory, *counts = _C._cuda_properties(ordinal)
        self.multi_processor_count, self.shared_memory_per_block_optin, self.max_threads_per_multi_processor = counts
        self.warp_size = 32

    def __repr__(self):
        return (
            f"_CudaDeviceProperties(name='{self.name}', major={self.major}, minor={self.minor}, "
            f"total_memory={self.total_memory // 2**20}MB, multi_processor_count={self.multi_processor_count})"
        )


def get_device_properties(device=None):
    """Name, capability, memory and multiprocessors of a GPU."""
    return _DeviceProperties(_ordinal(device))


def get_device_name(device=None):
    """The name of a GPU."""
    return get_device_properties(device).name


def get_device_capability(device=None):
    """The compute capability of a GPU: `(major, minor)`."""
    properties = get_device_properties(device)
    return properties.major, properties.minor


def get_arch_list():
    """Kernels are compiled for the GPU at hand; this is its architecture."""
    return [f"sm_{major}{minor}" for major, minor in {get_device_capability(i) for i in range(device_count())}]


def synchronize(device=None):
    """Waits until everything asked for is computed."""
    if is_available():
        _C._cuda_synchronize(_ordinal(device))
    else:
        _C._flush()


def ipc_collect():
    """Nothing is shared between processes."""


def manual_seed(seed):
    """Seeds the current GPU's generator; without a GPU nothing happens."""
    _C._cuda_manual_seed(_C._cuda_current_device(), int(seed) & 0xFFFF_FFFF_FFFF_FFFF)


def manual_seed_all(seed):
    """Seeds the generators of all GPUs."""
    _C._cuda_manual_seed_all(int(seed) & 0xFFFF_FFFF_FFFF_FFFF)


def seed():
    """Seeds the current GPU's generator by chance."""
    manual_seed(int.from_bytes(os.urandom(8), "little"))


def seed_all():
    """Seeds the generators of all GPUs by chance."""
    manual_seed_all(int.from_bytes(os.urandom(8), "little"))


def initial_seed():
    """The seed of the current GPU's generator."""
    return _C._cuda_generator(_ordinal()).initial_seed()


def get_rng_state(device="cuda"):
    """The state of a GPU's generator: 16 bytes (a uint8 tensor on the CPU) of its seed and offset, as PyTorch's."""
    return _C._cuda_generator(_ordinal(device)).get_state()


def get_rng_state_all():
    """The states of all GPU generators."""
    return [get_rng_state(i) for i in range(device_count())]


def set_rng_state(new_state, device="cuda"):
    """Puts a GPU's generator in a state that `get_rng_state` gave; without a GPU nothing happens.

    Raises `RuntimeError` for a tensor that is none, and `TypeError` for what is no uint8 tensor.
    """
    if is_available():
        _C._cuda_generator(_ordinal(device)).set_state(new_state)


def set_rng_state_all(new_states):
    """Takes what `get_rng_state_all` gives."""
    for ordinal, state in enumerate(new_states):
        set_rng_state(state, ordinal)


def can_device_access_peer(device, peer_device):
    """Whether a GPU can read another's memory; copies work either way."""
    first, second = _ordinal(device), _ordinal(peer_device)
    return first != second


class device:
    """`with torch.cuda.device(i):` makes `"cuda"` mean another GPU; with `None`, or without a GPU, nothing changes."""

    def __init__(self, device):
        self.idx = None if device is None or not is_available() else _ordinal(device)

    def __enter__(self):
        if self.idx is not None:
            self.previous = current_device()
            _C._cuda_set_device(self.idx)
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        if self.idx is not None:
            _C._cuda_set_device(self.previous)


class device_of(device):
    """`with torch.cuda.device_of(tensor):` makes `"cuda"` mean the tensor's GPU."""

    def __init__(self, obj):
        super().__init__(obj.get_device() if obj.is_cuda else None)


def __getattr__(name):
    import importlib

    if name in ("amp", "nvtx", "random"):
        return importlib.import_module(f"{__name__}.{name}")
    if name == "default_generators":
        return tuple(_C._cuda_generator(i) for i in range(device_count()))
    from .._legacy import TENSOR_TYPES

    if name in TENSOR_TYPES:

        def construct(*args, **kwargs):
            from .. import _legacy

            return getattr(_legacy, name)(*args, **kwargs).cuda()

        return construct
    if name in ("OutOfMemoryError", "AcceleratorError"):
        return getattr(importlib.import_module(__package__.rpartition(".")[0]), name, MemoryError)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
