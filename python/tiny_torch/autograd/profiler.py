"""A profiler: the kernels that ran, with their bytes and arithmetic, and the wall time of named ranges.

An operation is recorded when it is called and runs later, fused with others: what a table shows is what ran. Beside each
kernel stands its share of the machine's roofline: the least time that its bytes or its arithmetic take at the rates of
[`roofline`], by the time that it took.
"""
import functools
import json
import time

from .. import _C

__all__ = ["profile", "record_function", "emit_nvtx", "emit_itt", "EventList", "ProfilerActivity", "roofline"]

_active = []


@functools.lru_cache(maxsize=None)
def _measured(threads):
    import tiny_torch as torch

    def fastest(compute):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            result = compute()
            _C._flush()
            times.append(time.perf_counter() - start)
            del result
        return min(times)

    with torch.no_grad():
        x, a = torch.ones(16_000_000), torch.ones(768, 768)
        _C._flush()
        return 2 * 4 * x.numel() / fastest(lambda: x + 1.0), 2 * 768**3 / fastest(lambda: a @ a)


def roofline():
    """`(bytes, operations)` a second that this machine reaches on the threads that are set; measured once for each number
    of threads, in about a tenth of a second, by an addition of arrays larger than the caches and a product of matrices."""
    return _measured(_C.get_num_threads())


class ProfilerActivity:
    """What may be measured. Kernels are, wherever they run."""

    CPU, CUDA, XPU, MTIA, HPU, PrivateUse1 = "CPU", "CUDA", "XPU", "MTIA", "HPU", "PrivateUse1"


def kineto_available():
    return False


class record_function:
    """Names the time that a block takes, in every profile that is running.

    Operations of the block that nobody looks at in it run later, and are not in its time.
    """

    def __init__(self, name, args=None):
        self.name = name

    def __enter__(self):
        self.start = time.perf_counter()
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        if _active:
            event = FunctionEvent(self.name, self.start, time.perf_counter())
            for running in _active:
                running._events.append(event)

    def __call__(self, function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            with record_function(self.name):
                return function(*args, **kwargs)

        return wrapper


class FunctionEvent:
    """One range or kernel: its name, how often it ran and for how long, in microseconds; of kernels, the source line, the
    bytes moved at the least and the operations."""

    def __init__(self, name, start, end, count=1, total=None, line="", bytes=0.0, flops=0.0, is_kernel=False):
        self.name = self.key = name
        self.start, self.end = start, end
        self.count = count
        self.cpu_time_total = (end - start) * 1e6 if total is None else total
        self.line, self.bytes, self.flops, self.is_kernel = line, bytes, flops, is_kernel

    @property
    def cpu_time(self):
        return self.cpu_time_total / max(1, self.count)

    @property
    def roofline(self):
        """The least time for the bytes and operations by the time taken; `None` for what is no kernel."""
        if not self.is_kernel or not self.cpu_time_total:
            return None
        bandwidth, rate = roofline()
        return max(self.bytes / bandwidth, self.flops / rate) / (self.cpu_time_total * 1e-6)

    self_cpu_time_total = property(lambda self: self.cpu_time_total)
    cuda_time = cuda_time_total = self_cuda_time_total = property(lambda self: 0.0)
    device_time = device_time_total = self_device_time_total = property(lambda self: 0.0)

    def __repr__(self):
        return f"<FunctionEvent name={self.name} count={self.count} cpu_time={self.cpu_time:.3f}us>"


def _number(x):
    """`x` with three digits and a prefix; nothing for zero."""
    if not x:
        return ""
    for scale, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if x >= scale:
            return f"{x / scale:.3g} {prefix}"
    return f"{x:.3g} "


class EventList(list):
    """Ranges and kernels, as a table when printed."""

    def key_averages(self, **options):
        """One event for each name, and for each line of the program that a kernel of that name is for."""
        totals = {}
        for event in self:
            key = (event.name, event.line, event.is_kernel)
            one = totals.setdefault(key, FunctionEvent(event.name, 0, 0, 0, 0.0, event.line, is_kernel=event.is_kernel))
            one.count += event.count
            one.cpu_time_total += event.cpu_time_total
            one.bytes += event.bytes
            one.flops += event.flops
        return EventList(totals.values())

    def total_average(self):
        events = [event for event in self if event.is_kernel] or self
        total = FunctionEvent("Total", 0, 0, len(events) or 1, sum(event.cpu_time_total for event in events))
        total.bytes, total.flops = sum(e.bytes for e in events), sum(e.flops for e in events)
        return total

    def table(self, sort_by=None, row_limit=100, max_name_column_width=55, header=None, **options):
        events = sorted(self, key=lambda e: -(getattr(e, sort_by, 0) or 0)) if sort_by else list(self)
        shown = events if row_limit < 0 else events[:row_limit]
        titles = ["Name", "CPU total", "CPU time avg", "# of Calls"]
        rows = [[e.name[:max_name_column_width], f"{e.cpu_time_total:.3f}us", f"{e.cpu_time:.3f}us", str(e.count)] for e in shown]
        if any(event.is_kernel for event in shown):
            titles += ["Bytes", "FLOPs", "Bytes/s", "FLOP/s", "Roofline", "Line"]
            for row, e in zip(rows, shown):
                seconds, share = e.cpu_time_total * 1e-6 or 1.0, e.roofline
                row += [_number(e.bytes) + "B" if e.bytes else "", _number(e.flops).strip()]
                row += [_number(e.bytes / seconds) + "B/s" if e.bytes else "", _number(e.flops / seconds).strip()]
                row += ["" if share is None else f"{share:.0%}", e.line]
        rows = [titles, *rows]
        widths = [max(len(row[i]) for row in rows) for i in range(len(titles))]
        rule = "  ".join("-" * width for width in widths)
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows]
        return "\n".join([*([header] if header else []), rule, lines[0], rule, *lines[1:], rule])

    __str__ = table

    def export_chrome_trace(self, path):
        """Writes a file for Perfetto or `chrome://tracing`: ranges of the program in one row, kernels in another."""
        trace = [{"name": "thread_name", "ph": "M", "pid": 0, "tid": t, "args": {"name": n}} for t, n in ((0, "program"), (1, "kernels"))]
        for e in self:
            event = {"name": e.name, "ph": "X", "ts": e.start * 1e6, "dur": e.cpu_time_total, "pid": 0, "tid": int(e.is_kernel)}
            if e.is_kernel:
                event["args"] = {"line": e.line, "bytes": e.bytes, "flops": e.flops}
            trace.append(event)
        with open(path, "w") as file:
            json.dump({"traceEvents": trace}, file)


class profile:
    """Collects the kernels that run, the ranges named by `record_function`, and the whole block.

    What was recorded before the block runs before it, and what the block recorded runs in it.
    """

    def __init__(self, enabled=True, **options):
        self.enabled = enabled
        self._events = EventList()

    def __enter__(self):
        if self.enabled:
            _C._flush()
            _C._profile_start()
            if not _active:
                profile._since = time.perf_counter()
            self._start = time.perf_counter()
            _active.append(self)
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        if not self.enabled:
            return
        try:
            _C._flush()
        finally:
            end = time.perf_counter()
            for name, line, start, seconds, moved, operations in _C._profile_stop():
                start += profile._since
                event = FunctionEvent(name, start, start + seconds, 1, None, line, moved, operations, True)
                for running in _active:
                    if running._start <= start:
                        running._events.append(event)
            _active.remove(self)
            self._events.append(FunctionEvent("[profiled block]", self._start, end))

    @property
    def function_events(self):
        return self._events

    def events(self):
        return self._events

    def key_averages(self, group_by_input_shape=False, group_by_stack_n=0, **options):
        return self._events.key_averages()

    def total_average(self):
        return self._events.total_average()

    def table(self, **options):
        return self._events.table(**options)

    def export_chrome_trace(self, path):
        self._events.export_chrome_trace(path)

    @property
    def self_cpu_time_total(self):
        return sum(event.cpu_time_total for event in self._events if event.is_kernel)


class emit_nvtx(profile):
    """Accepted; there is nothing to mark."""


class emit_itt(profile):
    """Accepted; there is nothing to mark."""
