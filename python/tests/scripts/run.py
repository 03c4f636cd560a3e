#!/usr/bin/env python3
"""Runs public PyTorch scripts, unmodified, and counts those that finish.

    python run.py CHECKOUTS                             # on this package, bound to the name torch
    python run.py CHECKOUTS --launcher "python"         # on whatever package that interpreter has under the name

CHECKOUTS/<owner>/<name> are clones of the repositories of `suite.txt` (tutorials-kr has PyTorch's tutorials, of the same code).
Besides this package and NumPy the scripts import torchvision (`pip install --no-deps torchvision pillow`), tqdm, matplotlib,
gymnasium, requests and tiktoken. Data sets are not fetched: `--data` writes pictures in MNIST's format where the scripts look for
them. nanoGPT wants data/shakespeare_char/{train,val}.bin, which its own prepare.py makes of tiny Shakespeare.
"""

import argparse
import os
import shlex
import struct
import subprocess
import sys
import time

FOLDER = os.path.dirname(os.path.abspath(__file__))
# Where scripts look for MNIST and FashionMNIST.
PICTURES = ("pytorch/examples/data", "PyTorchKorea/tutorials-kr/beginner_source/basics/data")
QUIET = {"MPLBACKEND": "Agg", "WANDB_MODE": "disabled", "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}


def write_pictures(root):
    """Pictures of 28x28 in MNIST's files: of each label a pattern of its own, with noise."""
    import numpy as np

    random = np.random.RandomState(0)
    patterns = (random.rand(10, 7, 7) > 0.6).repeat(4, 1).repeat(4, 2) * 200.0
    folder = os.path.join(root, "raw")
    os.makedirs(folder, exist_ok=True)
    for prefix, n in (("train", 2048), ("t10k", 512)):
        labels = random.randint(0, 10, n).astype(np.uint8)
        images = np.clip(patterns[labels] + random.randn(n, 28, 28) * 25, 0, 255).astype(np.uint8)
        with open(os.path.join(folder, f"{prefix}-images-idx3-ubyte"), "wb") as file:
            file.write(struct.pack(">IIII", 2051, n, 28, 28) + images.tobytes())
        with open(os.path.join(folder, f"{prefix}-labels-idx1-ubyte"), "wb") as file:
            file.write(struct.pack(">II", 2049, n) + labels.tobytes())


def scripts(part):
    """The lines of the suite that have `part` in them: repository, folder, seconds, command."""
    with open(os.path.join(FOLDER, "suite.txt"), encoding="utf-8") as file:
        for line in file.read().splitlines():
            if line and not line.startswith("#") and part in line:
                repository, folder, seconds, command = line.split("|", 3)
                yield repository, folder, int(seconds), command


def run(launcher, home, folder, seconds, command):
    """How a script ended (None for well, or what went wrong), and the last line that it printed."""
    paths = [home, os.environ.get("PYTHONPATH")]
    environment = {**os.environ, **QUIET, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    try:
        done = subprocess.run(
            [*shlex.split(launcher), *shlex.split(command)],
            cwd=os.path.join(home, folder), env=environment, capture_output=True, text=True, timeout=seconds,
        )  # fmt: skip
    except (subprocess.TimeoutExpired, FileNotFoundError) as problem:
        return type(problem).__name__, str(problem)
    text = done.stderr if done.returncode else done.stdout
    return (f"exit code {done.returncode}" if done.returncode else None), (text.strip().splitlines() or [""])[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts")
    parser.add_argument("--launcher", default=f"{shlex.quote(sys.executable)} -m tiny_torch run", help="what is put before a script")
    parser.add_argument("--only", default="", help="a part of a line of the suite")
    parser.add_argument("--data", action="store_true", help="write pictures where scripts look for them, first")
    options = parser.parse_args()
    root = os.path.abspath(options.checkouts)
    if options.data:
        for place in PICTURES:
            for name in ("MNIST", "FashionMNIST"):
                write_pictures(os.path.join(root, place, name))
    passed = total = 0
    for repository, folder, seconds, command in scripts(options.only):
        start = time.perf_counter()
        problem, last = run(options.launcher, os.path.join(root, repository), folder, seconds, command)
        total += 1
        passed += problem is None
        print(f"{problem or 'ok':16} {time.perf_counter() - start:6.1f} s  {repository} {folder} {command[:40]}  {last[:110]}", flush=True)
    print(f"{passed} of {total} scripts finished")
    sys.exit(passed != total)


if __name__ == "__main__":
    main()
