"""Tensor methods written over other methods. `_tensor` takes those that the native class does not have."""
from . import _C


def _sizes(size):
    return tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size


class _HookHandle:
    """Takes a hook off again."""

    def __init__(self, tensor, number):
        self._tensor = tensor
        self.id = number

    def remove(self):
        if self._tensor is not None:
            _C._remove_hook(self._tensor, self.id)
            self._tensor = None

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        self.remove()


class Methods:
    """Not instantiated: `_tensor` copies these functions onto `Tensor`."""

    # Gradients

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        """Adds the gradients of this tensor, weighted by `gradient`, to `.grad` of the leaves it was made of."""
        from .autograd import backward

        backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    @property
    def grad_fn(self):
        made_by = self._made_by
        if made_by is None:
            return None
        from .autograd.graph import Node

        return Node(made_by, self._grad_node)

    def register_hook(self, hook):
        """Calls `hook(grad)` when the gradient of this tensor is computed; what it returns, if anything, replaces it."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        return _HookHandle(self, _C._add_hook(self, hook))

    def register_post_accumulate_grad_hook(self, hook):
        """Calls `hook(self)` after a gradient has been added to `.grad`."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if not self.is_leaf:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        return _HookHandle(self, _C._add_after_hook(self, hook))

    # NumPy

    def numpy(self, *, force=False):
        """An array over the same memory."""
        if force:
            return _C._to_numpy(self.detach().cpu())
        if self.requires_grad:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
            )
        return _C._to_numpy(self)

    # Making tensors like this one

    def new_tensor(self, data, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
        made = _C.tensor(data, dtype=dtype or self.dtype, device=device or self.device)
        return made.requires_grad_(requires_grad)

    def new_empty(self, *size, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
        made = _C.empty(_sizes(size), dtype=dtype or self.dtype, device=device or self.device)
        return made.requires_grad_(requires_grad)

    def new_zeros(self, *size, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
        made = _C.zeros(_sizes(size), dtype=dtype or self.dtype, device=device or self.device)
        return made.requires_grad_(requires_grad)

    def new_ones(self, *size, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
        made = _C.ones(_sizes(size), dtype=dtype or self.dtype, device=device or self.device)
        return made.requires_grad_(requires_grad)

    def new_full(self, size, fill_value, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
        made = _C.full(tuple(size), fill_value, dtype=dtype or self.dtype, device=device or self.device)
        return made.requires_grad_(requires_grad)

    def new(self, *args, device=None):
        from . import _legacy

        return _legacy.construct(self.dtype, args, device or self.device)

    # Kinds of tensor

    is_cuda = property(lambda self: self.device.type == "cuda")
    is_cpu = property(lambda self: self.device.type == "cpu")
    is_meta = property(lambda self: self.device.type == "meta")
    is_mps = is_xpu = is_ipu = is_xla = is_maia = is_mtia = is_vulkan = property(lambda self: False)
    is_sparse = is_sparse_csr = is_mkldnn = is_quantized = is_nested = property(lambda self: False)
    itemsize = property(lambda self: self.element_size())
    nbytes = property(lambda self: self.numel() * self.element_size())
    output_nr = property(lambda self: 0)
    names = property(lambda self: (None,) * self.dim())

    def is_conj(self):
        return False

    def is_neg(self):
        return False

    def is_inference(self):
        return False

    def is_shared(self):
        return False

    def is_pinned(self, device=None):
        return False

    def is_floating_point(self):
        return self.dtype.is_floating_point

    def is_complex(self):
        return self.dtype.is_complex

    def is_signed(self):
        return self.dtype.is_signed

    def record_stream(self, stream):
        """Says that another stream uses the tensor. Its memory is never taken before that has run: work runs in order."""
        if not self.is_cuda:
            raise RuntimeError(f"record_stream: expected a tensor on a GPU, but got one on {self.device}")

    def get_device(self):
        return -1 if self.device.type == "cpu" else (self.device.index or 0)

    def has_names(self):
        return False

    # No-ops on this package's devices

    def pin_memory(self, device=None):
        return self

    def share_memory_(self):
        return self

    def resolve_conj(self):
        return self

    def resolve_neg(self):
        return self

    def to_dense(self, dtype=None, *, masked_grad=None):
        return self if dtype is None else self.to(dtype)

    # Shapes and dtypes

    def type(self, dtype=None, non_blocking=False, **ignored):
        """The name of the tensor's type, or the tensor converted to another one."""
        from . import _legacy

        if dtype is None:
            return _legacy.type_name(self.dtype)
        if not isinstance(dtype, _C.dtype):
            dtype = _legacy.tensor_type(dtype).dtype
        return self.to(dtype)

    def cpu(self, memory_format=None):
        return self.to("cpu")

    def cuda(self, device=None, non_blocking=False, memory_format=None):
        return self.to("cuda" if device is None else device)

    def float(self, memory_format=None):
        return self.to(_C.float32)

    def double(self, memory_format=None):
        return self.to(_C.float64)

    def half(self, memory_format=None):
        return self.to(_C.float16)

    def bfloat16(self, memory_format=None):
        return self.to(_C.bfloat16)

    def int(self, memory_format=None):
        return self.to(_C.int32)

    def long(self, memory_format=None):
        return self.to(_C.int64)

    def short(self, memory_format=None):
        return self.to(_C.int16)

    def byte(self, memory_format=None):
        return self.to(_C.uint8)

    def bool(self, memory_format=None):
        return self.to(_C.bool)

    @property
    def T(self):
        return self.permute(tuple(range(self.dim() - 1, -1, -1)))

    @property
    def mT(self):
        return self.transpose(-2, -1)

    H = T
    mH = mT
    real = property(lambda self: self)

    def nelement(self):
        return self.numel()

    def ndimension(self):
        return self.dim()

    def type_as(self, other):
        return self.to(dtype=other.dtype, device=other.device)

    def view_as(self, other):
        return self.view(other.shape)

    def reshape_as(self, other):
        return self.reshape(other.shape)

    def expand_as(self, other):
        return self.expand(other.shape)

    def resize(self, *sizes):
        return self.reshape(_sizes(sizes))

    def split(self, split_size, dim=0):
        if isinstance(split_size, int):
            return _C.split(self, split_size, dim)
        return _C.split_with_sizes(self, list(split_size), dim)

    def unflatten(self, dim, sizes):
        if not sizes:
            raise RuntimeError("unflatten: sizes must be non-empty")
        dim = dim % self.dim()
        return self.reshape(*self.shape[:dim], *sizes, *self.shape[dim + 1 :])

    def where(self, condition, y):
        return _C.where(condition, self, y)

    def polygamma(self, n):
        return _C.polygamma(n, self)

    def polygamma_(self, n):
        return self.copy_(_C.polygamma(n, self))

    def lu(self, pivot=True, get_infos=False):
        from .functional import lu

        return lu(self, pivot, get_infos)

    def char(self, memory_format=None):
        return self.to(_C.int8)

    def __rdiv__(self, other):
        return self.reciprocal() * other

    # In place, element by element, in Python

    def apply_(self, callable):
        values = self.detach().reshape(-1).tolist()
        return self.copy_(_C.tensor([callable(v) for v in values], dtype=self.dtype).reshape(self.shape))

    def map_(self, tensor, callable):
        pairs = zip(self.detach().reshape(-1).tolist(), tensor.detach().expand(self.shape).reshape(-1).tolist())
        return self.copy_(_C.tensor([callable(a, b) for a, b in pairs], dtype=self.dtype).reshape(self.shape))

    # Storage

    def storage(self):
        from .storage import TypedStorage

        return TypedStorage(self)

    def untyped_storage(self):
        from .storage import UntypedStorage

        return UntypedStorage(self)

    def storage_type(self):
        return self.type()

    def module_load(self, other, assign=False):
        """What `Module.load_state_dict` puts in place of this tensor."""
        if assign:
            return other.detach()
        return self.detach().copy_(other).detach()
