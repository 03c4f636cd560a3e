"""Work that is captured once and replayed on the same tensors.

A capture records what it is given and runs nothing; a replay runs it on what the tensors hold that it reads, and writes the
tensors that were made or written in it. What repeats is recorded as a graph of the driver's by itself, with or without this.
"""
from .. import _C
from .streams import Stream, current_stream, is_current_stream_capturing, stream as _stream

__all__ = ["CUDAGraph", "graph", "graph_pool_handle", "make_graphed_callables", "is_current_stream_capturing"]

_MODES = ("global", "thread_local", "relaxed")


class CUDAGraph:
    """Captured work. `keep_graph` makes no difference."""

    def __init__(self, keep_graph=False):
        from . import init

        init()
        self._native, self._capturing = None, False

    def capture_begin(self, pool=None, capture_error_mode="global"):
        """Begins to capture what this thread does; `torch.cuda.graph` is the comfortable way.

        Until `capture_end` no number can be read from the GPU. Raises `RuntimeError` when a capture is under way, or this
        graph has captured something already.
        """
        if capture_error_mode not in _MODES:
            raise RuntimeError(f"Unknown capture error mode. Expected `global`, `thread_local`, or `relaxed`, got {capture_error_mode}")
        if self._native is not None:
            raise RuntimeError("This CUDAGraph instance already owns a captured graph. To capture a new graph, create a new instance.")
        _C._cuda_begin_capture()
        self._capturing = True

    def capture_end(self):
        """Ends the capture."""
        self._capturing = False
        self._native = _C._cuda_end_capture()

    def instantiate(self):
        """Nothing to do: a graph is compiled when it is first replayed."""

    def replay(self):
        """Runs what was captured. Raises `RuntimeError` before anything was."""
        if self._native is None:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
        self._native.replay()

    def reset(self):
        """Forgets what was captured; the tensors stay."""
        self._native = None

    def pool(self):
        """A name for the memory of the graph: it has none of its own."""
        return (0, id(self))

    def enable_debug_mode(self):
        """Makes no difference."""

    def debug_dump(self, debug_path):
        raise NotImplementedError("torch.cuda.CUDAGraph.debug_dump: TTK_LOG=graph,program shows what a replay runs")


class graph:
    """`with torch.cuda.graph(g):` captures what is done in the block."""

    default_capture_stream = None

    def __init__(self, cuda_graph, pool=None, stream=None, capture_error_mode="global"):
        if graph.default_capture_stream is None:
            graph.default_capture_stream = Stream()
        self.cuda_graph, self.pool, self.capture_error_mode = cuda_graph, () if pool is None else (pool,), capture_error_mode
        self.capture_stream = graph.default_capture_stream if stream is None else stream
        self.stream_ctx = _stream(self.capture_stream)

    def __enter__(self):
        from . import synchronize

        synchronize()
        self.stream_ctx.__enter__()
        try:
            self.cuda_graph.capture_begin(*self.pool, capture_error_mode=self.capture_error_mode)
        except BaseException:
            self.stream_ctx.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *exception):
        try:
            self.cuda_graph.capture_end()
            if exception[0] is not None:
                # Half of a block is no graph.
                self.cuda_graph.reset()
        finally:
            self.stream_ctx.__exit__(*exception)


def graph_pool_handle():
    """A name for memory that several graphs may share."""
    return (0, id(object()))


def make_graphed_callables(callables, sample_args, num_warmup_iters=3, allow_unused_input=False, pool=None):
    """The callables themselves: what they do again and again is compiled as a whole and recorded as graphs by itself, forward
    and backward. `sample_args` is a tuple of arguments, or one for each of a tuple of callables.

    Raises `RuntimeError` under autocast with its cache on, and for callables and arguments that do not belong together.
    """
    from ..amp.autocast_mode import is_autocast_cache_enabled, is_autocast_enabled

    if is_autocast_enabled() and is_autocast_cache_enabled():
        raise RuntimeError("make_graphed_callables does not support the autocast caching. Please set `cache_enabled=False`.")
    if isinstance(callables, tuple) and len(callables) != len(sample_args):
        raise RuntimeError(f"make_graphed_callables: {len(callables)} callables, but sample_args for {len(sample_args)}")
    for one in callables if isinstance(callables, tuple) else (callables,):
        if not callable(one):
            raise TypeError(f"make_graphed_callables: {type(one).__name__} is not callable")
    return callables
