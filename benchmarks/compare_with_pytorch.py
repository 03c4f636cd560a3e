"""Times the same PyTorch programs on PyTorch and on Tiny-Torch, in turns, and prints the ratios.

    python benchmarks/compare_with_pytorch.py                 # every workload, 2 threads
    python benchmarks/compare_with_pytorch.py --threads 1 --only MLP

Each package runs in a process of its own; the two take turns (A B A B ...), a fraction of a second each, so that what
else the machine does meets both. A turn's figure is the median time of its steps, a row's the median over turns of
PyTorch's figure divided by ours. Before anything is timed both packages' results are compared.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time

FOLDER = os.path.dirname(os.path.abspath(__file__))
PACKAGES = ("torch", "tiny_torch")
# Steps before anything is timed: compilation, caches, the allocator. Their results are compared.
WARM_UP = 12
# Seconds of a turn, and of rest before it: threads of the other package that still spin have gone to sleep then.
TURN, REST = 0.25, 0.02


class Package:
    """A worker process."""

    def __init__(self, name, threads):
        self.name = name
        command = [sys.executable, os.path.join(FOLDER, "worker.py"), name, str(threads)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, *command):
        print(json.dumps(command), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.name} stopped: exit code {self.process.wait()}")
        return json.loads(answer)


def difference(a, b):
    """The largest relative difference of two lists of numbers."""
    if len(a) != len(b):
        return float("inf")
    return max(abs(x - y) / max(abs(x), abs(y), 1e-3) for x, y in zip(a, b))


def measure(packages, workload, turns):
    """`(ratios, times)`: PyTorch's time by ours for each turn, and each package's median step in seconds."""
    for package in packages:
        package.ask("set up", workload)
        package.ask("run", WARM_UP)
    results = [package.ask("result") for package in packages]
    wrong = difference(*results)
    if wrong > 1e-3:
        sys.exit(f"{workload}: results differ by {wrong:.1e}; nothing was timed")
    # The rest of the warm-up tells how many steps make a turn.
    steps = [max(3, int(TURN / statistics.median(package.ask("run", 10)))) for package in packages]
    figures = [[], []]
    for _ in range(turns):
        for package, n, mine in zip(packages, steps, figures):
            time.sleep(REST)
            mine.append(statistics.median(package.ask("run", n)))
    return [t / o for t, o in zip(*figures)], [statistics.median(f) for f in figures], wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--only", help="workloads whose name contains this")
    parser.add_argument("--at-least", type=float, help="fail if a ratio is below this")
    args = parser.parse_args()
    for package, how in (("torch", "pip install torch==2.15.0 numpy"), ("tiny_torch", "make wheel, and pip install the wheel")):
        if importlib.util.find_spec(package) is None:
            sys.exit(f"{package} is not installed in {sys.prefix}: {how}. `make bench` sets an environment up.")
    packages = [Package(name, args.threads) for name in PACKAGES]
    versions = [package.ask("version") for package in packages]
    print(f"torch {versions[0]} against tiny_torch, {args.threads} threads, {args.turns} turns each, in turns")
    print(f"{'workload':42} {'torch ms':>9} {'ours ms':>9} {'ratio':>6} {'quartiles':>11} {'difference':>11}")
    worst = float("inf")
    # The names are in the module that the workers import; torch is there, so it can be read here too.
    sys.path.insert(0, FOLDER)
    from workloads import WORKLOADS

    for workload in WORKLOADS:
        if args.only and args.only not in workload:
            continue
        ratios, times, wrong = measure(packages, workload, args.turns)
        ratio = statistics.median(ratios)
        low, _, high = statistics.quantiles(ratios, n=4)
        worst = min(worst, ratio)
        print(
            f"{workload:42} {times[0] * 1e3:9.3f} {times[1] * 1e3:9.3f} {ratio:6.2f} {low:5.2f}-{high:<5.2f} {wrong:11.1e}",
            flush=True,
        )
    if args.at_least is not None and worst < args.at_least:
        sys.exit(f"a ratio of {worst:.2f} is below {args.at_least}")


if __name__ == "__main__":
    main()
