"""Packages run the same workloads in turns.

Each package runs in a process of its own; they take turns (A B C A B C ...), a fraction of a second each, so that what
else the machine does meets all. A turn's figure is the median time of its steps. A row's ratio is the median over turns of
the fastest peer's figure divided by ours; which peer that is, the medians of its turns tell. Before anything is timed the
results of all are compared; a peer that cannot run a workload, or gives other numbers, is left out with a note.

Threads: PyTorch's and ours are set by `set_num_threads` (and `OMP_NUM_THREADS`), ONNX Runtime's in its session's options,
JAX's by the processors its process may use.
"""

import importlib.util
import json
import os
import select
import statistics
import subprocess
import sys
import time

from machine import Others

FOLDER = os.path.dirname(os.path.abspath(__file__))
# Exported models, caches and figures, which git ignores.
KEPT = os.path.abspath(os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(FOLDER, "..", "target")), "benchmarks"))
# What the table calls a package, and the worker's name of it.
PACKAGES = {
    "ours": "tiny_torch",
    "torch": "torch",
    "Inductor": "torch.compile",
    "JAX": "jax",
    "ONNX Runtime": "onnxruntime",
}
# Steps after the first two and before anything is timed: caches, the allocator. Their results are compared.
WARM_UP = 10
# Seconds of warm-up at most, of a turn, of rest before it (threads of the package before that still spin have gone to
# sleep then), and of all turns of a row.
WARMING, TURN, REST, TURNS = 10, 0.2, 0.02, 15
# Seconds of a step that is too long for turns: the second one is the figure. Noise is short against it.
ENDLESS = 20
# The part of the machine that other processes may take before a row says so: threads that wait for each other suffer most.
QUIET = 0.05
# Seconds that a package may take for one command: exporting and compiling a model are the longest.
PATIENCE = 600


class Stopped(Exception):
    """A package did not do what it was asked, and why; the traceback stands in the log in `KEPT`."""


class Package:
    """A worker process. `environment` is added to this process's."""

    def __init__(self, label, threads, device="cpu", environment=None):
        self.label, name = label, PACKAGES[label]
        if importlib.util.find_spec(name.split(".")[0]) is None:
            raise Stopped("not installed")
        os.makedirs(KEPT, exist_ok=True)
        folders = {"TORCHINDUCTOR_CACHE_DIR": os.path.join(KEPT, "inductor")}
        with open(os.path.join(KEPT, f"{name}.log"), "a") as log:
            self.process = subprocess.Popen(
                [sys.executable, os.path.join(FOLDER, "worker.py"), name, str(threads), device],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**folders, **os.environ, "OMP_NUM_THREADS": str(threads), **(environment or {})},
            )

    def ask(self, *command, patience=PATIENCE):
        """The answer to a command. Raises `Stopped`."""
        try:
            print(json.dumps(command), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise Stopped(f"exit code {self.process.wait()}") from None
        # One answer follows one command, so nothing of an earlier one waits in the file's buffer.
        if not select.select([self.process.stdout], [], [], patience)[0]:
            self.process.kill()
            raise Stopped(f"no answer within {patience} s")
        line = self.process.stdout.readline()
        if not line:
            raise Stopped(f"exit code {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise Stopped(answer["error"])
        return answer["answer"]

    def close(self):
        """Ends the process; its own end takes at most some seconds."""
        for end in (self.process.stdin, self.process.stdout):
            try:
                end.close()
            except BrokenPipeError:
                pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Team:
    """Packages side by side: those that run, and notes on those that do not. Ends all processes on the way out."""

    def __init__(self, labels, threads, device="cpu", environment=None):
        self.packages, self.notes = {}, {}
        for label in labels:
            try:
                self.packages[label] = Package(label, threads, device, environment)
            except Stopped as problem:
                self.notes[label] = str(problem)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for package in self.packages.values():
            package.close()

    def drop(self, label, note):
        self.packages.pop(label).close()
        self.notes[label] = note

    def ask(self, *command):
        """`{label: answer}` of those that answer; the others are dropped."""
        answers = {}
        for label in list(self.packages):
            try:
                answers[label] = self.packages[label].ask(*command)
            except Stopped as problem:
                self.drop(label, str(problem))
        return answers


def difference(a, b):
    """The largest relative difference of two lists of numbers; numbers below a thousandth count as that."""
    if len(a) != len(b):
        return float("inf")
    # `not ... <=` below catches what is not a number; `max` would lose it.
    found = [abs(x - y) / max(abs(x), abs(y), 1e-3) for x, y in zip(a, b)]
    return float("inf") if any(d != d for d in found) else max(found, default=0.0)


def ratio_row(ours, peers, notes, **more):
    """A row: `ours` and `peers` are figures of each turn, `{label: [..]}`; less is better.

    The row is a dictionary for JSON: `ours` (median), `peers` (medians, or notes), `best` (the peer with the least),
    `ratio`, `low`, `high` (median and quartiles over turns). Where nothing is to compare, a `note` instead of a ratio.
    """
    medians = {label: statistics.median(figures) for label, figures in peers.items()}
    row = {"ours": statistics.median(ours) if ours else None, "peers": {**medians, **notes}, **more}
    row["peers"].pop("ours", None)
    if "ours" in notes:
        return {**row, "note": f"ours: {notes['ours']}"}
    if not peers:
        return {**row, "note": "no peer ran: " + "; ".join(f"{label}: {note}" for label, note in notes.items())}
    best = min(medians, key=medians.get)
    ratios = [theirs / own for theirs, own in zip(peers[best], ours)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return {**row, "best": best, "ratio": middle, "low": low, "high": high, "turns": len(ratios)}


def measure(name, workload, device, threads, turns):
    """The row of a workload. What goes wrong is said in it."""
    with Team(["ours", "torch", *workload.peers], threads, device) as team:
        team.ask("set up", name)
        team.ask("run", 1)
        second = {label: times[0] for label, times in team.ask("run", 1).items()}
        if "ours" not in team.packages or len(team.packages) < 2:
            return ratio_row([], {}, team.notes)
        # Inductor's second step may compile for the optimizer's state, and tells nothing.
        slowest = max(time for label, time in second.items() if label != "Inductor")
        if slowest > ENDLESS:
            warm = {label: [time] for label, time in second.items()}
        else:
            warm = team.ask("run", max(1, min(WARM_UP, int(WARMING / slowest))))
        results = team.ask("result")
        wrong = compare_results(team, results, workload.tolerance)
        if "ours" not in team.packages or len(team.packages) < 2:
            return ratio_row([], {}, team.notes, difference=wrong)
        if slowest > ENDLESS:
            once = {label: [time] for label, time in second.items() if label in team.packages}
            return ratio_row(once.pop("ours"), once, team.notes, difference=wrong)
        steps = {label: statistics.median(warm[label]) for label in team.packages}
        # At least three steps a turn where they are short; at least three turns unless a turn is very long.
        counts = {label: max(3 if step < TURN else 1, int(TURN / step)) for label, step in steps.items()}
        once = sum(counts[label] * steps[label] + REST for label in steps)
        turns = min(turns, max(3 if once < TURNS else 1, int(TURNS / once)))
        figures = {label: [] for label in steps}
        others = Others(package.process.pid for package in team.packages.values())
        for _ in range(turns):
            for label in list(team.packages):
                time.sleep(REST)
                try:
                    figures[label].append(team.packages[label].ask("median", counts[label]))
                except Stopped as problem:
                    team.drop(label, str(problem))
                    del figures[label]
        return ratio_row(figures.pop("ours", []), figures, team.notes, difference=wrong, others=others.share())


def compare_results(team, results, tolerance):
    """The largest difference of ours from PyTorch's numbers, or another peer's. Who differs by more than `tolerance` goes."""
    reference = "torch" if "torch" in results else next((label for label in results if label != "ours"), None)
    if reference is None or "ours" not in results:
        return None
    wrong = {label: difference(results[reference], numbers) for label, numbers in results.items()}
    for label, d in wrong.items():
        if not d <= tolerance:
            team.drop(label, f"results differ from {reference}'s by {d:.1e}")
    return wrong["ours"]


def both_installed():
    """Ends the program, with what to do, where a package is missing."""
    ways = {"torch": "pip install torch==2.15.0 numpy", "tiny_torch": "make wheel, and pip install the wheel"}
    for package, how in ways.items():
        if importlib.util.find_spec(package) is None:
            sys.exit(f"{package} is not installed in {sys.prefix}: {how}. `make bench` sets an environment up.")


HEAD = f"{'workload':58} {'best ms':>10} {'ours ms':>9} {'ratio':>6} {'quartiles':>11} {'difference':>11}  best peer; others"


def busy(row):
    """A remark where the machine had other work while a row was timed."""
    share = row.get("others") or 0.0
    return f" [others took {share:.0%} of the machine]" if share > QUIET else ""


def line(name, row, target=None):
    """A row as a line of text."""
    if "ratio" not in row:
        return f"{name:58} {row['note']}"
    others = [
        f"{label} {figure * 1e3:.3f}" if isinstance(figure, float) else f"{label}: {figure}"
        for label, figure in row["peers"].items()
        if label != row["best"]
    ]
    text = f"{name:58} {row['peers'][row['best']] * 1e3:10.3f} {row['ours'] * 1e3:9.3f} {row['ratio']:6.2f} "
    text += f"{row['low']:5.2f}-{row['high']:<5.2f} {row['difference']:11.1e}  {'; '.join([row['best'], *others])}"
    text += busy(row)
    return text if target is None else f"{text}  (target {target:g})"
