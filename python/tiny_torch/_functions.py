"""Functions of the package itself, about objects and settings more than about numbers."""
from . import _C
from ._tensor import Tensor
from .functional import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    block_diag,
    broadcast_tensors,
    cartesian_prod,
    cdist,
    chain_matmul,
    einsum,
    meshgrid,
    norm,
    split,
    tensordot,
)

# Those that PyTorch writes in Python take their arguments in more ways than a native operator of the name.
__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block_diag",
    "broadcast_tensors",
    "cartesian_prod",
    "cdist",
    "chain_matmul",
    "einsum",
    "meshgrid",
    "norm",
    "split",
    "tensordot",
    "get_device_module",
    "is_storage",
    "is_tensor",
    "typename",
]


def is_tensor(obj, /):
    """Whether `obj` is a tensor."""
    return isinstance(obj, Tensor)


def is_storage(obj, /):
    """Whether `obj` is a storage."""
    from .storage import TypedStorage, UntypedStorage

    return isinstance(obj, (TypedStorage, UntypedStorage))


def typename(obj, /):
    """The type's name with its module: "torch.FloatTensor" for a tensor, "dict" for a dictionary."""
    if isinstance(obj, Tensor):
        return obj.type()
    kind = obj if isinstance(obj, type) or not hasattr(obj, "__class__") else type(obj)
    module = "" if kind.__module__ in ("builtins", "__builtin__", None) else kind.__module__ + "."
    return module + kind.__qualname__


def get_device_module(device=None):
    """The module that controls a device: `torch.cpu`, `torch.cuda`, and so on."""
    import importlib

    kind = "cpu" if device is None else _C.device(device).type
    return importlib.import_module(f"{__package__}.{kind}")
