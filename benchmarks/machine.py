"""The machine and the versions that figures belong to."""

import importlib.metadata
import os
import platform


def _of_proc(path, key):
    """The value after `key` in a file of /proc, or "unknown"."""
    try:
        with open(path) as file:
            return next(text.split(":", 1)[1].strip() for text in file if text.startswith(key))
    except (OSError, StopIteration):
        return "unknown"


def machine():
    """Processor, processors at hand, vector instructions, memory in GiB."""
    flags = _of_proc("/proc/cpuinfo", "flags").split()
    names = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX-512 bf16", "amx_tile": "AMX"}
    vectors = ", ".join(name for flag, name in names.items() if flag in flags) or "no AVX2"
    memory = _of_proc("/proc/meminfo", "MemTotal").split()[0]
    memory = f"{int(memory) / 2**20:.0f} GiB" if memory.isdigit() else "unknown memory"
    cores = len(os.sched_getaffinity(0))
    model = _of_proc("/proc/cpuinfo", "model name")
    return f"{model}, {cores} cores, {vectors}, {memory}; {platform.system()}, Python {platform.python_version()}"


def versions():
    """`{package: version}` of what is installed."""
    found = {}
    for package in ("tiny_torch", "torch", "jax", "onnxruntime", "numpy"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


class Others:
    """What part of the processors' time goes to processes other than `pids`, from when this is made."""

    def __init__(self, pids):
        self.pids = list(pids)
        self.before = self._ticks()

    def _ticks(self):
        """Clock ticks up to now: of all processors, busy ones of all processes, those of ours."""
        with open("/proc/stat") as file:
            user, nice, system, idle, waiting, *rest = map(int, file.readline().split()[1:9])
        busy = user + nice + system + sum(rest)
        own = 0
        for pid in self.pids:
            with open(f"/proc/{pid}/stat") as file:
                # Times are the 14th and 15th field; the second, in parentheses, may hold spaces.
                own += sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))
        return busy + idle + waiting, busy, own

    def share(self):
        """A number from 0 to 1; `None` where the kernel does not tell."""
        try:
            every, busy, own = (b - a for a, b in zip(self.before, self._ticks()))
        except (OSError, ValueError):
            return None
        return min(max((busy - own) / every, 0.0), 1.0) if every else 0.0
