"""Python's `multiprocessing`, with `spawn` for training processes. Tensors travel between processes by value."""
import multiprocessing as _multiprocessing
from multiprocessing import *  # noqa: F403

__all__ = [*_multiprocessing.__all__, "get_all_sharing_strategies", "get_sharing_strategy", "set_sharing_strategy", "spawn", "start_processes"]


class ProcessException(Exception):
    """A process that ended badly."""

    def __init__(self, msg, error_index, pid):
        super().__init__(msg)
        self.msg = msg
        self.error_index = error_index
        self.pid = pid


class ProcessRaisedException(ProcessException):
    """A process that raised an exception."""


class ProcessExitedException(ProcessException):
    """A process that ended with a status, or by a signal."""

    def __init__(self, msg, error_index, error_pid, exit_code, signal_name=None):
        super().__init__(msg, error_index, error_pid)
        self.exit_code = exit_code
        self.signal_name = signal_name


def _run(function, index, args, errors):
    try:
        function(index, *args)
    except KeyboardInterrupt:
        pass
    except BaseException:
        import sys
        import traceback

        errors.put(traceback.format_exc())
        sys.exit(1)


class ProcessContext:
    """The processes of one `spawn`."""

    def __init__(self, processes, error_queues):
        self.processes = processes
        self.error_queues = error_queues

    def pids(self):
        return [process.pid for process in self.processes]

    def join(self, timeout=None, grace_period=None):
        """Waits for processes to end; True when all have. The first that failed ends the others, and raises."""
        from multiprocessing.connection import wait

        # Looked at once: one that ends after this look has a sentinel that is ready, and one that has failed
        # already is not waited for, because the others may never end.
        codes = [p.exitcode for p in self.processes]
        running = [p.sentinel for p, code in zip(self.processes, codes) if code is None]
        if running and all(code in (None, 0) for code in codes):
            wait(running, timeout)
            codes = [p.exitcode for p in self.processes]
        failed = next((i for i, code in enumerate(codes) if code not in (None, 0)), None)
        if failed is None:
            return all(p.exitcode == 0 for p in self.processes)
        for process in self.processes:
            if process.is_alive():
                process.terminate()
            process.join(grace_period)
        process = self.processes[failed]
        if self.error_queues[failed].empty():
            if process.exitcode < 0:
                import signal

                name = signal.Signals(-process.exitcode).name
                message = f"process {failed} terminated with signal {name}"
                raise ProcessExitedException(message, failed, process.pid, process.exitcode, name)
            message = f"process {failed} terminated with exit code {process.exitcode}"
            raise ProcessExitedException(message, failed, process.pid, process.exitcode)
        message = f"\n\n-- Process {failed} terminated with the following error:\n{self.error_queues[failed].get()}"
        raise ProcessRaisedException(message, failed, process.pid)


SpawnContext = ProcessContext


def start_processes(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn", **options):
    """Runs `fn(i, *args)` in `nprocs` processes."""
    context = _multiprocessing.get_context(start_method)
    processes, queues = [], []
    for index in range(nprocs):
        errors = context.SimpleQueue()
        process = context.Process(target=_run, args=(fn, index, args, errors), daemon=daemon)
        process.start()
        processes.append(process)
        queues.append(errors)
    running = ProcessContext(processes, queues)
    if not join:
        return running
    while not running.join():
        pass
    return None


def spawn(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn"):
    """`start_processes`, by fresh interpreters."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)


def get_all_sharing_strategies():
    return {"file_descriptor", "file_system"}


def get_sharing_strategy():
    return "file_system"


def set_sharing_strategy(new_strategy):
    """Accepted: tensors are sent by value."""
