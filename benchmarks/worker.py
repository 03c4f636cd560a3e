"""One package's side of a comparison: a process that runs workloads when it is told to.

Started by `harness.py` with the name of a package, a number of threads and a device. Reads one command a line from
standard input, a list in JSON, and answers each with one line of JSON: `{"answer": ...}`, or `{"error": "..."}` where
the command failed. Whatever else is printed, tracebacks too, goes to standard error. Times are in seconds.
"""

import importlib
import json
import os
import statistics
import sys
import time
import traceback


def prepare(package, threads):
    """Imports what workloads need and sets the number of threads; gives the maker of a workload."""
    if package == "tiny_torch":
        importlib.import_module(package).install_as_torch()
    if package == "jax":
        # XLA's pool has as many threads as the process may use processors, read when JAX starts.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    import torch

    torch.set_num_threads(threads)
    from workloads import EVERY, compiled

    compiled.on = package == "torch.compile"
    if package == "jax":
        from peers import in_jax

        return lambda name, device: in_jax.VERSIONS[name]()
    if package == "onnxruntime":
        from peers import in_onnx

        return lambda name, device: in_onnx.VERSIONS[name](threads)
    return lambda name, device: EVERY[name].make(device)


def peak_memory():
    """The most resident memory of this process so far, in bytes (the kernel counts in units of 1024).

    Not `ru_maxrss`: that begins with the peak of the process which started this one.
    """
    with open("/proc/self/status") as file:
        return next(int(text.split()[1]) * 1024 for text in file if text.startswith("VmHWM"))


class Worker:
    def __init__(self, package, threads, device):
        self.package, self.threads, self.device = package, threads, device
        self.step = self.result = None

    def synchronize(self):
        import torch

        (torch.cuda if self.device == "cuda" else torch.cpu).synchronize()

    def run(self, count):
        times = []
        for _ in range(count):
            start = time.perf_counter()
            self.step()
            if self.device == "cuda":
                self.synchronize()
            times.append(time.perf_counter() - start)
        return times

    def do(self, command, *arguments):
        if command == "set up":
            make = prepare(self.package, self.threads)
            self.step, self.result = make(arguments[0], self.device)
            # What was put off of making the model and its input is not part of the first step.
            return self.synchronize()
        if command == "run":
            return self.run(*arguments)
        if command == "median":
            return statistics.median(self.run(*arguments))
        if command == "result":
            return self.result()
        if command == "peak memory":
            return peak_memory()
        if command == "compiled":
            # Plans that were compiled up to now; only Tiny-Torch counts them.
            return importlib.import_module("tiny_torch")._C._counters()["cache_misses"]
        raise ValueError(f"no command {command}")


def main():
    worker = Worker(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        try:
            answer = {"answer": worker.do(*json.loads(line))}
        except Exception as problem:
            traceback.print_exc()
            text = str(problem).strip() or "no message"
            answer = {"error": f"{type(problem).__name__}: {text.splitlines()[0][:160]}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
