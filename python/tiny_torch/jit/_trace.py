"""Recording functions and modules, and the files that keep them."""
import json

from .. import _C
from .._tensor import Tensor
from ..nn import Module
from ..utils._pytree import tree_flatten, tree_unflatten
from . import _annotations

__all__ = ["ScriptFunction", "ScriptModule", "TracerWarning", "load", "save", "trace", "trace_module"]


class TracerWarning(Warning):
    """Something that a recording may not keep."""

    @staticmethod
    def ignore_lib_warnings():
        """Accepted."""


def _describe(tree):
    """The shape of a nested result, without its leaves, as JSON can hold it."""
    if isinstance(tree, Tensor):
        return "*"
    if isinstance(tree, dict):
        return {"dict": [[key, _describe(value)] for key, value in tree.items()]}
    if isinstance(tree, (list, tuple)):
        return {"list" if isinstance(tree, list) else "tuple": [_describe(value) for value in tree]}
    raise RuntimeError(
        "Tracer cannot infer type of " + type(tree).__name__ + ": a recorded function takes and returns tensors, and "
        "lists, tuples and dictionaries of tensors"
    )


def _assemble(shape, leaves):
    """The nested result of that shape."""
    if shape == "*":
        return next(leaves)
    ((kind, parts),) = shape.items()
    if kind == "dict":
        return {key: _assemble(part, leaves) for key, part in parts}
    values = []
    for part in parts:
        values.append(_assemble(part, leaves))
    return values if kind == "list" else tuple(values)


def _leaves(tree):
    leaves, _ = tree_flatten(tree)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            _describe(leaf)
    return leaves


class _Recording:
    """A compiled graph, and how its flat results are put together."""

    def __init__(self, graph, shape):
        self.graph = graph
        self.shape = shape

    def __call__(self, args):
        results = self.graph(*_leaves(args))
        return _assemble(self.shape, iter(results if isinstance(results, (tuple, list)) else (results,)))


def _record(function, args, state):
    """Runs `function(*args)` once and records it, with the tensors of `state` as its weights."""
    leaves, spec = tree_flatten(args)
    shape = []

    def flat(*tensors):
        result = function(*tree_unflatten(tensors, spec))
        shape.append(_describe(result))
        return tuple(tree_flatten(result)[0])

    _annotations._tracing.append(True)
    try:
        with _no_grad():
            graph = _C._trace(flat, tuple(leaf.detach() for leaf in _leaves(args)), state)
    finally:
        _annotations._tracing.pop()
    return _Recording(graph, shape[-1])


def _no_grad():
    from ..autograd.grad_mode import no_grad

    return no_grad()


def _as_tuple(example_inputs):
    return tuple(example_inputs) if isinstance(example_inputs, (list, tuple)) else (example_inputs,)


class _Compiled:
    """What recorded functions and modules have in common."""

    def save(self, f, _extra_files=None, cuda=(), **ignored):
        """Writes a `.ttk` file: graph and weights. It runs by `torch.jit.load`, and by the program `ttk`. For `cuda` see
        `torch.jit.save`."""
        import os

        extra = {name: text if isinstance(text, str) else text.decode("latin1") for name, text in (_extra_files or {}).items()}
        extra = {f"extra:{name}": text for name, text in extra.items()}
        extra["results"] = json.dumps(self._recording.shape)
        if isinstance(f, (str, os.PathLike)):
            self._recording.graph.save(os.fspath(f), extra, list(cuda))
            return
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.ttk")
            self._recording.graph.save(path, extra, list(cuda))
            with open(path, "rb") as file:
                f.write(file.read())

    @property
    def graph(self):
        """The recorded graph, as text."""
        return self._recording.graph.graph_text()

    inlined_graph = graph

    def graph_after(self, name):
        """The graph after the named pass of the compiler, as text."""
        return self._recording.graph.graph_text(name)

    @property
    def code(self):
        return self.graph


class ScriptFunction(_Compiled):
    """A recorded function."""

    def __init__(self, recording, original=None, name="forward"):
        self._recording = recording
        self._original = original
        self.__name__ = self.name = name

    def __call__(self, *args):
        if self._original is not None and _needs_grad(args):
            return self._original(*args)
        return self._recording(args)

    def __repr__(self):
        return f"<torch.jit.ScriptFunction {self.__name__}>"


def _needs_grad(values):
    return _C.is_grad_enabled() and any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in tree_flatten(values)[0])


class ScriptModule(_Compiled, Module):
    """A recorded module. Where gradients are asked for, the module that was recorded runs itself."""

    def __init__(self, recording=None, original=None):
        super().__init__()
        self.__dict__["_recording"] = recording
        self.__dict__["_original"] = original
        if original is not None:
            # Its tensors and its names are this module's too.
            for table in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
                self.__dict__[table] = getattr(original, table)
            self.__dict__["training"] = original.training

    @property
    def original_name(self):
        return type(self if self._original is None else self._original).__name__

    def forward(self, *args):
        if self._recording is None:
            raise NotImplementedError("a ScriptModule without a recording: use torch.jit.trace")
        if self._original is not None and _C.is_grad_enabled() and (_needs_grad(args) or any(p.requires_grad for p in self.parameters())):
            return self._original(*args)
        return self._recording(args)

    def _get_name(self):
        return self.original_name

    def extra_repr(self):
        return f"original_name={self.original_name}"


def trace(
    func,
    example_inputs=None,
    optimize=None,
    check_trace=True,
    check_inputs=None,
    check_tolerance=1e-5,
    strict=True,
    _force_outplace=False,
    _module_class=None,
    _compilation_unit=None,
    example_kwarg_inputs=None,
    _store_inputs=True,
):
    """Runs `func`, a function or a module, on example inputs and records what it computes.

    The recording has no control flow: what the examples took is what it is. `check_trace` runs it on the examples
    again and warns when the results differ, as they do when the function draws random numbers.
    """
    if isinstance(func, _Compiled):
        return func
    if example_kwarg_inputs is not None:
        if example_inputs is not None:
            raise RuntimeError("example_inputs and example_kwarg_inputs can not be specified at the same time")
        import inspect

        target = func.forward if isinstance(func, Module) else func
        names = [name for name in inspect.signature(target).parameters if name in example_kwarg_inputs]
        example_inputs = tuple(example_kwarg_inputs[name] for name in names)
    if example_inputs is None:
        raise RuntimeError("torch.jit.trace needs example_inputs or example_kwarg_inputs")
    args = _as_tuple(example_inputs)
    state = {}
    if isinstance(func, Module):
        state = {name: tensor.detach() for name, tensor in (*func.named_parameters(), *func.named_buffers())}
    recording = _record(func, args, state)
    if check_trace:
        _check(func, recording, args, check_tolerance)
        for other in check_inputs or ():
            _check(func, recording, _as_tuple(other), check_tolerance)
    if isinstance(func, Module):
        return ScriptModule(recording, func)
    return ScriptFunction(recording, func, getattr(func, "__name__", "forward"))


def _check(function, recording, args, tolerance):
    """Warns when the recording does not give what the function gives."""
    from ..random import fork_rng

    with _no_grad(), fork_rng():
        expected = tree_flatten(function(*args))[0]
    with fork_rng():
        found = tree_flatten(recording(args))[0]
    for number, (a, b) in enumerate(zip(expected, found)):
        if not _C.allclose(a.double(), b.double(), rtol=tolerance, atol=tolerance, equal_nan=True):
            import warnings

            warnings.warn(
                f"Output nr {number + 1}. of the traced function does not match the corresponding output of the Python "
                "function. A recording keeps no randomness and no choice that depends on data.",
                TracerWarning,
                stacklevel=4,
            )
            return


def trace_module(mod, inputs, **options):
    """Records the module's `forward`. Other methods are not recorded."""
    others = sorted(set(inputs) - {"forward"})
    if others:
        raise NotImplementedError(f"torch.jit.trace_module: only forward is recorded, not {', '.join(others)}")
    return trace(mod, inputs["forward"], **options)


def save(m, f, _extra_files=None, cuda=()):
    """Writes what `trace` made to a `.ttk` file.

    `cuda` names architectures of GPUs (`"sm_90"`) to add machine code for; it takes NVRTC, but no GPU.
    Raises `ValueError` for a name that is none, `RuntimeError` without NVRTC; nothing is written then.
    """
    if not isinstance(m, _Compiled):
        raise TypeError(f"torch.jit.save: expected what torch.jit.trace returns, got {type(m).__name__}")
    m.save(f, _extra_files, cuda=cuda)


def load(f, map_location=None, _extra_files=None, _restore_shapes=False, trusted=False):
    """Reads a `.ttk` file. It is data: its graph is verified and compiled here, and nothing in it is run as it stands.

    With `trusted=True`, for a file from someone who may run code here, machine code in it is used: on a GPU of an
    architecture that the file has code for, NVRTC is spared the kernels that come out as they were for the file. What is
    around a call is compiled with it, so that others may be needed; `ttk run --device cuda --trusted` needs none.
    """
    import os

    if isinstance(f, (str, os.PathLike)):
        path = os.fspath(f)
        if not os.path.exists(path):
            raise ValueError(f"The provided filename {f} does not exist")
        if os.path.isdir(path):
            raise ValueError(f"The provided filename {f} is a directory")
        graph = _C._load_ttk(path, trusted)
    else:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.ttk")
            with open(path, "wb") as file:
                file.write(f.read())
            graph = _C._load_ttk(path, trusted)
    extra = getattr(graph, "extra", None) or {}
    for name in _extra_files or ():
        _extra_files[name] = extra.get(f"extra:{name}", "").encode("latin1")
    return ScriptModule(_Recording(graph, _result_shape(extra.get("results"), len(graph.outputs))))


def _result_shape(text, count):
    """How a file says that its `count` results are put together. Raises RuntimeError when it does not say so."""
    if text is None:
        return "*" if count == 1 else {"tuple": ["*"] * count}
    try:
        shape = json.loads(text)
        leaves = iter(range(count))
        _assemble(shape, leaves)
        if next(leaves, None) is None:
            return shape
    except (ValueError, TypeError, AttributeError, StopIteration, RecursionError):
        pass
    raise RuntimeError("the file is damaged: how its results are put together does not fit the graph")
