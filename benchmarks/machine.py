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
