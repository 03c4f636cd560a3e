"""Registering operators of one's own. The Python implementation is what is called."""

__all__ = ["Library", "custom_op", "define", "impl", "register_autograd", "register_fake", "register_kernel", "triton_op", "wrap_triton"]

_operators = {}


def _decorator(function):
    """`function(*args, func)` usable as `@function(*args)`."""
    import functools

    @functools.wraps(function)
    def outer(*args, **kwargs):
        if args and callable(args[-1]) and not isinstance(args[-1], CustomOpDef):
            return function(*args, **kwargs)
        return lambda func: function(*args, func, **kwargs)

    return outer


class CustomOpDef:
    """An operator written in Python. Calling it calls the implementation, through `autograd.Function` if it has a
    backward."""

    def __init__(self, name, function):
        self._qualname = self.__qualname__ = name
        self._function = function
        self._backward = None
        self._setup = None
        self._apply = None
        import functools

        functools.update_wrapper(self, function)

    def __call__(self, *args, **kwargs):
        if self._backward is None:
            return self._function(*args, **kwargs)
        if self._apply is None:
            self._apply = _as_function(self)
        return self._apply(*args, **kwargs)

    def register_autograd(self, backward, /, *, setup_context=None):
        self._backward, self._setup, self._apply = backward, setup_context, None

    def register_fake(self, fn, /):
        return fn

    register_vmap = register_torch_dispatch = register_fake

    def register_kernel(self, device_types, fn=None, /):
        if fn is None:
            return lambda fn: self.register_kernel(device_types, fn)
        kinds = [device_types] if isinstance(device_types, str) else device_types
        if kinds is None or "cpu" in kinds:
            self._function = fn
        return fn


def _as_function(op):
    from .autograd import Function

    class Operator(Function):
        @staticmethod
        def forward(ctx, *args):
            output = op._function(*args)
            if op._setup is not None:
                op._setup(ctx, args, output)
            return output

        @staticmethod
        def backward(ctx, *grads):
            return op._backward(ctx, *grads)

    return Operator.apply


def custom_op(name, fn=None, /, *, mutates_args=(), device_types=None, schema=None, tags=None):
    """Makes an operator `namespace::name` of a Python function."""

    def make(function):
        op = _operators[name] = CustomOpDef(name, function)
        return op

    return make if fn is None else make(fn)


triton_op = custom_op


def wrap_triton(kernel, /):
    raise NotImplementedError("torch.library.wrap_triton: tiny_torch does not run Triton kernels")


def get_ctx():
    raise RuntimeError("get_ctx() may only be called inside of a function registered by register_fake")


def define(qualname, schema, *, lib=None, tags=()):
    """Accepted: an operator exists once it has an implementation."""


@_decorator
def impl(qualname, types, func=None, *, lib=None):
    if not callable(func):
        raise TypeError("impl(qualname, types, func): func is not a function")
    custom_op(qualname, func)
    return func


def _operator(op):
    return op if isinstance(op, CustomOpDef) else _operators.get(op if isinstance(op, str) else getattr(op, "_qualname", ""))


@_decorator
def register_kernel(op, device_types, func=None, *, lib=None):
    return _operator(op).register_kernel(device_types, func)


def register_fake(op, func=None, /, *, lib=None, _stacklevel=1, allow_override=False):
    """Accepted: shapes are found by running the operator."""
    return (lambda func: func) if func is None else func


def register_vmap(op, func=None, /, *, lib=None):
    return (lambda func: func) if func is None else func


impl_abstract = register_fake


def register_autograd(op, backward, /, *, setup_context=None, lib=None):
    """Gives an operator its gradient."""
    target = _operator(op)
    if target is not None:
        target.register_autograd(backward, setup_context=setup_context)


def opcheck(op, args, kwargs=None, **options):
    op(*args, **(kwargs or {}))
    return {"test_schema": "SUCCESS"}


class Library:
    """A namespace of operators."""

    def __init__(self, ns, kind, dispatch_key=""):
        self.ns = ns
        self.kind = kind
        self.dispatch_key = dispatch_key

    def define(self, schema, alias_analysis="", *, tags=()):
        return schema.partition("(")[0]

    def impl(self, op_name, fn, dispatch_key="", **options):
        name = op_name if isinstance(op_name, str) else getattr(op_name, "_qualname", str(op_name))
        if (dispatch_key or self.dispatch_key) in ("", "CPU", "CompositeImplicitAutograd", "CompositeExplicitAutograd", "Autograd", "AutogradCPU"):
            custom_op(name if "::" in name else f"{self.ns}::{name}", fn)

    def fallback(self, fn, dispatch_key="", **options):
        pass

    def _destroy(self):
        pass
