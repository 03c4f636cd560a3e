"""Tiny-Torch: PyTorch's interface over a tensor compiler. Written for `import tiny_torch as torch`.

Operators come from the native module, one by one, as its table lists them. Submodules that are not needed to
make and compute tensors are imported when they are first named.
"""
from . import _C

# Every operator, dtype and type that the native module offers under a public name. Names that PyTorch keeps
# elsewhere (`CompiledGraph`, `TensorBase`) stay where they are.
for _name in dir(_C):
    if not _name.startswith("_") and _name not in ("CompiledGraph", "TensorBase"):
        globals()[_name] = getattr(_C, _name)

from . import autograd, random, version  # noqa: E402
from ._aliases import *  # noqa: E402, F403
from ._defaults import *  # noqa: E402, F403
from ._functions import *  # noqa: E402, F403
from ._launcher import install_as_torch  # noqa: E402
from . import _pickling  # noqa: E402, F401
from ._legacy import TENSOR_TYPES as _tensor_types  # noqa: E402
from ._tensor import Tensor  # noqa: E402
from ._tensor_str import get_printoptions, set_printoptions  # noqa: E402
from .autograd.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled  # noqa: E402
from .random import fork_rng, get_rng_state, initial_seed, manual_seed, seed, set_rng_state  # noqa: E402
from .torch_version import TorchVersion as _TorchVersion  # noqa: E402

__version__ = _TorchVersion(version.__version__)
globals().update(_tensor_types)
del _name, _tensor_types, _TorchVersion



def _find_gpus():
    from . import cuda

    cuda._libraries()


_C._cuda_before_first_use(_find_gpus)

# Submodules that are imported when they are first named, as `torch.nn` or `torch.utils.data`.
_MODULES = frozenset(
    "__config__ __future__ _dynamo _tensor_str _utils accelerator amp ao backends compiler cpu cuda distributed distributions "
    "export fft func functional fx hub jit library linalg masked mps multiprocessing nested nn onnx ops optim overrides profiler "
    "quantization return_types serialization signal sparse special storage testing types utils xpu".split()
)

# Names that live in such a submodule: what it is called there, when that is not the same.
_FROM = {
    "save": "serialization",
    "load": "serialization",
    "compile": "compiler",
    "autocast": "amp",
    "GradScaler": "amp",
    "is_autocast_enabled": "amp",
    "set_autocast_enabled": "amp",
    "get_autocast_dtype": "amp",
    "set_autocast_dtype": "amp",
    "get_autocast_gpu_dtype": "amp",
    "get_autocast_cpu_dtype": "amp",
    "is_autocast_cpu_enabled": "amp",
    "is_autocast_cache_enabled": "amp",
    "set_autocast_cache_enabled": "amp",
    "clear_autocast_cache": "amp",
    "vmap": "func",
    "UntypedStorage": "storage",
    "TypedStorage": "storage",
    "FloatStorage": "storage",
    "DoubleStorage": "storage",
    "HalfStorage": "storage",
    "BFloat16Storage": "storage",
    "LongStorage": "storage",
    "IntStorage": "storage",
    "ShortStorage": "storage",
    "CharStorage": "storage",
    "ByteStorage": "storage",
    "BoolStorage": "storage",
}


def __getattr__(name):
    import importlib

    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _FROM:
        value = getattr(importlib.import_module(f"{__name__}.{_FROM[name]}"), name)
        globals()[name] = value
        return value
    functional = importlib.import_module(f"{__name__}.functional")
    if name in functional.__all__:
        value = globals()[name] = getattr(functional, name)
        return value
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__():
    return sorted({*globals(), *_MODULES, *_FROM})
