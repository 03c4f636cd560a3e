"""The class `Tensor`: what Python adds to the native tensor.

Arithmetic, indexing and every operator of the operator table are methods of `_C.TensorBase`.
Here are printing, copying, pickling, NumPy's protocols and the container protocol.
"""
from . import _C

__all__ = ["Tensor"]

_LEAVES_ONLY = (
    "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.  "
    "If you were attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm usage, "
    "see https://github.com/pytorch/pytorch/pull/103001"
)


def _from_pickle(cls, data, dtype, size, requires_grad, attributes):
    tensor = _C._from_bytes(data, getattr(_C, dtype), tuple(size))
    if cls is not Tensor:
        tensor = _C._make_subclass(cls, tensor, requires_grad)
    elif requires_grad:
        tensor.requires_grad_(True)
    if attributes:
        tensor.__dict__.update(attributes)
    return tensor


class Tensor(_C.TensorBase):
    """A multi-dimensional array of one dtype whose operations are recorded, compiled and differentiated."""

    __array_priority__ = 1000

    def __new__(cls, *args, device=None):
        from . import _legacy

        made = _legacy.construct(None, args, device)
        return made if cls is Tensor else _C._make_subclass(cls, made, False)

    def __init__(self, *args, **kwargs):
        pass

    @staticmethod
    def _make_subclass(cls, data, require_grad=False):
        return _C._make_subclass(cls, data, require_grad)

    def as_subclass(self, cls):
        """The same data and history, as an instance of `cls`."""
        return _C._alias_subclass(cls, self)

    # Printing

    def __repr__(self, *, tensor_contents=None):
        from ._tensor_str import _str

        return _str(self, tensor_contents=tensor_contents)

    __str__ = __repr__

    def __format__(self, format_spec):
        if self.dim() == 0 and type(self) is Tensor:
            return self.item().__format__(format_spec)
        return object.__format__(self, format_spec)

    def __dir__(self):
        names = set(dir(type(self))) | set(self.__dict__)
        return sorted(name for name in names if not name[0].isdigit())

    # Equality is elementwise, so identity is what a dictionary must use.
    __hash__ = object.__hash__

    # Containers

    def __iter__(self):
        if self.dim() == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __reversed__(self):
        return self if self.dim() == 0 else self.flip(0)

    def __contains__(self, element, /):
        if isinstance(element, (Tensor, int, float, complex)):
            return bool((element == self).any().item())
        raise RuntimeError(
            f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}."
        )

    # NumPy

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_wrap__(self, array, context=None, return_scalar=False):
        if array.dtype == bool:
            array = array.astype("uint8")
        return _C._from_numpy(array) if array.ndim or not return_scalar else array[()]

    # Copying and pickling

    def __copy__(self):
        twin = self.detach()
        if type(self) is not Tensor:
            twin = _C._make_subclass(type(self), twin, self.requires_grad)
        elif self.requires_grad:
            twin.requires_grad_(True)
        twin.__dict__.update(self.__dict__)
        return twin

    def __deepcopy__(self, memo):
        if not self.is_leaf:
            raise RuntimeError(_LEAVES_ONLY)
        if id(self) in memo:
            return memo[id(self)]
        import copy

        # Tensors that share a storage share the copied storage: the first one copied brings it along.
        source = self.detach()
        key = ("storage", _C._storage_key(source))
        shared = memo.get(key)
        from .storage import whole

        if shared is None:
            shared = memo[key] = (whole(source) if source.numel() else source).clone()
        if tuple(shared.shape) == tuple(source.shape) and shared.stride() == source.stride() and not source.storage_offset():
            twin = shared.detach()
        else:
            twin = _C._as_strided(shared, tuple(source.shape), source.stride(), source.storage_offset())
        if type(self) is not Tensor:
            twin = _C._make_subclass(type(self), twin, self.requires_grad)
        elif self.requires_grad:
            twin.requires_grad_(True)
        memo[id(self)] = twin
        if self.grad is not None:
            twin.grad = copy.deepcopy(self.grad, memo)
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def __reduce_ex__(self, protocol):
        data = _C._to_bytes(self.detach())
        dtype = str(self.dtype).rpartition(".")[2]
        state = (type(self), data, dtype, tuple(self.shape), self.requires_grad, dict(self.__dict__))
        return _from_pickle, state

    def __setstate__(self, state):
        self.__dict__.update(state)

    def __getattr__(self, name):
        message = f"'{type(self).__name__}' object has no attribute '{name}'"
        if not name.startswith("__"):
            from ._launcher.names import pytorch_has

            if pytorch_has("torch.Tensor", name):
                message += " (PyTorch's Tensor has it; tiny_torch does not yet)"
        raise AttributeError(message)


def _complete():
    """Adds the methods that are written in Python wherever the native class has none of that name."""
    from ._tensor_methods import Methods

    native = dir(_C.TensorBase)
    for name, method in vars(Methods).items():
        if (not name.startswith("__") or name == "__rdiv__") and name not in native:
            setattr(Tensor, name, method)


_complete()
Tensor.__module__ = __package__
_C._set_tensor_class(Tensor)
