"""Both examples, as their users run them, on a GPU: the losses of 20 steps are those of the processor.

Without dropout, whose random numbers differ between devices; the sizes are those that the stand-in runs in a minute.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

EXAMPLES = os.path.join(os.path.dirname(__file__), "..", "..", "..", "examples")

CASES = {
    "mnist": "--steps 20 --epochs 1 --batch-size 2 --dropout 0 --test 10".split(),
    "transformer": (
        "--steps 20 --batch-size 2 --context 16 --layers 2 --width 32 --heads 2 --dropout 0 --generate 20".split()
    ),
}


def losses(name, device, folder):
    """What the example writes of its losses, run by a process of its own."""
    out = folder / f"{name}-{device}.txt"
    start = "import sys, tiny_torch; tiny_torch.install_as_torch(); import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    script = os.path.join(EXAMPLES, name, "main.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(script), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", start, script, *CASES[name], "--device", device, "--losses", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return np.loadtxt(out)


@pytest.mark.parametrize("name", CASES)
def test_losses_are_those_of_the_processor(name, tmp_path):
    there, here = losses(name, "cuda", tmp_path), losses(name, "cpu", tmp_path)
    assert len(here) == 20 and here[-1] != here[0]
    np.testing.assert_allclose(there, here, rtol=1e-4)
