"""PyTorch's operator, module and optimizer databases, with a floor under the number that agree."""
import json
import os
import re
import subprocess
import sys

import pytest

# How many entries of each database passed when the figure was last raised. They may only rise.
FLOORS = {"ops": 600, "modules": 105, "optim": 13}


# The same for the first sample of each operator on a GPU, or the stand-in for one.
GPU_FLOOR = 605


def run(db, floor, report, capsys, *options, environment=None):
    script = os.path.join(os.path.dirname(__file__), "opinfo.py")
    command = [sys.executable, script, "--db", db, "--quiet", "--json", str(report), *options]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(environment or {})})
    assert done.returncode == 0, done.stderr[-2000:]
    with capsys.disabled():
        print(f"\n{done.stdout.rstrip()}")
    passed = int(re.search(rf"^{db} (\d+)/\d+ passed", done.stdout, re.M).group(1))
    assert passed >= floor
    broken = {
        f"{name} {dtype}: {why}"
        for name, dtype, facets in json.loads(report.read_text())
        for why in facets.values()
        if re.match("CRASH|HUNG|PANIC", str(why))
    }
    assert not broken


@pytest.mark.parametrize("db", FLOORS)
def test_database(db, tmp_path, capsys):
    run(db, FLOORS[db], tmp_path / "report.json", capsys)


def test_operators_on_a_gpu(tmp_path, capsys):
    """`TTK_STANDIN` names the folder of the stand-in. torch brings NVIDIA's own compiler: the stand-in's must be first."""
    environment = {}
    if standin := os.environ.get("TTK_STANDIN"):
        libraries = [os.path.join(standin, name) for name in ("libnvrtc.so.13", "libcuda.so.1")]
        environment = {
            "LD_PRELOAD": os.pathsep.join(libraries),
            "TTK_CUDA_LIBRARIES": standin,
            "STANDIN_CACHE": os.path.join(standin, "modules"),
        }
    options = ["--device", "cuda", "--samples", "1", "--timeout", "180"]
    run("ops", GPU_FLOOR, tmp_path / "report.json", capsys, *options, environment=environment)
