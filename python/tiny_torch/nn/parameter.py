"""Tensors that a module owns: parameters, buffers, and those whose shape is not known yet."""

from __future__ import annotations

from collections import OrderedDict

import tiny_torch as torch
from tiny_torch import _C

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "is_lazy"]


class _FlaggedMeta(type(torch.Tensor)):
    """Lets a tensor subclass count as a parameter or buffer by carrying the class's flag attribute."""

    def __instancecheck__(cls, instance):
        if type.__instancecheck__(cls, instance):
            return True
        flag = cls.__dict__.get("_flag")
        return flag is not None and isinstance(instance, torch.Tensor) and bool(getattr(instance, flag, False))


class Parameter(torch.Tensor, metaclass=_FlaggedMeta):
    """A tensor that becomes a parameter of the module it is assigned to.

    It shares storage with `data` (an empty tensor when omitted) and is a leaf of the tape.
    """

    _flag = "_is_param"

    def __new__(cls, data=None, requires_grad=True):
        if data is None:
            data = torch.empty(0)
        if type(data) is torch.Tensor or type(data) is Parameter:
            return _C._make_subclass(cls, data, requires_grad)
        # A user's own tensor subclass keeps its class and is only marked.
        param = data.detach().requires_grad_(requires_grad)
        if type(param) is torch.Tensor:
            return _C._make_subclass(cls, param, requires_grad)
        param._is_param = True
        return param

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        result = type(self)(self.data.clone(memory_format=torch.preserve_format), self.requires_grad)
        memo[id(self)] = result
        return result

    def __repr__(self, *, tensor_contents=None):
        return "Parameter containing:\n" + super().__repr__()

    __str__ = __repr__

    def __reduce_ex__(self, proto):
        from tiny_torch import _utils

        state = dict(self.__dict__)
        if not state:
            return (_utils._rebuild_parameter, (self.data, self.requires_grad, OrderedDict()))
        return (_utils._rebuild_parameter_with_state, (self.data, self.requires_grad, OrderedDict(), state))


class Buffer(torch.Tensor, metaclass=_FlaggedMeta):
    """A tensor that becomes a buffer of the module it is assigned to; `persistent` ones are in its state dict."""

    _flag = "_is_buffer"

    def __new__(cls, data=None, *, persistent=True):
        if data is None:
            data = torch.empty(0)
        buffer = data.detach().requires_grad_(data.requires_grad)
        if buffer is data:
            buffer = data.view_as(data)
        buffer.persistent = persistent
        buffer._is_buffer = True
        return buffer


class UninitializedTensorMixin:
    """A tensor whose shape is decided later, by `materialize`."""

    def materialize(self, shape, device=None, dtype=None):
        """Gives the tensor its shape (uninitialised values) and turns it into an ordinary one, in place."""
        device = self.data.device if device is None else device
        dtype = self.data.dtype if dtype is None else dtype
        self.data = torch.empty(shape, device=device, dtype=dtype)
        self.__class__ = self.cls_to_become

    @property
    def shape(self):
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. "
            "Call `forward` to initialize the parameters before accessing their attributes."
        )

    def share_memory_(self):
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize the parameters "
            "before calling `module.share_memory()`."
        )

    def __repr__(self):
        return f"<{self.__class__.__name__}>"

    def __reduce_ex__(self, proto):
        return (self.__class__, (self.requires_grad,))


def is_lazy(param) -> bool:
    """Whether `param` still waits for its shape."""
    return isinstance(param, UninitializedTensorMixin)


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter whose shape the first input decides."""

    cls_to_become = Parameter

    def __new__(cls, requires_grad=True, device=None, dtype=None):
        return _C._make_subclass(cls, torch.empty(0, device=device, dtype=dtype), requires_grad)

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        result = type(self)(self.requires_grad, self.data.device, self.data.dtype)
        memo[id(self)] = result
        return result


class UninitializedBuffer(UninitializedTensorMixin, torch.Tensor):
    """A buffer whose shape the first input decides."""

    cls_to_become = torch.Tensor

    def __new__(cls, requires_grad=False, device=None, dtype=None, persistent=True):
        buffer = _C._make_subclass(cls, torch.empty(0, device=device, dtype=dtype), requires_grad)
        buffer.persistent = persistent
        buffer._is_buffer = True
        return buffer
