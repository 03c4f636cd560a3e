"""`compile` and its companions. Every operation is recorded and compiled anyway, so `compile` gives back what it gets."""

__all__ = [
    "allow_in_graph",
    "assume_constant_result",
    "compile",
    "cudagraph_mark_step_begin",
    "disable",
    "is_compiling",
    "is_dynamo_compiling",
    "is_exporting",
    "list_backends",
    "reset",
    "set_stance",
]


def compile(model=None, *, fullgraph=False, dynamic=None, backend="inductor", mode=None, options=None, disable=False, **ignored):
    """The function or module itself. Usable as a decorator, with or without arguments."""
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if model is None:
        return lambda model: model
    if not callable(model):
        raise RuntimeError(f"torch.compile: expected a function or a module, but got {type(model).__name__}")
    return model


def _same(fn=None, **ignored):
    """Gives back what it gets; a decorator, with or without arguments."""
    return fn if fn is not None else lambda fn: fn


def disable(fn=None, recursive=True, *, reason=None):
    """The function itself."""
    return _same(fn)


def allow_in_graph(fn):
    return fn


def assume_constant_result(fn):
    return fn


def substitute_in_graph(original_fn, **options):
    return _same


def wrap_numpy(fn):
    return fn


def reset():
    """Accepted."""


def is_compiling():
    return False


def is_dynamo_compiling():
    return False


def is_exporting():
    return False


def list_backends(exclude_tags=()):
    return ["inductor"]


def cudagraph_mark_step_begin():
    """Accepted."""


class set_stance:
    """Accepted, as a function, context and decorator."""

    def __init__(self, stance="default", **options):
        pass

    def __enter__(self):
        return None

    def __exit__(self, exc_type, exc_value, traceback):
        return None

    def __call__(self, fn):
        return fn
