"""A small profiler: wall time of named ranges."""
import time

__all__ = ["profile", "record_function", "emit_nvtx", "emit_itt", "EventList", "ProfilerActivity"]

_active = []


class ProfilerActivity:
    """What may be measured. Only the CPU's wall time is."""

    CPU, CUDA, XPU, MTIA, HPU, PrivateUse1 = "CPU", "CUDA", "XPU", "MTIA", "HPU", "PrivateUse1"


def kineto_available():
    return False


class record_function:
    """Names the time that a block takes, in every profile that is running."""

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
        import functools

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            with record_function(self.name):
                return function(*args, **kwargs)

        return wrapper


class FunctionEvent:
    """One range: its name, how often it ran and for how long, in microseconds."""

    def __init__(self, name, start, end, count=1, total=None):
        self.name = self.key = name
        self.start, self.end = start, end
        self.count = count
        self.cpu_time_total = (end - start) * 1e6 if total is None else total

    @property
    def cpu_time(self):
        return self.cpu_time_total / max(1, self.count)

    self_cpu_time_total = property(lambda self: self.cpu_time_total)
    cuda_time = cuda_time_total = self_cuda_time_total = property(lambda self: 0.0)
    device_time = device_time_total = self_device_time_total = property(lambda self: 0.0)

    def __repr__(self):
        return f"<FunctionEvent name={self.name} count={self.count} cpu_time={self.cpu_time:.3f}us>"


class EventList(list):
    """Ranges, as a table when printed."""

    def key_averages(self, **options):
        totals = {}
        for event in self:
            count, total = totals.get(event.name, (0, 0.0))
            totals[event.name] = (count + event.count, total + event.cpu_time_total)
        return EventList(FunctionEvent(name, 0, 0, count, total) for name, (count, total) in totals.items())

    def total_average(self):
        return FunctionEvent("Total", 0, 0, len(self) or 1, sum(event.cpu_time_total for event in self))

    def table(self, sort_by=None, row_limit=100, max_name_column_width=55, header=None, **options):
        events = sorted(self, key=lambda e: -getattr(e, sort_by, 0)) if sort_by else list(self)
        rows = [(e.name[:max_name_column_width], f"{e.cpu_time_total:.3f}us", f"{e.cpu_time:.3f}us", str(e.count)) for e in events]
        rows = [("Name", "CPU total", "CPU time avg", "# of Calls"), *(rows if row_limit < 0 else rows[:row_limit])]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        rule = "  ".join("-" * width for width in widths)
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows]
        return "\n".join([*([header] if header else []), rule, lines[0], rule, *lines[1:], rule])

    __str__ = table

    def export_chrome_trace(self, path):
        import json

        trace = [
            {"name": e.name, "ph": "X", "ts": e.start * 1e6, "dur": (e.end - e.start) * 1e6, "pid": 0, "tid": 0} for e in self
        ]
        with open(path, "w") as file:
            json.dump({"traceEvents": trace}, file)


class profile:
    """Collects the ranges named by `record_function`, and the whole block."""

    def __init__(self, enabled=True, **options):
        self.enabled = enabled
        self._events = EventList()

    def __enter__(self):
        if self.enabled:
            self._start = time.perf_counter()
            _active.append(self)
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        if self.enabled:
            _active.remove(self)
            self._events.append(FunctionEvent("[profiled block]", self._start, time.perf_counter()))

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
        return sum(event.cpu_time_total for event in self._events)


class emit_nvtx(profile):
    """Accepted; there is nothing to mark."""


class emit_itt(profile):
    """Accepted; there is nothing to mark."""
