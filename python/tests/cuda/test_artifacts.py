"""Machine code for GPUs in `.ttk` files: without NVRTC it runs where the file is trusted, and nowhere else."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tiny_torch as torch
from tiny_torch import nn


@pytest.fixture
def model(tmp_path):
    """A traced network in a file, an input, and what the network makes of it."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 16), nn.GELU(), nn.Linear(16, 5), nn.Softmax(dim=-1)).eval()
    x = torch.randn(4, 12)
    torch.jit.trace(net, x).save(tmp_path / "model.ttk")
    np.save(tmp_path / "x.npy", x.numpy())
    return tmp_path, net(x).detach()


def ttk(folder, *arguments, libraries=None):
    """Runs `ttk` in a folder, with CUDA's libraries in another: its exit code and what it said."""
    env = {**os.environ, "TTK_CACHE_DIR": ""}
    if libraries is not None:
        env["TTK_CUDA_LIBRARIES"] = str(libraries)
    command = [sys.executable, "-m", "tiny_torch", *map(str, arguments)]
    run = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    return run.returncode, run.stdout, run.stderr


@pytest.fixture
def without_nvrtc(tmp_path_factory):
    """The folder of CUDA's libraries, but for NVRTC."""
    folder = os.environ.get("TTK_CUDA_LIBRARIES")
    if not folder:
        pytest.skip("NVRTC may be anywhere")
    here = tmp_path_factory.mktemp("without_nvrtc")
    for name in os.listdir(folder):
        if "nvrtc" not in name:
            (here / name).symlink_to(os.path.join(folder, name))
    return here


def test_a_trusted_file_needs_no_nvrtc(model, without_nvrtc):
    folder, want = model
    major, minor = torch.cuda.get_device_capability()
    status, _, error = ttk(folder, "build", "model.ttk", "--cuda", f"sm_{major}{minor},sm_100", "-o", "out.ttk")
    assert (status, error) == (0, "")
    status, listed, error = ttk(folder, "inspect", "out.ttk", "--sections")
    assert status == 0, error
    names = [line.split()[0] for line in listed.splitlines()]
    assert names == ["graph", "weights", "cuda:source", f"cuda:sm_{major}{minor}", "cuda:sm_100"]
    assert "functions" in listed.splitlines()[-1]

    run = ("run", "out.ttk", "--input", "x.npy", "--output", "y.npy", "--device", "cuda")
    status, _, error = ttk(folder, *run, "--trusted", libraries=without_nvrtc)
    assert (status, error) == (0, "")
    torch.testing.assert_close(torch.from_numpy(np.load(folder / "y.npy")), want)
    os.remove(folder / "y.npy")
    # A file that is not trusted is compiled here, and a file without machine code is too.
    for refused in (run, (*run[:1], "model.ttk", *run[2:], "--trusted")):
        status, _, error = ttk(folder, *refused, libraries=without_nvrtc)
        assert status == 2 and len(error.splitlines()) == 1 and "NVRTC" in error, error
        assert not (folder / "y.npy").exists()
    status, _, error = ttk(folder, *run)
    assert (status, error) == (0, "")


def test_what_cannot_be_built_is_not_written(model, without_nvrtc):
    folder, _ = model
    build = ("build", "model.ttk", "-o", "out.ttk", "--cuda")
    for names, libraries, part in [
        ("sm_90", without_nvrtc, "NVRTC"),
        ("sm_73", None, "sm_73"),
        ("sm_90a", None, "an architecture is a name such as sm_90"),
        ("", None, "an architecture is a name such as sm_90"),
    ]:
        status, output, error = ttk(folder, *build, names, libraries=libraries)
        assert (status, output) == (2, ""), (names, error)
        assert len(error.splitlines()) == 1 and part in error, error
        assert sorted(os.listdir(folder)) == ["model.ttk", "x.npy"]


def test_python_saves_and_loads_machine_code(model):
    folder, want = model
    major, minor = torch.cuda.get_device_capability()
    loaded = torch.jit.load(folder / "model.ttk")
    torch.jit.save(loaded, folder / "out.ttk", cuda=[f"sm_{major}{minor}"])
    assert (folder / "out.ttk").stat().st_size > (folder / "model.ttk").stat().st_size
    again = torch.jit.load(folder / "out.ttk", trusted=True)
    x = torch.from_numpy(np.load(folder / "x.npy"))
    torch.testing.assert_close(again(x), want)
    with pytest.raises(ValueError, match="sm_90"):
        torch.jit.save(loaded, folder / "other.ttk", cuda=["hopper"])
    assert not (folder / "other.ttk").exists()


def test_a_process_that_has_not_looked_for_a_gpu_finds_nvrtc(model):
    folder, _ = model
    program = "import tiny_torch as torch; torch.jit.save(torch.jit.load('model.ttk'), 'out.ttk', cuda=['sm_90'])"
    run = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "") and (folder / "out.ttk").exists()
