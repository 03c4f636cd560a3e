"""A small GPT over a hundred sequence lengths in a fresh process with empty caches: all of it, compiling included."""

import tempfile

from harness import Team, compare_results, ratio_row
from workloads import EVERY
from workloads.lengths import LENGTHS, WORKLOADS

(NAME,) = WORKLOADS
COUNT = "compiles over 100 sequence lengths (limit 2)"
TARGETS = {NAME: WORKLOADS[NAME][1], COUNT: 1.0}


def once(threads):
    """Seconds of all lengths by package, what did not run, and the plans that ours compiled for them."""
    with tempfile.TemporaryDirectory() as folder:
        empty = {"TTK_CACHE_DIR": folder, "TORCHINDUCTOR_CACHE_DIR": folder}
        with Team(["ours", "torch", *WORKLOADS[NAME][2]], threads, environment=empty) as team:
            team.ask("set up", NAME)
            ours = team.packages.get("ours")
            before = ours.ask("compiled") if ours else 0
            times = {label: sum(found) for label, found in team.ask("run", len(LENGTHS)).items()}
            ours = team.packages.get("ours")
            compiled = ours.ask("compiled") - before if ours else None
            compare_results(team, team.ask("result"), EVERY[NAME].tolerance)
            return times, team.notes, compiled


def measure(only, threads, turns):
    if not (only(NAME) or only(COUNT)):
        return
    runs = [once(threads) for _ in range(min(turns, 3))]
    notes = {label: note for _, found, _ in runs for label, note in found.items()}
    figures = {label: [times[label] for times, _, _ in runs] for label in runs[0][0] if label not in notes}
    ours = figures.pop("ours", [])
    # PyTorch's eager mode compiles nothing: it is shown, not compared.
    eager = figures.pop("torch", None)
    row = ratio_row(ours, figures, notes, unit="ms")
    if eager:
        row["peers"]["torch"] = sorted(eager)[len(eager) // 2]
    yield NAME, row
    counts = [compiled for _, _, compiled in runs if compiled is not None]
    yield COUNT, ratio_row([float(max(c, 1)) for c in counts], {"the limit": [2.0] * len(counts)}, notes, unit="")
