"""The tables of RESULTS.md, and the order of rows in the plot."""

import json
import os

from harness import FOLDER, busy
from measures import TARGETS
from workloads import WORKLOADS

ABOUT = """\
The same programs in PyTorch's interface run on this package and on its peers, in turns, warm, their results compared before
anything is timed. *ratio* is the median over turns of the best peer's time by ours, with its quartiles; PyTorch's eager mode
is always among the peers, *Inductor* is `torch.compile`, JAX and ONNX Runtime run versions of their own. *target* is the
ratio that the project wants. `benchmarks/harness.py` says how it is measured; `make bench` makes this file again.
"""
# What stored figures (seconds, bytes, numbers) are multiplied by to be shown in a unit.
SCALES = {"ms": 1e3, "MB": 1e-6, "": 1}


def target_of(name):
    return WORKLOADS[name].target if name in WORKLOADS else TARGETS[name]


def missed(name, row):
    """Whether a row is below its target, or has no ratio at all."""
    return "ratio" not in row or row["ratio"] < target_of(name)


def in_order(rows):
    """`(name, row)` of a table in the order in which its rows are defined; rows that no longer exist are left out."""
    return [(name, rows[name]) for name in (*WORKLOADS, *TARGETS) if name in rows]


def figure(value, unit):
    if not isinstance(value, (int, float)):
        return str(value).replace("|", "/")
    value *= SCALES[unit]
    return f"{value:.3f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def cells(name, row):
    """Workload, best peer, its figure, ours, ratio, quartiles, target, the other peers."""
    unit, target = row.get("unit", "ms"), f"{target_of(name):g}"
    mine = "" if row["ours"] is None else f"{figure(row['ours'], unit)} {unit}"
    if "ratio" not in row:
        return [name, "", "", mine, "", "", target, row["note"].replace("|", "/")]
    others = (f"{label} {figure(value, unit)}" for label, value in row["peers"].items() if label != row["best"])
    best = f"{figure(row['peers'][row['best']], unit)} {unit}"
    spread = f"{row['low']:.2f}-{row['high']:.2f}"
    return [name, row["best"], best, mine, f"{row['ratio']:.2f}", spread, target, "; ".join(others) + busy(row)]


def table(rows, more=None):
    """Markdown; `more` is a function of a row's name for a last column."""
    head = ["workload", "best peer", "its", "ours", "ratio", "quartiles", "target", "other peers"]
    lines = ["| " + " | ".join(head + (["what bounds it"] if more else [])) + " |"]
    lines.append("|" + "---|" * (len(head) + bool(more)))
    for name, row in rows:
        lines.append("| " + " | ".join(cells(name, row) + ([more(name)] if more else [])) + " |")
    return "\n".join(lines)


def sections(rows, bounds, level):
    """What misses its target first, with what bounds it, then the rest."""
    rows = in_order(rows)
    below = [(name, row) for name, row in rows if missed(name, row)]
    met = [(name, row) for name, row in rows if not missed(name, row)]
    parts = []
    if below:
        parts += [f"{level} Below the target ({len(below)} of {len(rows)})", table(below, lambda n: bounds.get(n, ""))]
    if met:
        parts += [f"{level} At the target or above ({len(met)} of {len(rows)})", table(met)]
    return parts


def bounds():
    """`{row: what bounds it}`, written by hand."""
    with open(os.path.join(FOLDER, "bounds.json"), encoding="utf-8") as file:
        return json.load(file)


def render(data, plot=None):
    """The whole of RESULTS.md from what `Store` keeps; `plot` is the name of a picture beside it."""
    every = [row for rows in (*data["rows"].values(), data["measures"]) for row in rows.values()]
    dates = sorted({row["date"] for row in every})
    when = dates[0] if len(dates) < 2 else f"{dates[0]} to {dates[-1]}"
    versions = ", ".join(f"{package} {version}" for package, version in data["versions"].items())
    parts = ["# Results", f"{when}; {data['machine']}; {versions}.", ABOUT.rstrip()]
    if plot:
        parts.append(f"![ratios and targets]({plot})")
    why = bounds()
    # The most threads first, whose table has the explanations.
    for threads in sorted(data["rows"], key=int, reverse=True):
        parts += [f"## {threads} thread{'s' if threads != '1' else ''}", *sections(data["rows"][threads], why, "###")]
    if data["measures"]:
        parts += ["## Compiling, memory, starting", *sections(data["measures"], why, "###")]
    return "\n\n".join(parts) + "\n"
