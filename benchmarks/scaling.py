"""How far a training step scales: a prediction from one thread's figures, beside what two threads measure.

    python benchmarks/scaling.py [--only NAME] [--bandwidth GB/s of a socket] [--write FILE]

On one thread, `torch.profiler` gives for each kernel its time, its bytes and its operations; what a step takes beside its
kernels is Python's part, which no thread shares. The model of docs/design/scaling.md makes of these the time on p threads:
a kernel's chunks are dealt out, and its bytes come no faster than the memory's rate. The rates of memory on one and on two
threads are measured here; that of a large machine's socket is an argument.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

FOLDER = os.path.dirname(os.path.abspath(__file__))
WORKLOADS = ("MLP", "MNIST CNN", "ResNet-18", "LSTM", "GPT 6x384, context")
THREADS = (2, 4, 8, 16, 32, 64)

# How kernels are cut, as `runtime/src/plan` does it: seconds under which a kernel stays on one thread, and under which it is
# for threads that are awake; seconds of the smallest chunk of those and of others, and how many chunks there are at most;
# products of matrices have their own.
WORTH_SHARING, WORTH_WAKING = 4e-6, 20e-6
SMALL_CHUNK, CHUNK, CHUNKS = 2e-6, 5e-6, 256
SMALL_TASKS, TASK, TASKS = 2, 10e-6, 64
# What entering and leaving a shared kernel costs for each doubling of the threads.
BARRIER = 1e-6


def measure(name, threads):
    """Seconds of a step; of one profiled step the kernels as (name, seconds, bytes, operations) and the seconds beside them;
    bytes a second of memory."""
    import tiny_torch

    tiny_torch.install_as_torch()
    import torch
    from torch.autograd.profiler import roofline
    from workloads import WORKLOADS as ALL

    torch.set_num_threads(threads)
    full = next(known for known in ALL if known.startswith(name) and ("step" in known or "Adam" in known))
    step, _ = ALL[full].make("cpu")

    def run():
        step()
        torch.cpu.synchronize()

    for _ in range(4):
        run()
    times, begin = [], time.perf_counter()
    while len(times) < 5 or (time.perf_counter() - begin < 3 and len(times) < 200):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    profiled = []
    for _ in range(5):
        with torch.profiler.profile() as prof:
            start = time.perf_counter()
            run()
            whole = time.perf_counter() - start
        kernels = [(e.name, e.cpu_time_total * 1e-6, e.bytes, e.flops) for e in prof.events() if e.is_kernel]
        profiled.append((whole, whole - sum(kernel[1] for kernel in kernels), kernels))
    profiled.sort()
    whole, beside, kernels = profiled[len(profiled) // 2]
    return {
        "name": full,
        "seconds": statistics.median(times),
        "profiled": whole,
        "beside": beside,
        "kernels": kernels,
        "bandwidth": roofline()[0],
    }


def in_process(name, threads):
    code = f"import sys, json; sys.path.insert(0, {FOLDER!r}); import scaling; print(json.dumps(scaling.measure({name!r}, {threads})))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"{name} on {threads} threads failed:\n{run.stderr[-2000:]}")
    return json.loads(run.stdout.splitlines()[-1])


def predict(one, threads, bandwidth):
    """Seconds of a step on so many threads, by what they go to."""
    spent = {"Python": one["beside"], "small kernels": 0.0}
    spent |= {"arithmetic": 0.0, "memory": 0.0, "barriers": 0.0, "too few chunks": 0.0}
    for name, seconds, moved, _ in one["kernels"]:
        if seconds < WORTH_SHARING:
            spent["small kernels"] += seconds
            continue
        product, small = name.startswith("gemm"), seconds < WORTH_WAKING
        if product:
            chunks = SMALL_TASKS if small else min(TASKS, int(seconds / TASK))
        else:
            chunks = min(CHUNKS, int(seconds / (SMALL_CHUNK if small else CHUNK)))
        # The slowest thread has so many of the chunks.
        rounds = -(-chunks // min(threads, chunks))
        dealt, even = seconds * rounds / chunks, seconds / threads
        fed = moved / bandwidth
        spent["memory" if fed > dealt else "arithmetic"] += max(fed, even)
        spent["too few chunks"] += max(0.0, max(fed, dealt) - max(fed, even))
        spent["barriers"] += BARRIER * (threads - 1).bit_length()
    return spent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="workloads whose name has this")
    parser.add_argument("--bandwidth", type=float, default=200.0, help="GB/s that a socket's memory gives (default 200)")
    parser.add_argument("--write", help="a file that the table goes to as well")
    arguments = parser.parse_args()
    lines = ["| training step | 2 threads, measured | predicted | " + " | ".join(f"{p}" for p in THREADS[1:]) + " | two sockets | first bottleneck |"]
    lines.append("|---" * (len(THREADS) + 4) + "|")
    for name in WORKLOADS:
        if arguments.only not in name:
            continue
        one, two = in_process(name, 1), in_process(name, 2)
        total = lambda spent: sum(spent.values())
        speedup = lambda p, bandwidth: one["profiled"] / total(predict(one, p, bandwidth))
        # As many times one thread's rate as there are threads, until the socket has no more.
        rate = lambda p: min(p * one["bandwidth"], arguments.bandwidth * 1e9)
        # On two sockets, memory that one thread touched first is on one of them: half of all accesses cross over.
        apart = arguments.bandwidth * 1e9 / 2
        last = predict(one, THREADS[-1], rate(THREADS[-1]))
        most = max(last, key=last.get)
        cells = [one["name"], f"{one['seconds'] / two['seconds']:.2f}", f"{speedup(2, two['bandwidth']):.2f}"]
        cells += [f"{speedup(p, rate(p)):.1f}" for p in THREADS[1:]]
        cells += [f"{speedup(64, apart):.1f}", f"{most}, {last[most] / total(last):.0%}"]
        lines.append("| " + " | ".join(cells) + " |")
        print(f"{one['name']}: {one['seconds'] * 1e3:.2f} ms on one thread, {two['seconds'] * 1e3:.2f} on two", file=sys.stderr)
    table = "\n".join(lines)
    print(table)
    if arguments.write:
        with open(arguments.write, "w") as file:
            file.write(table + "\n")


if __name__ == "__main__":
    main()
