"""Memory that training takes: the peak after ten steps less the peak when model and input stood, in a fresh process.

The package itself and the model are not in it. Bytes of resident memory, as the kernel counts them.
"""

from harness import Team, ratio_row
from workloads import training

PREFIX = "peak memory: "
# PyTorch takes minutes for a step under bf16 autocast on a processor without bf16 products.
NAMES = {f"{PREFIX}{name}": name for name in training.WORKLOADS if "autocast" not in name}
TARGETS = {row: 1.0 for row in NAMES}


def measure(only, threads, turns):
    for row, name in NAMES.items():
        if not only(row):
            continue
        figures, notes = {"ours": [], "torch": []}, {}
        for _ in range(min(turns, 3)):
            with Team(list(figures), threads) as team:
                team.ask("set up", name)
                before = team.ask("peak memory")
                team.ask("run", 10)
                for label, peak in team.ask("peak memory").items():
                    # A page at least: a ratio to nothing is none.
                    figures[label].append(float(max(peak - before[label], 4096)))
                notes.update(team.notes)
        peers = {} if "torch" in notes else {"torch": figures["torch"]}
        yield row, ratio_row([] if "ours" in notes else figures["ours"], peers, notes, unit="MB")
