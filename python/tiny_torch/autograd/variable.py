"""`Variable`, which has been another name of `Tensor` since PyTorch 0.4."""
from .._tensor import Tensor

__all__ = ["Variable"]


class _VariableMeta(type):
    def __instancecheck__(cls, instance):
        return isinstance(instance, Tensor)


class Variable(metaclass=_VariableMeta):
    """`Variable(tensor)` is the tensor itself, with `requires_grad` as asked."""

    def __new__(cls, data=None, requires_grad=None, volatile=None, **ignored):
        if data is None:
            data = Tensor()
        if requires_grad and not data.requires_grad:
            # A new variable is a leaf of its own over the same memory.
            return data.detach().requires_grad_(True)
        return data.detach() if requires_grad is False and data.requires_grad else data
