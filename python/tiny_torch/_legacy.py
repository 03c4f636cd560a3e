"""`torch.Tensor(...)` and the typed constructors `FloatTensor`, `LongTensor`, and so on."""
from . import _C

_KINDS = {
    "FloatTensor": "float32",
    "DoubleTensor": "float64",
    "HalfTensor": "float16",
    "BFloat16Tensor": "bfloat16",
    "ByteTensor": "uint8",
    "CharTensor": "int8",
    "ShortTensor": "int16",
    "IntTensor": "int32",
    "LongTensor": "int64",
    "BoolTensor": "bool",
}


def construct(dtype, args, device=None):
    """A tensor from sizes (left uninitialised), from nested sequences, or from another tensor.

    `dtype` None means the default dtype. Nothing at all gives an empty tensor.
    """
    from ._tensor import Tensor

    if dtype is None:
        dtype = _C.get_default_dtype()
    where = {} if device is None else {"device": device}
    if not args:
        return _C.empty((0,), dtype=dtype, **where)
    first = args[0]
    if len(args) == 1 and not isinstance(first, int):
        if isinstance(first, _C.Size):
            return _C.empty(tuple(first), dtype=dtype, **where)
        if isinstance(first, Tensor):
            if first.dtype != dtype:
                raise TypeError(
                    f"expected {type_name(dtype)} (got {type_name(first.dtype)})"
                )
            return first.detach()
        if isinstance(first, (float, complex, str, bytes)) or not hasattr(first, "__len__"):
            if hasattr(first, "__index__"):
                return _C.empty((int(first),), dtype=dtype, **where)
            raise TypeError(f"new(): data must be a sequence (got {type(first).__name__})")
        return _C.tensor(first, dtype=dtype, **where)
    try:
        sizes = tuple(size.__index__() for size in args)
    except AttributeError:
        kinds = ", ".join(type(arg).__name__ for arg in args)
        raise TypeError(
            "new() received an invalid combination of arguments - "
            f"got ({kinds}), but expected sizes, a sequence or a tensor"
        ) from None
    return _C.empty(sizes, dtype=dtype, **where)


def type_name(dtype):
    """`torch.FloatTensor` and so on, for a dtype."""
    for name, kind in _KINDS.items():
        if getattr(_C, kind, None) == dtype:
            return "torch." + name
    return str(dtype)


class _TensorType(type):
    """The class of `FloatTensor` and its like: calling makes a plain `Tensor`, `isinstance` looks at the dtype."""

    def __call__(cls, *args, device=None):
        return construct(cls.dtype, args, device)

    def __instancecheck__(cls, value):
        from ._tensor import Tensor

        return isinstance(value, Tensor) and value.dtype == cls.dtype

    def __repr__(cls):
        return f"<class 'torch.{cls.__name__}'>"


TENSOR_TYPES = {
    name: _TensorType(name, (), {"dtype": getattr(_C, kind), "__module__": "torch", "is_cuda": False})
    for name, kind in _KINDS.items()
}


def tensor_type(kind):
    """The typed constructor named by `kind`: itself, or a string such as "torch.FloatTensor"."""
    if isinstance(kind, _TensorType):
        return kind
    name = kind.rpartition(".")[2] if isinstance(kind, str) else getattr(kind, "__name__", "")
    if name == "Tensor":
        return TENSOR_TYPES["FloatTensor"]
    if name not in TENSOR_TYPES:
        raise TypeError(f"invalid type object: {kind!r}")
    return TENSOR_TYPES[name]
