"""Compiling a training step in a fresh process whose caches are empty.

What the first steps take beyond the steps after them: of five steps, the sum of each one's time less the median of ten
later ones (nothing, where it was faster), because other packages compile again at the second step, when the optimizer's state
is there. A last row is the first step alone, against a limit.
"""

import statistics
import tempfile

from harness import Team, ratio_row
from workloads import WORKLOADS

STEPS, LATER = 5, 10
PREFIX = "cold compile: "
# The compiler against which a step is held, and how many times faster ours is to be.
PEERS = {
    "MLP 784-256-128-10, batch 64, Adam step": {"Inductor": 50, "JAX": 5},
    "MNIST CNN, batch 64, SGD step": {"Inductor": 50},
    "ResNet-18 on 32x32, batch 16, SGD step": {"Inductor": 50},
    "LSTM 64-128, 50 steps, batch 32, Adam step": {"Inductor": 50},
    "GPT 6x384, context 256, batch 4, AdamW step": {"Inductor": 50},
}
LIMITED, LIMIT = "ResNet-18 on 32x32, batch 16, SGD step", 0.150
TARGETS = {f"{PREFIX}{name}, against {peer}": target for name, row in PEERS.items() for peer, target in row.items()}
FIRST = f"first compile under 150 ms: {LIMITED}"
TARGETS[FIRST] = 1.0


def excess(label, name, threads):
    """`((first, five), None)`, seconds of the first step and of five beyond later ones; or `(None, what failed)`."""
    with tempfile.TemporaryDirectory() as folder:
        empty = {"TTK_CACHE_DIR": folder, "TORCHINDUCTOR_CACHE_DIR": folder}
        with Team([label], threads, environment=empty) as team:
            team.ask("set up", name)
            steps = team.ask("run", STEPS).get(label)
            later = team.ask("median", LATER).get(label)
            if later is None:
                return None, team.notes[label]
            beyond = [max(step - later, 0.0) for step in steps]
            return (beyond[0], sum(beyond)), None


def measure(only, threads, turns):
    for name, peers in PEERS.items():
        rows = [f"{PREFIX}{name}, against {peer}" for peer in peers] + ([FIRST] if name == LIMITED else [])
        if not any(only(row) for row in rows):
            continue
        # Ours compiles in a fraction of a second: the median of several, against one of the peer.
        runs = [excess("ours", name, threads) for _ in range(min(turns, 5))]
        failed = next((note for found, note in runs if found is None), None)
        first, whole = ([found[i] for found, note in runs if found] for i in (0, 1))
        for peer, row in zip(peers, rows):
            if not only(row):
                continue
            found, note = excess(peer, name, threads)
            # Each of our runs against the one run of the peer.
            theirs = {peer: [found[1]] * len(whole)} if found else {}
            notes = {**({} if found else {peer: note}), **({"ours": failed} if failed else {})}
            yield row, ratio_row([] if failed else whole, theirs, notes, unit="ms")
        if FIRST in rows and only(FIRST):
            notes = {"ours": failed} if failed else {}
            yield FIRST, ratio_row([] if failed else first, {"the limit": [LIMIT] * len(first)}, notes, unit="ms")
