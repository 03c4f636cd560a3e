"""`torch.profiler`: kernels with their bytes and arithmetic, and named ranges, with the interface of PyTorch's profiler."""
import enum

from .autograd.profiler import ProfilerActivity, kineto_available, record_function
from .autograd.profiler import profile as _profile

__all__ = ["ProfilerAction", "ProfilerActivity", "kineto_available", "profile", "record_function", "schedule", "tensorboard_trace_handler"]


def supported_activities():
    return {ProfilerActivity.CPU}


class ProfilerAction(enum.Enum):
    """What a schedule says of a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def schedule(*, wait, warmup, active, repeat=0, skip_first=0, skip_first_wait=0):
    """Cycles of steps that wait, warm up and record."""

    def action(step):
        if step < skip_first:
            return ProfilerAction.NONE
        cycle, position = divmod(step - skip_first, wait + warmup + active)
        if repeat and cycle >= repeat or position < wait:
            return ProfilerAction.NONE
        if position < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD_AND_SAVE if position == wait + warmup + active - 1 else ProfilerAction.RECORD

    return action


class profile(_profile):
    """Collects ranges; `step()` marks the end of a training step."""

    def __init__(self, *, activities=None, schedule=None, on_trace_ready=None, **options):
        super().__init__()
        self.schedule = schedule or (lambda step: ProfilerAction.RECORD)
        self.on_trace_ready = on_trace_ready
        self.step_num = 0

    def start(self):
        self.__enter__()

    def stop(self):
        self.__exit__(None, None, None)

    def step(self):
        if self.on_trace_ready and self.schedule(self.step_num) is ProfilerAction.RECORD_AND_SAVE:
            self.on_trace_ready(self)
        self.step_num += 1

    def __exit__(self, exc_type, exc_value, traceback):
        super().__exit__(exc_type, exc_value, traceback)
        if self.on_trace_ready and exc_type is None and self.schedule(self.step_num) is ProfilerAction.RECORD:
            self.on_trace_ready(self)

    def add_metadata_json(self, key, value):
        """Accepted."""


def tensorboard_trace_handler(dir_name, worker_name=None, use_gzip=False):
    """Writes each trace as a file that Chrome and Perfetto read."""

    def handler(prof):
        import os
        import time

        os.makedirs(dir_name, exist_ok=True)
        name = worker_name or f"{os.uname().nodename}_{os.getpid()}"
        prof.export_chrome_trace(os.path.join(dir_name, f"{name}.{time.time_ns()}.pt.trace.json"))

    return handler
