"""Writes that fail or are interrupted: the old file stays, and nothing is left beside it."""
import os
import resource
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tiny_torch as torch

OLD = b"what was there before"


def traced(size=3):
    model = torch.nn.Linear(size, size)
    return torch.jit.trace(model, torch.ones(1, size))


WRITERS = {
    "save": lambda path: torch.save({"x": torch.ones(1000)}, path),
    "jit.save": lambda path: torch.jit.save(traced(), path),
    "jit method": lambda path: traced().save(path),
}


@pytest.fixture(params=WRITERS)
def writer(request):
    return WRITERS[request.param]


def test_a_write_replaces_the_file_and_leaves_nothing_else(writer, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(OLD)
    os.chmod(path, 0o604)
    os.symlink("x", tmp_path / "link")
    writer(tmp_path / "link")
    assert path.read_bytes() != OLD and os.path.islink(tmp_path / "link") and os.stat(path).st_mode & 0o777 == 0o604
    assert sorted(os.listdir(tmp_path)) == ["link", "x"]


def test_places_that_cannot_be_written(writer, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").write_bytes(OLD)
    for place in ("folder", "no/such/x", "/dev/full", "x" * 300):
        with pytest.raises((OSError, RuntimeError)):
            writer(tmp_path / place)
    assert os.listdir(tmp_path) == ["folder"] and (tmp_path / "folder" / "inside").read_bytes() == OLD
    writer("/dev/null")
    assert not os.path.isfile("/dev/null") and not os.path.isfile("/dev/full")


def test_a_file_that_may_not_be_written_is_not_replaced(writer, tmp_path):
    """Root may write everywhere, so a child without its powers tries."""
    path = tmp_path / "x"
    path.write_bytes(OLD)
    os.chmod(path, 0o444)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.chown(tmp_path, 65534, -1)
                os.setuid(65534)
            writer(path)
        except (OSError, RuntimeError):
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert path.read_bytes() == OLD and os.listdir(tmp_path) == ["x"]


def test_a_full_disk(writer, tmp_path):
    """No file of this process may grow beyond 100 bytes, for the length of the test."""
    path = tmp_path / "x"
    path.write_bytes(OLD)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises((OSError, RuntimeError), match="too large"):
            writer(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == OLD and os.listdir(tmp_path) == ["x"]


class Interrupts:
    """Cannot be pickled: the exception comes when the writing has begun."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("mine"), MemoryError()], ids=lambda e: type(e).__name__)
def test_an_exception_while_pickling(error, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(OLD)
    with pytest.raises(type(error)):
        torch.save([torch.ones(1000), Interrupts(error)], path)
    assert path.read_bytes() == OLD and os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("after", range(4))
def test_an_exception_between_two_records(after, tmp_path, monkeypatch):
    from tiny_torch import _zip

    path, write = tmp_path / "x", _zip.ArchiveWriter.write
    path.write_bytes(OLD)
    left = [after]

    def interrupted(self, name, data):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write(self, name, data)

    monkeypatch.setattr(_zip.ArchiveWriter, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        torch.save([torch.ones(10), torch.ones(20)], path)
    assert path.read_bytes() == OLD and os.listdir(tmp_path) == ["x"]


def test_a_value_that_cannot_be_computed_is_not_saved(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(OLD)
    wrong = torch.ones(2, 3).gather(0, torch.tensor([[7, 0, 0]]))
    with pytest.raises(IndexError):
        torch.save({"good": torch.ones(3), "wrong": wrong}, path)
    assert path.read_bytes() == OLD and os.listdir(tmp_path) == ["x"]


def ttk(*arguments, cwd):
    environment = {k: v for k, v in os.environ.items() if k != "RUST_BACKTRACE"}
    command = [sys.executable, "-m", "tiny_torch", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def test_outputs_of_ttk_run(tmp_path):
    traced().save(tmp_path / "model.ttk")
    np.save(tmp_path / "x.npy", np.ones((1, 3), np.float32))
    np.save(tmp_path / "wide.npy", np.ones((1, 4), np.float32))
    (tmp_path / "y.npy").write_bytes(OLD)
    whole = (tmp_path / "model.ttk").read_bytes()
    (tmp_path / "cut.ttk").write_bytes(whole[:-1])
    before = sorted(os.listdir(tmp_path))
    for model, inputs, output in [
        ("model.ttk", ["wide.npy"], "y.npy"),
        ("model.ttk", [], "y.npy"),
        ("model.ttk", ["missing.npy"], "y.npy"),
        ("cut.ttk", ["x.npy"], "y.npy"),
        ("missing.ttk", ["x.npy"], "y.npy"),
        ("model.ttk", ["x.npy"], "/dev/full"),
        ("model.ttk", ["x.npy"], "no/such/y.npy"),
    ]:
        done = ttk("run", model, *(w for i in inputs for w in ("--input", i)), "--output", output, cwd=tmp_path)
        assert done.returncode == 2 and not done.stdout and done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("ttk: ")
    assert sorted(os.listdir(tmp_path)) == before and (tmp_path / "y.npy").read_bytes() == OLD
    done = ttk("run", "model.ttk", "--input", "x.npy", "--output", "y.npy", cwd=tmp_path)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert np.load(tmp_path / "y.npy").shape == (1, 3)


def test_a_killed_program_leaves_the_old_file(tmp_path):
    """Killed in the middle of writing: what is left of the new file has another name."""
    (tmp_path / "x").write_bytes(OLD)
    program = """
        import os, signal
        import tiny_torch as torch
        from tiny_torch import _zip
        write = _zip.ArchiveWriter.write
        def killed(self, name, data):
            write(self, name, data)
            if name == "data/0":
                self._file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        _zip.ArchiveWriter.write = killed
        torch.save([torch.ones(1000), torch.ones(1000)], "x")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, timeout=120)
    assert done.returncode == -signal.SIGKILL and (tmp_path / "x").read_bytes() == OLD
