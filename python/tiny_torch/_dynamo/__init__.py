"""Settings of PyTorch's own compiler, which programs touch. They are kept, and nothing reads them."""
from ..compiler import allow_in_graph, disable, is_compiling, reset
from . import config

__all__ = ["allow_in_graph", "config", "disable", "is_compiling", "mark_dynamic", "mark_static", "reset"]


def mark_dynamic(tensor, index, *, hint_override=None, min=None, max=None):
    """Accepted: sizes become symbols by themselves."""


def mark_static(tensor, index=None):
    """Accepted."""


def mark_static_address(tensor, guard=True):
    """Accepted."""


mark_unbacked = maybe_mark_dynamic = mark_dynamic


def graph_break(msg=""):
    """Accepted."""


def optimize(*args, **kwargs):
    return lambda fn: fn


def explain(f, *args, **kwargs):
    raise NotImplementedError("torch._dynamo.explain: use `ttk inspect`")
