"""Timing of small pieces of code."""
import time

__all__ = ["Measurement", "Timer"]


class Measurement:
    """Times of several runs, in seconds each."""

    def __init__(self, number_per_run, raw_times, label=None):
        self.number_per_run = number_per_run
        self.raw_times = raw_times
        self.times = [t / number_per_run for t in raw_times]
        self.label = label

    @property
    def median(self):
        ordered = sorted(self.times)
        middle = len(ordered) // 2
        return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2

    @property
    def mean(self):
        return sum(self.times) / len(self.times)

    def __repr__(self):
        name = f"{self.label}\n" if self.label else ""
        return f"{name}  {self.median * 1e6:.2f} us median of {len(self.times)} runs of {self.number_per_run}"


class Timer:
    """`Timer("f(x)", globals={...}).blocked_autorange()`. Each run ends when its results are computed."""

    def __init__(self, stmt="pass", setup="pass", global_setup="", timer=time.perf_counter, globals=None, label=None, num_threads=1, **options):
        self.timer = timer
        self.label = label or stmt
        self.namespace = {} if globals is None else globals
        self.setup = compile(setup, "<setup>", "exec")
        self.code = compile(stmt, "<stmt>", "exec")

    def _run(self, number):
        from .. import _C

        start = self.timer()
        for _ in range(number):
            exec(self.code, self.namespace)
            _C._flush()
        return self.timer() - start

    def timeit(self, number=1000000):
        exec(self.setup, self.namespace)
        self._run(max(1, number // 100))
        return Measurement(number, [self._run(number)], self.label)

    def blocked_autorange(self, callback=None, min_run_time=0.2):
        exec(self.setup, self.namespace)
        number = 1
        while (taken := self._run(number)) < min_run_time / 100:
            number *= 10
        times = [taken]
        while sum(times) < min_run_time:
            times.append(self._run(number))
        return Measurement(number, times, self.label)

    adaptive_autorange = blocked_autorange
