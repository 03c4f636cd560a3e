"""PyTorch's graph capture in Python. Here graphs are the compiler's: `ttk inspect` and `jit.trace` show them."""

__all__ = ["wrap", "symbolic_trace"]


def wrap(fn_or_name):
    """Gives back what it gets: nothing is traced symbolically."""
    return fn_or_name


class Proxy:
    """A value that stands for one not yet computed. None is ever made."""


class Node:
    """An operation of a graph. None is ever made."""


class Graph:
    """A graph of operations."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError("torch.fx.Graph: use torch.jit.trace, and `ttk inspect` on the file that it saves")


class Tracer:
    """Turns a module into a graph."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError("torch.fx.Tracer: use torch.jit.trace")


class GraphModule:
    """A module made of a graph. None is ever made."""


class Interpreter:
    """Runs a graph node by node."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError("torch.fx.Interpreter: use torch.jit.trace")


Transformer = Interpreter


def symbolic_trace(root, concrete_args=None):
    raise NotImplementedError("torch.fx.symbolic_trace: use torch.jit.trace")
