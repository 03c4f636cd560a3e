"""Helpers shared by several modules of the package."""
import sys

__all__ = ["ExceptionWrapper", "KeyErrorMessage", "cpu_count"]


class KeyErrorMessage(str):
    """A message that a KeyError shows as it is, line breaks and all."""

    __slots__ = ()

    def __repr__(self):
        return self


class ExceptionWrapper:
    """An exception, with its traceback as text, on its way from a worker to the process that waits for it."""

    def __init__(self, exc_info=None, where="in background"):
        import traceback

        kind, error, trace = exc_info or sys.exc_info()
        self.exc_type = kind
        self.exc_msg = "".join(traceback.format_exception(kind, error, trace))
        self.where = where

    def reraise(self):
        """Raises the exception here, its message telling where it came from."""
        message = f"Caught {self.exc_type.__name__} {self.where}.\nOriginal {self.exc_msg}"
        if self.exc_type is KeyError:
            raise KeyError(KeyErrorMessage(message))
        if getattr(self.exc_type, "message", None):
            raise self.exc_type(message=message)
        try:
            error = self.exc_type(message)
        except Exception:
            # Its constructor wants something else than one message.
            raise RuntimeError(message) from None
        raise error


def cpu_count():
    """How many processors this process may use."""
    import os

    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


# What checkpoints call to make tensors. The names are PyTorch's, and so are the arguments.


def _rebuild_tensor(storage, storage_offset, size, stride):
    """A view of a storage."""
    return storage.view(size, stride, storage_offset)


def _rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks, metadata=None):
    tensor = storage.view(size, stride, storage_offset)
    return tensor.requires_grad_(True) if requires_grad else tensor


def _rebuild_tensor_v3(storage, storage_offset, size, stride, requires_grad, backward_hooks, dtype, metadata=None):
    tensor = storage.view(size, stride, storage_offset, dtype)
    return tensor.requires_grad_(True) if requires_grad else tensor


def _rebuild_parameter(data, requires_grad, backward_hooks):
    from .nn.parameter import Parameter

    return Parameter(data, requires_grad)


def _rebuild_parameter_with_state(data, requires_grad, backward_hooks, state):
    parameter = _rebuild_parameter(data, requires_grad, backward_hooks)
    return _with_attributes(parameter, state)


def _rebuild_from_type_v2(func, new_type, args, state):
    """A tensor that `func` makes, as an instance of a subclass, with attributes."""
    from . import _C
    from ._tensor import Tensor

    tensor = func(*args)
    if type(tensor) is not new_type:
        if not (isinstance(new_type, type) and issubclass(new_type, Tensor)):
            raise TypeError(f"{new_type!r} is not a class of tensors")
        tensor = _C._make_subclass(new_type, tensor, tensor.requires_grad)
    return _with_attributes(tensor, state)


def _with_attributes(tensor, state):
    if isinstance(state, tuple):
        state, slots = state
        for name, value in (slots or {}).items():
            object.__setattr__(tensor, name, value)
    tensor.__dict__.update(state or {})
    return tensor
