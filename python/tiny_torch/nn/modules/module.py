"""`Module`, the base class of every network part."""

from __future__ import annotations

from collections import OrderedDict

import tiny_torch as torch

from ..parameter import Parameter
from ._hooks import BackwardHook, RemovableHandle
from ._registry import Registry, _global_registration_hooks, _seen_by_hooks
from ._state import _EXTRA_STATE_KEY_SUFFIX as _EXTRA_STATE_KEY_SUFFIX
from ._state import StateDict
from ._state import _IncompatibleKeys as _IncompatibleKeys
from ._state import _WrappedHook as _WrappedHook

__all__ = [
    "Module",
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]

# Hooks that run for every module. The dictionaries are never rebound, so that `_call_impl` may test them cheaply.
_global_forward_pre_hooks: dict = OrderedDict()
_global_forward_hooks: dict = OrderedDict()
_global_forward_hooks_with_kwargs: dict = OrderedDict()
_global_forward_hooks_always_called: dict = OrderedDict()
_global_backward_pre_hooks: dict = OrderedDict()
_global_backward_hooks: dict = OrderedDict()

# The hook dictionaries of a module, in the order in which `__init__` makes them.
_HOOK_DICTS = (
    "_backward_pre_hooks",
    "_backward_hooks",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


def _add(hooks, hook, prepend=False, extra=None):
    handle = RemovableHandle(hooks, extra_dict=extra)
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def register_module_forward_pre_hook(hook):
    """Runs `hook(module, args)` before the forward of every module; a result replaces the arguments."""
    return _add(_global_forward_pre_hooks, hook)


def register_module_forward_hook(hook, *, with_kwargs: bool = False, always_call: bool = False):
    """Runs `hook(module, args, output)` after the forward of every module; a result replaces the output."""
    handle = _add(
        _global_forward_hooks, hook, extra=[_global_forward_hooks_with_kwargs, _global_forward_hooks_always_called]
    )
    if with_kwargs:
        _global_forward_hooks_with_kwargs[handle.id] = True
    if always_call:
        _global_forward_hooks_always_called[handle.id] = True
    return handle


def register_module_full_backward_pre_hook(hook):
    """Runs `hook(module, grad_output)` before the backward of every module."""
    return _add(_global_backward_pre_hooks, hook)


def register_module_full_backward_hook(hook):
    """Runs `hook(module, grad_input, grad_output)` after the backward of every module."""
    return _add(_global_backward_hooks, hook)


register_module_backward_hook = register_module_full_backward_hook


def register_module_parameter_registration_hook(hook):
    """Runs `hook(module, name, param)` when any module registers a parameter; a result replaces it."""
    return _add(_global_registration_hooks["parameter"], hook)


def register_module_buffer_registration_hook(hook):
    """Runs `hook(module, name, buffer)` when any module registers a buffer; a result replaces it."""
    return _add(_global_registration_hooks["buffer"], hook)


def register_module_module_registration_hook(hook):
    """Runs `hook(module, name, submodule)` when any module registers a submodule; a result replaces it."""
    return _add(_global_registration_hooks["module"], hook)


def _addindent(text: str, spaces: int) -> str:
    first, *rest = text.split("\n")
    return "\n".join([first, *(" " * spaces + line for line in rest)])


def _forward_unimplemented(self, *input) -> None:
    """What a module computes; every subclass writes its own."""
    raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')


class Module(Registry, StateDict):
    """The base class of every network part: it owns parameters, buffers and submodules by attribute name.

    A subclass makes them in `__init__`, after `super().__init__()`, and computes in `forward`.
    """

    training: bool
    call_super_init: bool = False
    _compiled_call_impl = None

    def __init__(self, *args, **kwargs) -> None:
        if self.call_super_init is False and kwargs:
            raise TypeError(
                f"{type(self).__name__}.__init__() got an unexpected keyword argument '{next(iter(kwargs))}'"
            )
        if self.call_super_init is False and args:
            raise TypeError(
                f"{type(self).__name__}.__init__() takes 1 positional argument but {len(args) + 1} were given"
            )
        # Straight into the instance's dictionary: `__setattr__` below looks for the dictionaries made here.
        own = self.__dict__
        own["training"] = True
        own["_parameters"] = {}
        own["_buffers"] = {}
        own["_non_persistent_buffers_set"] = set()
        own["_is_full_backward_hook"] = None
        for name in _HOOK_DICTS:
            own[name] = OrderedDict()
        own["_modules"] = {}
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    forward = _forward_unimplemented

    # Calling.

    def _call_impl(self, *args, **kwargs):
        if not (
            self._forward_hooks
            or self._forward_pre_hooks
            or self._backward_hooks
            or self._backward_pre_hooks
            or _global_forward_hooks
            or _global_forward_pre_hooks
            or _global_backward_hooks
            or _global_backward_pre_hooks
        ):
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(args, kwargs)

    __call__ = _call_impl
    _wrapped_call_impl = _call_impl

    def _call_with_hooks(self, args, kwargs):
        called_always: set = set()
        result = None
        try:
            for hook in (*_global_forward_pre_hooks.items(), *self._forward_pre_hooks.items()):
                args, kwargs = self._run_pre_hook(*hook, args, kwargs)
            backward_hook = None
            backward = [*_global_backward_hooks.values(), *self._backward_hooks.values()]
            backward_pre = [*_global_backward_pre_hooks.values(), *self._backward_pre_hooks.values()]
            if backward or backward_pre:
                backward_hook = BackwardHook(self, backward, backward_pre)
                args = backward_hook.setup_input_hook(args)
            result = self.forward(*args, **kwargs)
            for table, hook_id, hook, with_kwargs in self._forward_hook_list():
                if (
                    hook_id in self._forward_hooks_always_called
                    if table is self._forward_hooks
                    else hook_id in _global_forward_hooks_always_called
                ):
                    called_always.add(hook_id)
                out = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
                if out is not None:
                    result = out
            if backward_hook is not None:
                if not isinstance(result, (torch.Tensor, tuple)):
                    import warnings

                    warnings.warn(
                        "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors "
                        f"but received {type(result)}",
                        stacklevel=3,
                    )
                result = backward_hook.setup_output_hook(result)
            return result
        except Exception:
            # Hooks that must always run do so after a failure too; their own failures are only reported.
            for table, hook_id, hook, with_kwargs in self._forward_hook_list():
                always = (
                    self._forward_hooks_always_called
                    if table is self._forward_hooks
                    else _global_forward_hooks_always_called
                )
                if hook_id in always and hook_id not in called_always:
                    try:
                        out = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
                        if out is not None:
                            result = out
                    except Exception as e:
                        import warnings

                        warnings.warn(
                            "forward hook with ``always_call=True`` raised an exception that was silenced as another "
                            f"error was raised in forward: {e}",
                            stacklevel=3,
                        )
            raise

    def _run_pre_hook(self, hook_id, hook, args, kwargs):
        if hook_id in self._forward_pre_hooks_with_kwargs:
            out = hook(self, args, kwargs)
            if out is not None:
                if not (isinstance(out, tuple) and len(out) == 2):
                    raise RuntimeError(
                        f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {out}."
                    )
                args, kwargs = out
        else:
            out = hook(self, args)
            if out is not None:
                args = out if isinstance(out, tuple) else (out,)
        return args, kwargs

    def _forward_hook_list(self):
        both = [
            (_global_forward_hooks, _global_forward_hooks_with_kwargs),
            (self._forward_hooks, self._forward_hooks_with_kwargs),
        ]
        return [(table, i, hook, i in kw) for table, kw in both for i, hook in table.items()]

    # Hooks.

    def register_forward_pre_hook(self, hook, *, prepend: bool = False, with_kwargs: bool = False):
        """Runs `hook(module, args)` (and the keyword arguments if asked) before `forward`; a result replaces them."""
        handle = _add(self._forward_pre_hooks, hook, prepend, self._forward_pre_hooks_with_kwargs)
        if with_kwargs:
            self._forward_pre_hooks_with_kwargs[handle.id] = True
        return handle

    def register_forward_hook(
        self, hook, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ):
        """Runs `hook(module, args, output)` after `forward`; a result replaces the output."""
        handle = _add(
            self._forward_hooks,
            hook,
            prepend,
            [self._forward_hooks_with_kwargs, self._forward_hooks_always_called],
        )
        if with_kwargs:
            self._forward_hooks_with_kwargs[handle.id] = True
        if always_call:
            self._forward_hooks_always_called[handle.id] = True
        return handle

    def register_full_backward_pre_hook(self, hook, prepend: bool = False):
        """Runs `hook(module, grad_output)` before the module's backward; a result replaces the gradients."""
        return _add(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(self, hook, prepend: bool = False):
        """Runs `hook(module, grad_input, grad_output)` after the module's backward; a result replaces `grad_input`."""
        if self._is_full_backward_hook is False:
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single Module. "
                "Please use only one of them."
            )
        self._is_full_backward_hook = True
        return _add(self._backward_hooks, hook, prepend)

    def register_backward_hook(self, hook):
        """The old name of `register_full_backward_hook`; here both see the gradients of the whole module."""
        if self._is_full_backward_hook is True:
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single Module. "
                "Please use only one of them."
            )
        self._is_full_backward_hook = False
        return _add(self._backward_hooks, hook)

    # Attributes.

    def __setstate__(self, state):
        self.__dict__.update(state)
        # Modules pickled by an older version may lack some of the dictionaries.
        for name in _HOOK_DICTS:
            self.__dict__.setdefault(name, OrderedDict())
        self.__dict__.setdefault("_non_persistent_buffers_set", set())
        self.__dict__.setdefault("_is_full_backward_hook", None)

    # Only called when ordinary look-up fails.
    def __getattr__(self, name: str):
        own = self.__dict__
        for table in ("_parameters", "_buffers", "_modules"):
            if table in own and name in own[table]:
                return own[table][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value) -> None:
        own = self.__dict__
        params = own.get("_parameters")
        if isinstance(value, Parameter):
            if params is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, own, own["_buffers"], own["_modules"])
            own["_non_persistent_buffers_set"].discard(name)
            self.register_parameter(name, value)
            return
        if params is not None and name in params:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{torch.typename(value)}' as parameter '{name}' (torch.nn.Parameter or None expected)"
                )
            self.register_parameter(name, value)
            return
        modules = own.get("_modules")
        if isinstance(value, Module):
            if modules is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, own, params, own["_buffers"])
            own["_non_persistent_buffers_set"].discard(name)
            modules[name] = _seen_by_hooks("module", self, name, value)
            return
        if modules is not None and name in modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{torch.typename(value)}' as child module '{name}' (torch.nn.Module or None expected)"
                )
            modules[name] = _seen_by_hooks("module", self, name, value)
            return
        buffers = own.get("_buffers")
        is_tensor = isinstance(value, torch.Tensor)
        if buffers is not None and (name in buffers or (is_tensor and getattr(value, "_is_buffer", False))):
            if value is not None and not is_tensor:
                raise TypeError(
                    f"cannot assign '{torch.typename(value)}' as buffer '{name}' "
                    "(torch.nn.Buffer, torch.Tensor or None expected)"
                )
            if name not in buffers:
                self._forget(name, own, params, modules)
                self.register_buffer(name, value, value.persistent)
            else:
                buffers[name] = _seen_by_hooks("buffer", self, name, value)
            return
        object.__setattr__(self, name, value)

    @staticmethod
    def _forget(name, *tables):
        for table in tables:
            if table is not None and name in table:
                del table[name]

    def __delattr__(self, name) -> None:
        if name in self._parameters:
            del self._parameters[name]
        elif name in self._buffers:
            del self._buffers[name]
            self._non_persistent_buffers_set.discard(name)
        elif name in self._modules:
            del self._modules[name]
        else:
            super().__delattr__(name)

    def __dir__(self):
        keys = [
            *dir(self.__class__),
            *self.__dict__,
            *self._parameters,
            *self._modules,
            *self._buffers,
        ]
        # Names that are not Python identifiers cannot be typed as attributes.
        return sorted(key for key in keys if not key[0].isdigit())

    # Modes, moves and conversions.

    def train(self, mode: bool = True):
        """Puts the module and everything below it in training mode, or in evaluation mode; returns the module."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self):
        """Puts the module in evaluation mode; returns the module."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True):
        """Sets whether the parameters ask for gradients; returns the module."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of the parameters, or fills them with zeros."""
        for p in self.parameters():
            if set_to_none:
                p.grad = None
                continue
            grad = p.grad
            if grad is not None:
                if grad.grad_fn is not None:
                    grad.detach_()
                else:
                    grad.requires_grad_(False)
                grad.zero_()

    def apply(self, fn):
        """Calls `fn(module)` on everything below the module, then on the module itself; returns the module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self, fn, recurse=True):
        """Replaces each parameter, gradient and buffer by `fn` of it; parameters keep their identity where they can."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for name, param in self._parameters.items():
            if param is None:
                continue
            with torch.no_grad():
                new = fn(param)
            if new.device.type == param.device.type:
                param.data = new
                out = param
            else:
                out = Parameter(new, param.requires_grad)
                self._parameters[name] = out
            grad = param.grad
            if grad is not None:
                with torch.no_grad():
                    new_grad = fn(grad)
                if out is param:
                    grad_requires_grad = grad.requires_grad
                    # Cleared first: a gradient must have its parameter's dtype and device at every moment.
                    param.grad = None
                    param.grad = new_grad.requires_grad_(grad_requires_grad)
                else:
                    out.grad = new_grad.requires_grad_(grad.requires_grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def cuda(self, device=None):
        """Moves parameters and buffers to a GPU, in place."""
        return self._apply(lambda t: t.cuda(device))

    def cpu(self):
        """Moves parameters and buffers to the CPU, in place."""
        return self._apply(lambda t: t.cpu())

    def type(self, dst_type):
        """Casts parameters and buffers to `dst_type`, in place."""
        return self._apply(lambda t: t.type(dst_type))

    def _cast_floating(self, dtype):
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def float(self):
        """Casts floating-point parameters and buffers to float32, in place."""
        return self._cast_floating(torch.float32)

    def double(self):
        """Casts floating-point parameters and buffers to float64, in place."""
        return self._cast_floating(torch.float64)

    def half(self):
        """Casts floating-point parameters and buffers to float16, in place."""
        return self._cast_floating(torch.float16)

    def bfloat16(self):
        """Casts floating-point parameters and buffers to bfloat16, in place."""
        return self._cast_floating(torch.bfloat16)

    def to_empty(self, *, device, recurse: bool = True):
        """Moves parameters and buffers to `device` without copying their values."""
        return self._apply(lambda t: torch.empty_like(t, device=device), recurse=recurse)

    def to(self, *args, **kwargs):
        """Moves and casts: `to(device, dtype, non_blocking)`, `to(dtype)`, `to(tensor)` or `to(memory_format=...)`.

        Only floating-point and complex tensors are cast. In place; returns the module.
        """
        device, dtype, non_blocking, memory_format = _parse_to(*args, **kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )

        def convert(t):
            target = dtype if t.is_floating_point() or t.is_complex() else None
            if memory_format is not None and t.dim() in (4, 5):
                return t.to(device, target, non_blocking, memory_format=memory_format)
            return t.to(device, target, non_blocking)

        return self._apply(convert)

    def share_memory(self):
        """Moves the storages to shared memory."""
        return self._apply(lambda t: t.share_memory_())

    def compile(self, *args, **kwargs) -> None:
        """Accepted and ignored: every module is compiled as it runs."""

    def _replicate_for_data_parallel(self):
        replica = self.__new__(type(self))
        replica.__dict__ = self.__dict__.copy()
        for name in ("_parameters", "_buffers", "_modules"):
            replica.__dict__[name] = replica.__dict__[name].copy()
        return replica

    # Printing.

    def _get_name(self):
        return self.__class__.__name__

    def extra_repr(self) -> str:
        """What `repr` shows between the brackets."""
        return ""

    def __repr__(self):
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({key}): " + _addindent(repr(module), 2) for key, module in self._modules.items()]
        if not children and len(lines) <= 1:
            return self._get_name() + "(" + "".join(lines) + ")"
        return self._get_name() + "(\n  " + "\n  ".join(lines + children) + "\n)"


def _parse_to(*args, **kwargs):
    """The arguments of `Module.to` as (device, dtype, non_blocking, memory_format), each None where not given."""
    memory_format = kwargs.pop("memory_format", None)
    device = kwargs.pop("device", None)
    dtype = kwargs.pop("dtype", None)
    non_blocking = kwargs.pop("non_blocking", False)
    kwargs.pop("copy", None)
    other = kwargs.pop("tensor", None)
    if kwargs:
        raise TypeError(
            f"to() received an invalid combination of arguments - got unexpected keyword '{next(iter(kwargs))}'"
        )
    rest = list(args)
    if rest:
        first = rest.pop(0)
        if isinstance(first, torch.Tensor):
            other = first
        elif isinstance(first, torch.dtype):
            dtype = first
        else:
            device = first
            if rest and (rest[0] is None or isinstance(rest[0], torch.dtype)):
                dtype = rest.pop(0)
        if rest:
            non_blocking = rest.pop(0)
    if other is not None:
        device, dtype = other.device, other.dtype
    if device is not None and not isinstance(device, torch.device):
        device = torch.device(device)
    return device, dtype, non_blocking, memory_format
