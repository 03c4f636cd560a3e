"""Storages: the memory behind tensors, as far as programs look at it.

A storage is kept as a tensor over all of it. Files name storages, and tensors in files are views of them.
"""
from . import _C

__all__ = ["TypedStorage", "UntypedStorage"]

# What PyTorch calls the storage of each dtype; newer dtypes are stored under UntypedStorage's name.
STORAGE_DTYPES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}


def whole(tensor):
    """A tensor, of any shape, that is the whole storage behind `tensor` in the order of memory."""
    if tensor.storage_offset() == 0 and tensor.numel() == _C._storage_numel(tensor) and tensor.is_contiguous():
        return tensor.detach()
    return _C._whole_storage(tensor.detach())


def _row_major(size):
    """The strides of a tensor of this size that lies in memory without gaps."""
    stride, strides = 1, []
    for extent in reversed(size):
        strides.append(stride)
        stride *= max(1, extent)
    return tuple(reversed(strides))


class _Storage:
    """What both kinds of storage have in common: a dtype, a number of elements, and a tensor over the memory.

    A storage that comes from a file reads its bytes when the first tensor over it is made, and takes that tensor's
    shape, so that a parameter is not a view of something nobody sees.
    """

    is_cuda = False
    is_sparse = False

    def __init__(self, tensor):
        self._base = tensor.detach()
        self._dtype = tensor.dtype
        self._count = _C._storage_numel(tensor)
        self._read = None

    @classmethod
    def from_bytes(cls, dtype, count, read, device="cpu"):
        """A storage of `count` elements whose little-endian bytes `read()` gives when they are needed."""
        self = cls.__new__(cls)
        self._base, self._dtype, self._count, self._read, self._device = None, dtype, count, read, device
        return self

    def view(self, size, stride, offset, dtype=None):
        """The tensor of the given layout over this storage. A layout that leaves the storage is an error."""
        size, stride = tuple(size), tuple(stride)
        if len(size) != len(stride) or offset < 0 or any(n < 0 for n in (*size, *stride)):
            raise RuntimeError(f"a tensor's layout is damaged: size {size}, stride {stride}, offset {offset}")
        dtype = self._dtype if dtype is None else dtype
        count = self._count
        if dtype != self._dtype:
            count = self.nbytes() // _C.empty((0,), dtype=dtype).element_size()
        elements, last = 1, offset
        for extent, step in zip(size, stride):
            elements *= extent
            last += (extent - 1) * step
        if elements and last >= count:
            raise RuntimeError(
                f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset} are out of bounds "
                f"for storage of size {count}"
            )
        if not elements:
            return _C.empty(size, dtype=dtype)
        if self._base is None:
            whole = offset == 0 and elements == count and stride == _row_major(size)
            self._make(dtype, size if whole else (count,))
            if whole:
                return self._base
        return _C._as_strided(self._base, size, stride, offset)

    def _make(self, dtype, size):
        base = _C._from_bytes(self._read(), dtype, size)
        self._base = base if self._device == "cpu" else base.to(self._device)
        self._read = None

    @property
    def _flat(self):
        """The whole storage as a one-dimensional tensor."""
        return self.view((self._count,), (1,), 0)

    @property
    def device(self):
        return _C.device(self._device) if self._base is None else self._base.device

    def data_ptr(self):
        return self._flat.data_ptr()

    def cpu(self):
        return self

    def cuda(self, device=None, non_blocking=False):
        return type(self)(self._flat.cuda(device))

    def clone(self):
        return type(self)(self._flat.clone())

    def nbytes(self):
        return self._count * self._flat_element_size()

    def _flat_element_size(self):
        return _C.empty((0,), dtype=self._dtype).element_size()

    def is_shared(self):
        return False

    def share_memory_(self):
        return self

    def pin_memory(self, device=None):
        return self

    def __deepcopy__(self, memo):
        return self.clone()

    def __len__(self):
        return self.size()

    def __iter__(self):
        return iter(self.tolist())

    def __repr__(self):
        values = "\n".join(f" {value}" for value in self.tolist())
        return f"{values}\n[{type(self).__module__}.{type(self).__name__}(device={self.device}) of size {self.size()}]"


class UntypedStorage(_Storage):
    """Memory as bytes."""

    def size(self):
        return self.nbytes()

    def element_size(self):
        return 1

    def tolist(self):
        return list(_C._to_bytes(self._flat))

    def __getitem__(self, index):
        return _C._to_bytes(self._flat)[index]


class TypedStorage(_Storage):
    """Memory as elements of one dtype."""

    @property
    def dtype(self):
        return self._dtype

    def size(self):
        return self._count

    def element_size(self):
        return self._flat_element_size()

    def tolist(self):
        return self._flat.tolist()

    def __getitem__(self, index):
        return self._flat[index].item() if isinstance(index, int) else type(self)(self._flat[index])

    def __setitem__(self, index, value):
        self._flat[index] = value

    def fill_(self, value):
        self._flat.fill_(value)
        return self

    def copy_(self, source, non_blocking=None):
        self._flat.copy_(source._flat)
        return self

    def untyped(self):
        return UntypedStorage(self._flat)

    def type(self, dtype=None):
        return f"torch.{storage_name(self.dtype)}"


def storage_name(dtype):
    """PyTorch's name of the storage of a dtype."""
    wanted = str(dtype).rpartition(".")[2]
    for name, kind in STORAGE_DTYPES.items():
        if kind == wanted:
            return name
    return "UntypedStorage"


class _LegacyStorageType(type):
    """`FloatStorage` and its like: they make typed storages, and are what `isinstance` asks about."""

    def __call__(cls, *args):
        data = args[0] if args else 0
        made = _C.empty((data,), dtype=cls.dtype) if isinstance(data, int) else _C.tensor(data, dtype=cls.dtype)
        return TypedStorage(made)

    def __instancecheck__(cls, instance):
        return isinstance(instance, TypedStorage) and instance.dtype == cls.dtype


for _name, _dtype in STORAGE_DTYPES.items():
    if hasattr(_C, _dtype):
        globals()[_name] = _LegacyStorageType(_name, (), {"dtype": getattr(_C, _dtype), "__module__": "torch"})
        __all__.append(_name)
