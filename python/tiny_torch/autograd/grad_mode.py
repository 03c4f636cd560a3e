"""Contexts and decorators that say whether operations record what `backward` needs."""
from .. import _C

__all__ = ["no_grad", "enable_grad", "set_grad_enabled", "inference_mode", "set_multithreading_enabled"]


def _generator_in_context(make_context, function, args, kwargs):
    """Runs a generator so that its own steps, and not the caller's code between them, see the context."""
    generator = function(*args, **kwargs)
    try:
        with make_context():
            item = generator.send(None)
        while True:
            try:
                sent = yield item
            except GeneratorExit:
                with make_context():
                    generator.close()
                raise
            except BaseException as error:
                with make_context():
                    item = generator.throw(error)
            else:
                with make_context():
                    item = generator.send(sent)
    except StopIteration as stop:
        return stop.value


def _decorate(make_context, function):
    """`function`, run inside a context made anew for each call."""
    import functools

    if isinstance(function, type):
        import warnings

        warnings.warn(
            "Decorating classes is deprecated and will be disabled in future versions. "
            "You should only decorate functions or methods. To preserve the current behavior "
            "of class decoration, you can directly decorate the `__init__` method and nothing else.",
            FutureWarning,
            stacklevel=3,
        )

        class Decorated(function):
            def __init__(self, *args, **kwargs):
                with make_context():
                    super().__init__(*args, **kwargs)

        functools.update_wrapper(Decorated, function, updated=())
        return Decorated

    code = getattr(function, "__code__", None)
    # 0x20 is CO_GENERATOR; `inspect` is not worth its import time here.
    if code is not None and code.co_flags & 0x20:

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return _generator_in_context(make_context, function, args, kwargs)

    else:

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            with make_context():
                return function(*args, **kwargs)

    return wrapper


class _GradModeContext:
    """A context manager that is a decorator too, with or without parentheses."""

    __slots__ = ("prev",)
    _mode = True

    def __new__(cls, orig_func=None):
        self = object.__new__(cls)
        return self if orig_func is None else _decorate(cls, orig_func)

    def __call__(self, orig_func):
        return _decorate(type(self), orig_func)

    def clone(self):
        return type(self)()

    def __enter__(self):
        self.prev = _C.is_grad_enabled()
        _C._set_grad_enabled(self._mode)

    def __exit__(self, exc_type, exc_value, traceback):
        _C._set_grad_enabled(self.prev)


class no_grad(_GradModeContext):
    """Within it, results do not require gradients. `with torch.no_grad():` or `@torch.no_grad()`."""

    __slots__ = ()
    _mode = False


class enable_grad(_GradModeContext):
    """Within it, gradients are recorded again, also inside a `no_grad`."""

    __slots__ = ()
    _mode = True


class set_grad_enabled:
    """Switches recording on or off: at once as a function, until the end of the block as a context."""

    __slots__ = ("prev", "mode")

    def __init__(self, mode):
        self.prev = _C.is_grad_enabled()
        self.mode = mode
        _C._set_grad_enabled(mode)

    def __call__(self, orig_func):
        _C._set_grad_enabled(self.prev)
        return _decorate(self.clone, orig_func)

    def clone(self):
        prev = _C.is_grad_enabled()
        copy = type(self)(self.mode)
        _C._set_grad_enabled(prev)
        return copy

    def __enter__(self):
        _C._set_grad_enabled(self.mode)

    def __exit__(self, exc_type, exc_value, traceback):
        _C._set_grad_enabled(self.prev)

    def __str__(self):
        return f"{type(self).__module__}.{type(self).__qualname__}(mode={self.mode})"

    __repr__ = __str__


class inference_mode:
    """Like `no_grad`, and promises that the results never meet autograd again."""

    __slots__ = ("mode", "prev")

    def __new__(cls, mode=True):
        if isinstance(mode, bool):
            return object.__new__(cls)
        return _decorate(cls, mode)

    def __init__(self, mode=True):
        self.mode = mode

    def __call__(self, orig_func):
        return _decorate(self.clone, orig_func)

    def clone(self):
        return type(self)(self.mode)

    def __enter__(self):
        self.prev = (_C.is_grad_enabled(), _C.is_inference_mode_enabled())
        _C._set_grad_enabled(not self.mode)
        _C._set_inference_mode(self.mode)

    def __exit__(self, exc_type, exc_value, traceback):
        grad, inference = self.prev
        _C._set_inference_mode(inference)
        _C._set_grad_enabled(grad)


class set_multithreading_enabled:
    """Accepted for compatibility: the backward pass is compiled, and parallel inside its kernels."""

    def __init__(self, mode):
        self.mode = mode

    def __enter__(self):
        return None

    def __exit__(self, exc_type, exc_value, traceback):
        return None
