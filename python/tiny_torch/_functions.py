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
    "frombuffer",
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


def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False):
    """A flat tensor over the memory of an object that has Python's buffer protocol, from byte `offset` on.

    Of `count` elements; all that follow, if that is negative. What is written to one is seen in the other, unless the memory
    is read-only or its elements are not aligned: then it is copied. Raises ValueError where there is not as much memory.
    """
    if not isinstance(dtype, _C.dtype):
        raise TypeError(f"frombuffer(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")
    for name, value in (("count", count), ("offset", offset)):
        if type(value) is not int:
            raise TypeError(f"frombuffer(): argument '{name}' must be int, not {type(value).__name__}")
    try:
        memory = memoryview(buffer)
    except TypeError:
        raise ValueError("object does not implement Python buffer protocol.") from None
    if not memory.c_contiguous:
        raise RuntimeError("frombuffer(): the memory of the object is not contiguous")
    length = memory.nbytes
    size = dtype.itemsize
    if length == 0 or count == 0:
        raise ValueError(f"both buffer length ({length}) and count ({count}) must not be 0")
    if not 0 <= offset < length:
        raise ValueError(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({length} bytes) minus 1"
        )
    if count < 0:
        if (length - offset) % size:
            raise ValueError(
                f"buffer length ({length - offset} bytes) after offset ({offset} bytes) must be a multiple of element size ({size})"
            )
        count = (length - offset) // size
    if offset + count * size > length:
        raise ValueError(
            f"requested buffer length ({count} * {size} bytes) after offset ({offset} bytes) must not be greater than actual "
            f"buffer length ({length} bytes)"
        )
    import numpy

    # NumPy has no bfloat16: its bits are taken as an integer's.
    name = "int16" if dtype == _C.bfloat16 else str(dtype).rpartition(".")[2]
    return _C._from_numpy(numpy.frombuffer(memory, name, count, offset), dtype).requires_grad_(requires_grad)


def get_device_module(device=None):
    """The module that controls a device: `torch.cpu`, `torch.cuda`, and so on."""
    import importlib

    kind = "cpu" if device is None else _C.device(device).type
    return importlib.import_module(f"{__package__}.{kind}")
