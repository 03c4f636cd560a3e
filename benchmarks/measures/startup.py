"""Importing, and the first result of a process: wall time of a fresh interpreter, its own start included."""

import os
import subprocess
import sys
import tempfile
import time

from harness import ratio_row

FIRST = "x = torch.ones(64, 64) * 0.5; print((x @ x).softmax(1).sum().item())"
PROGRAMS = {"import": "import {} as torch", "first result of a fresh process": "import {} as torch; " + FIRST}
TARGETS = {name: 8.0 for name in PROGRAMS}


def seconds(program, threads):
    """Wall time of a program with no cache of compiled plans. Raises `CalledProcessError`."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TTK_CACHE_DIR": folder, "OMP_NUM_THREADS": str(threads)}
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, env=environment)
        return time.perf_counter() - start


def measure(only, threads, turns):
    for name, program in PROGRAMS.items():
        if not only(name):
            continue
        figures, notes = {"ours": [], "torch": []}, {}
        for label, package in (("ours", "tiny_torch"), ("torch", "torch")):
            try:
                # Once for the files to be in memory.
                seconds(program.format(package), threads)
            except subprocess.CalledProcessError as problem:
                notes[label] = f"exit code {problem.returncode}"
        for _ in range(min(turns, 7)):
            for label, package in (("ours", "tiny_torch"), ("torch", "torch")):
                if label not in notes:
                    figures[label].append(seconds(program.format(package), threads))
        peers = {} if "torch" in notes else {"torch": figures["torch"]}
        yield name, ratio_row(figures["ours"], peers, notes, unit="ms")
