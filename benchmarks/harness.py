"""Two packages run the same workloads in turns.

Each package runs in a process of its own; the two take turns (A B A B ...), a fraction of a second each, so that what
else the machine does meets both. A turn's figure is the median time of its steps, a row's the median over turns of the
other's figure divided by ours. Before anything is timed both packages' results are compared.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections import namedtuple

FOLDER = os.path.dirname(os.path.abspath(__file__))
PACKAGES = ("torch", "tiny_torch")
# Steps before anything is timed: compilation, caches, the allocator. Their results are compared.
WARM_UP = 12
# Seconds of a turn, and of rest before it: threads of the other package that still spin have gone to sleep then.
TURN, REST = 0.25, 0.02

# Times in seconds of a step; quartiles of the ratio; the largest relative difference of the results.
Row = namedtuple("Row", "workload theirs ours ratio low high difference")


class Stopped(Exception):
    """A package's process ended; what it said stands on standard error."""


class Package:
    """A worker process."""

    def __init__(self, name, threads, device="cpu"):
        self.name = name
        command = [sys.executable, os.path.join(FOLDER, "worker.py"), name, str(threads), device]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, *command):
        print(json.dumps(command), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise Stopped(f"{self.name} stopped: exit code {self.process.wait()}")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def difference(a, b):
    """The largest relative difference of two lists of numbers; numbers below a thousandth count as that."""
    if len(a) != len(b):
        return float("inf")
    return max((abs(x - y) / max(abs(x), abs(y), 1e-3) for x, y in zip(a, b)), default=0.0)


def measure(packages, workload, tolerance, turns):
    """Times `workload` on PyTorch and on ours, in this order.

    Raises `Stopped` where a package fails, `ValueError` where results differ by more than `tolerance`.
    """
    for package in packages:
        package.ask("set up", workload)
        package.ask("run", WARM_UP)
    wrong = difference(*(package.ask("result") for package in packages))
    if not wrong <= tolerance:
        raise ValueError(f"results differ by {wrong:.1e}; nothing was timed")
    # The rest of the warm-up tells how many steps make a turn.
    steps = [max(3, int(TURN / statistics.median(package.ask("run", 3)))) for package in packages]
    figures = [[], []]
    for _ in range(turns):
        for package, n, mine in zip(packages, steps, figures):
            time.sleep(REST)
            mine.append(statistics.median(package.ask("run", n)))
    ratios = [t / o for t, o in zip(*figures)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    theirs, ours = (statistics.median(f) for f in figures)
    return Row(workload, theirs, ours, middle, low, high, wrong)


def both_installed():
    """Ends the program, with what to do, where a package is missing."""
    for package, how in (("torch", "pip install torch==2.15.0 numpy"), ("tiny_torch", "make wheel, and pip install the wheel")):
        if importlib.util.find_spec(package) is None:
            sys.exit(f"{package} is not installed in {sys.prefix}: {how}. `make bench` sets an environment up.")


HEAD = f"{'workload':58} {'theirs ms':>10} {'ours ms':>9} {'ratio':>6} {'quartiles':>11} {'difference':>11}"


def line(row, target=None):
    text = f"{row.workload:58} {row.theirs * 1e3:10.3f} {row.ours * 1e3:9.3f} {row.ratio:6.2f} "
    text += f"{row.low:5.2f}-{row.high:<5.2f} {row.difference:11.1e}"
    return text if target is None else f"{text}  {target}"


def compare(names, device, threads, turns, report):
    """Measures the named workloads, each in fresh processes, and gives `{name: Row or what went wrong}`.

    `report` is called with each line as it is known.
    """
    sys.path.insert(0, FOLDER)
    from workloads import WORKLOADS

    rows = {}
    for name in names:
        packages = []
        try:
            packages = [Package(package, threads, device) for package in PACKAGES]
            rows[name] = measure(packages, name, WORKLOADS[name].tolerance, turns)
            report(line(rows[name]))
        except (Stopped, ValueError) as problem:
            rows[name] = str(problem)
            report(f"{name:58} {problem}")
        finally:
            for package in packages:
                package.close()
    return rows
