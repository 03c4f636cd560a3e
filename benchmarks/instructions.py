"""Instructions that recording, finding a plan and compiling take: a check that does not depend on the clock.

    python benchmarks/instructions.py            compares with instructions.json; exit code 1 if something grew
    python benchmarks/instructions.py --write    writes what it counts there

Counted by valgrind's callgrind (which must be installed) on one thread, as the difference between a process that does a
thing often and one that does it seldom, so that starting Python and importing the package are not in it. A count may
differ by a few in a hundred between machines, because the C library and the code generator choose by what the processor
can do; it fails when it is more than TOLERANCE above what is written down, and says so when it is as much below.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
EXPECTED = os.path.join(FOLDER, "instructions.json")
TOLERANCE = 0.15


def recording(times):
    """`x + y` recorded `times` times, never computed."""
    import tiny_torch as torch

    x, y = torch.ones(8), torch.ones(8)
    for _ in range(times):
        z = x + y
    return z


def recording_by_name(times):
    """`torch.relu(x)` recorded `times` times, never computed: an operator with its arguments parsed."""
    import tiny_torch as torch

    x, relu = torch.ones(8), torch.relu
    for _ in range(times):
        z = relu(x)
    return z


def adding(times):
    """A thousand dependent additions, recorded and computed `times` times by a plan that is there."""
    import tiny_torch as torch

    x, y = torch.ones(8), torch.ones(8)
    for _ in range(times):
        z = x
        for _ in range(1000):
            z = z + y
        torch.cpu.synchronize()


def computing(times):
    """`a @ b` of 16 by 16, computed `times` times, each at once."""
    import tiny_torch as torch

    a, b = torch.ones(16, 16), torch.ones(16, 16)
    for _ in range(times):
        kept = a @ b
        torch.cpu.synchronize()
    return kept


def training(times):
    """A small network's training step, `times` times: forward, backward and Adam, found in the cache of plans."""
    import tiny_torch as torch

    nn = torch.nn
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = torch.optim.Adam(model.parameters())
    x, y = torch.randn(4, 8), torch.tensor([0, 1, 2, 3])
    for _ in range(times):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        torch.cpu.synchronize()


# What is counted: the function, seldom and often, and how many units (of which a count is given) that differs by.
COUNTS = {
    "recording x + y": (recording, 1_000, 6_000, 5_000),
    "recording torch.relu(x)": (recording_by_name, 1_000, 6_000, 5_000),
    "1,000 additions, recorded and run, each": (adding, 4, 12, 8_000),
    "a @ b of 16 by 16, computed at once": (computing, 1_000, 6_000, 5_000),
    "a training step of three layers, from the cache": (training, 6, 16, 10),
}


def instructions(function, times, cache):
    """How many instructions a process takes in which a function is called once.

    Raises RuntimeError with what valgrind printed if it does not say.
    """
    environment = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "TTK_CACHE_DIR": cache}
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, os.path.abspath(__file__)]
    run = subprocess.run([*command, "--run", function.__name__, str(times)], env=environment, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode or not found:
        raise RuntimeError(f"{function.__name__} under valgrind ended with {run.returncode}:\n{run.stderr[-2000:]}")
    return int(found[1])


def count():
    """Instructions for each of COUNTS, and for compiling the training step."""
    with tempfile.TemporaryDirectory() as cache:
        for function, *_ in COUNTS.values():
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "TTK_CACHE_DIR": cache}
            command = [sys.executable, os.path.abspath(__file__), "--run", function.__name__, "3"]
            # Under valgrind the processor is another one, so plans are not found that were made without it.
            subprocess.run(command, env=environment, check=True)
            instructions(function, 3, cache)
        counts = {}
        for name, (function, seldom, often, units) in COUNTS.items():
            few, many = instructions(function, seldom, cache), instructions(function, often, cache)
            counts[name] = (many - few) / units
        compiled = instructions(training, 3, "") - instructions(training, 3, cache)
        counts["compiling that step"] = compiled
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the counts down instead of comparing")
    parser.add_argument("--run", nargs=2, metavar=("FUNCTION", "TIMES"), help="call a function, for the count")
    arguments = parser.parse_args()
    if arguments.run:
        name, times = arguments.run
        globals()[name](int(times))
        return 0
    if not shutil.which("valgrind"):
        print("valgrind is not installed: instructions were not counted")
        return 2
    counts = count()
    if arguments.write:
        with open(EXPECTED, "w") as file:
            json.dump({name: round(n) for name, n in counts.items()}, file, indent=2)
            file.write("\n")
    with open(EXPECTED) as file:
        expected = json.load(file)
    grown = 0
    print(f"{'instructions':>14} {'expected':>14}")
    for name, n in counts.items():
        ratio = n / expected[name]
        grown += ratio > 1 + TOLERANCE
        remark = "GREW" if ratio > 1 + TOLERANCE else "shrank: write it down" if ratio < 1 - TOLERANCE else ""
        print(f"{n:14,.0f} {expected[name]:14,} {ratio:6.2f}  {name}  {remark}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
