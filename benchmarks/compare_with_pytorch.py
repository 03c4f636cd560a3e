"""Times the same PyTorch programs on PyTorch and on Tiny-Torch, in turns, and prints the ratios.

    python benchmarks/compare_with_pytorch.py                 # every workload, 2 threads
    python benchmarks/compare_with_pytorch.py --threads 1 --only MLP

`harness.py` says how it is measured. The last column is the ratio that the project wants, against the peer that was
fastest when the target was set (PyTorch's eager mode where none is named).
"""

import argparse
import os
import platform
import sys
import time

from harness import FOLDER, HEAD, both_installed, compare


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next(text.split(": ", 1)[1].strip() for text in file if text.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def table(rows, targets):
    """Markdown: what misses its target first, then the rest."""
    head = ["| workload | PyTorch ms | ours ms | ratio | quartiles | target |", "|---|---|---|---|---|---|"]
    body = []
    for name, row in rows.items():
        target = targets[name]
        goal = f"{target.target:g}" + ("" if target.peer == "torch" else f" ({target.peer})")
        if isinstance(row, str):
            body.append((0, f"| {name} | | | {row} | | {goal} |"))
            continue
        text = f"| {name} | {row.theirs * 1e3:.3f} | {row.ours * 1e3:.3f} | {row.ratio:.2f} | {row.low:.2f}-{row.high:.2f} | {goal} |"
        body.append((1 if row.ratio < target.target else 2, text))
    missed = [text for order, text in sorted(body, key=lambda b: b[0]) if order < 2]
    met = [text for order, text in body if order == 2]
    return "\n".join(
        ["## Below the target", "", *head, *missed, "", "## At the target or above", "", *head, *met, ""]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument("--skip", help="no workloads whose name contains this")
    parser.add_argument("--at-least", type=float, help="fail if a ratio is below this")
    parser.add_argument("--write", action="store_true", help="write the table to RESULTS.md")
    args = parser.parse_args()
    both_installed()
    import torch
    from workloads import WORKLOADS

    about = f"torch {torch.__version__}, {args.threads} threads, {processor()}, {args.turns} turns each, in turns"
    print(about)
    print(f"{HEAD}  target")
    names = [n for n in WORKLOADS if args.only in n and not (args.skip and args.skip in n)]
    rows = compare(names, "cpu", args.threads, args.turns, lambda text: print(text, flush=True))
    if args.write:
        with open(os.path.join(FOLDER, "RESULTS.md"), "w", encoding="utf-8") as file:
            file.write(f"# Results\n\n{time.strftime('%Y-%m-%d')}, {about}; `python {' '.join(sys.argv)}`.\n\n")
            file.write(table(rows, WORKLOADS))
    bad = [n for n, r in rows.items() if isinstance(r, str)]
    worst = min((r.ratio for r in rows.values() if not isinstance(r, str)), default=0.0)
    if bad:
        sys.exit(f"not timed: {', '.join(bad)}")
    if args.at_least is not None and worst < args.at_least:
        sys.exit(f"a ratio of {worst:.2f} is below {args.at_least}")


if __name__ == "__main__":
    main()
