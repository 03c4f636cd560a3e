"""`__torch_function__`: not called here. The helpers say so."""

__all__ = ["get_overridable_functions", "handle_torch_function", "has_torch_function", "is_tensor_like", "wrap_torch_function"]


def has_torch_function(relevant_args):
    return False


def has_torch_function_unary(arg):
    return False


def has_torch_function_variadic(*args):
    return False


def handle_torch_function(public_api, relevant_args, *args, **kwargs):
    raise TypeError(f"no implementation found for '{getattr(public_api, '__name__', public_api)}'")


def is_tensor_like(inp):
    from ._tensor import Tensor

    return isinstance(inp, Tensor)


def is_tensor_method_or_property(func):
    from ._tensor import Tensor

    return getattr(Tensor, getattr(func, "__name__", ""), None) is func


def wrap_torch_function(dispatcher):
    return lambda function: function


def get_overridable_functions():
    return {}


def get_ignored_functions():
    return set()


def resolve_name(f):
    return getattr(f, "__qualname__", None)


class _Mode:
    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        return None


class TorchFunctionMode(_Mode):
    """Accepted: operations are not intercepted."""


class BaseTorchFunctionMode(TorchFunctionMode):
    """Accepted: operations are not intercepted."""


class DisableTorchFunctionSubclass(_Mode):
    """There is nothing to disable."""
