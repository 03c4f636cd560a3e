"""The examples are PyTorch programs: run on PyTorch and here, with one seed, they print the same losses."""
import pathlib
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parents[3] / "examples"
# What is compared: the first steps, initialisation, shuffling and dropout included.
RUNS = {
    "mnist": ("mnist", ["--steps", "100", "--epochs", "1"], 100),
    "transformer": ("transformer", ["--steps", "20", "--generate", "40"], 20),
}


def losses(launcher, folder, arguments, file):
    command = [sys.executable, *launcher, "main.py", *arguments, "--losses", str(file)]
    done = subprocess.run(command, cwd=EXAMPLES / folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return [float(line) for line in file.read_text().split()]


@pytest.mark.parametrize("name", RUNS)
def test_losses_are_those_of_pytorch(name, tmp_path, capsys):
    folder, arguments, count = RUNS[name]
    theirs = losses([], folder, arguments, tmp_path / "torch.txt")
    ours = losses(["-m", "tiny_torch._launcher", "run"], folder, arguments, tmp_path / "ours.txt")
    assert len(theirs) == len(ours) == count
    largest = max(abs(a - b) / abs(a) for a, b in zip(theirs, ours))
    with capsys.disabled():
        print(f"\n{name}: losses of {count} steps differ by {largest:.1e} at most, from {theirs[0]:.4f} to {theirs[-1]:.4f}")
    assert largest <= 1e-4
