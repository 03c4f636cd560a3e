"""Times the same programs on Tiny-Torch and on its peers, in turns, and prints the ratios.

    python benchmarks/compare.py                            # every workload, 2 threads
    python benchmarks/compare.py --threads 1 --only MLP
    python benchmarks/compare.py --all --write              # 2 threads, 1 thread, measures of their own; RESULTS.md

`harness.py` says how it is measured and which peers there are. Figures are kept in target/benchmarks/results.json as they
are made; `--write` makes RESULTS.md and results.svg of all that are there, so a run that was cut goes on with `--missing`,
and a row is replaced with `--only`. A peer that is not installed, or cannot run a workload, is a note in the table.
"""

import argparse
import os
import sys
import time

import measures
from harness import FOLDER, HEAD, KEPT, both_installed, line, measure
from store import Store

# A run of fewer turns is a look at whether something works.
FEW = 5


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=15, help=f"the most of a row; with fewer than {FEW} nothing is kept")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--skip", help="no rows whose name contains this")
    parser.add_argument("--all", action="store_true", help="2 threads, 1 thread, then the measures of their own")
    parser.add_argument("--measures", action="store_true", help="compiling, memory and starting instead of the table")
    parser.add_argument("--missing", action="store_true", help="only rows that are not kept yet")
    parser.add_argument("--at-least", type=float, help="fail if a ratio is below this")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md and results.svg of all that is kept")
    parser.add_argument("--results", default=os.path.join(KEPT, "results.json"), help="the file of what is kept")
    return parser.parse_args()


def run(args, store, only):
    """Makes the rows that are asked for, prints and keeps each; gives `[(name, row)]`."""
    from report import figure, target_of
    from workloads import WORKLOADS

    done = []
    for threads in (2, 1) if args.all else () if args.measures else (args.threads,):
        kept = store.data["rows"].get(str(threads), {})
        names = [name for name in WORKLOADS if only(name) and not (args.missing and name in kept)]
        if names:
            print(f"\n{threads} thread{'s' if threads > 1 else ''}\n{HEAD}", flush=True)
        for name in names:
            row = measure(name, WORKLOADS[name], "cpu", threads, args.turns)
            print(line(name, row, target_of(name)), flush=True)
            store.add(name, row, threads)
            done.append((name, row))
    if args.all or args.measures:
        wanted = lambda name: only(name) and not (args.missing and name in store.data["measures"])
        print("\ncompiling, memory, starting")
        for module in measures.MODULES:
            for name, row in module.measure(wanted, args.threads, args.turns):
                unit = row["unit"]
                peers = "; ".join(f"{label} {figure(value, unit)}" for label, value in row["peers"].items())
                what = f"{row['ratio']:8.2f}" if "ratio" in row else row["note"]
                ours = "" if row["ours"] is None else figure(row["ours"], unit)
                print(f"{name:78} {ours:>9} {unit:2} {what}  {peers} (target {target_of(name):g})", flush=True)
                store.add(name, row)
                done.append((name, row))
    return done


def write(data):
    from plot import svg
    from report import render

    tables = [(f"{t} thread{'s' if t != '1' else ''}", data["rows"][t]) for t in sorted(data["rows"], key=int, reverse=True)]
    with open(os.path.join(FOLDER, "results.svg"), "w", encoding="utf-8") as file:
        file.write(svg([*tables[:1], ("compiling, memory, starting", data["measures"])]))
    with open(os.path.join(FOLDER, "RESULTS.md"), "w", encoding="utf-8") as file:
        file.write(render(data, "results.svg"))


def main():
    args = arguments()
    both_installed()
    store = Store(args.results, keep=args.turns >= FEW)
    versions = ", ".join(f"{package} {version}" for package, version in store.data["versions"].items())
    print(f"{store.data['machine']}; {versions}; at most {args.turns} turns each")
    start = time.monotonic()
    rows = run(args, store, lambda name: args.only in name and not (args.skip and args.skip in name))
    print(f"{len(rows)} rows in {(time.monotonic() - start) / 60:.1f} minutes")
    if args.write:
        write(store.data)
    bad = [name for name, row in rows if "ratio" not in row]
    if bad:
        sys.exit(f"without a ratio: {', '.join(bad)}")
    worst = min((row["ratio"] for _, row in rows), default=0.0)
    if args.at_least is not None and worst < args.at_least:
        sys.exit(f"a ratio of {worst:.2f} is below {args.at_least}")


if __name__ == "__main__":
    main()
