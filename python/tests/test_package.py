"""The package as a whole: what importing costs, versions, names."""
import subprocess
import sys

import pytest
import tiny_torch as torch


def test_import_brings_nothing_heavy():
    heavy = "numpy inspect dataclasses tempfile multiprocessing zipfile unittest logging asyncio ctypes".split()
    code = f"import sys; before = set(sys.modules); import tiny_torch; print([m for m in {heavy!r} if m in set(sys.modules) - before])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_version_compares_as_a_version():
    version = torch.__version__
    assert version >= (2, 6) and version > "2.9.1" and version < "3.0" and str(version) == "2.15.0+tiny"
    assert version == "2.15.0+tiny" and version != "2.14.0"
    assert tuple(int(part) for part in version.split("+")[0].split(".")[:2]) == (2, 15)


def test_names():
    assert torch.pi == pytest.approx(3.14159265) and torch.inf > 1e300 and torch.nan != torch.nan
    assert torch.float is torch.float32 and torch.long is torch.int64 and torch.double is torch.float64
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        torch.nonsense
    assert not hasattr(torch, "nonsense")
    assert "nn" in dir(torch)


def test_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.ones(1).dtype == torch.float64 and torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    with pytest.raises(TypeError, match="floating-point"):
        torch.set_default_dtype(torch.int64)


def test_questions_about_devices():
    assert torch.cuda.is_available() is False and torch.cuda.device_count() == 0
    assert torch.backends.mps.is_available() is False
    torch.backends.cudnn.benchmark = True
    torch.cuda.manual_seed_all(1)
    torch.cuda.empty_cache()
    assert torch.distributed.is_available() is False


def test_compile_is_the_identity():
    @torch.compile
    def double(x):
        return x * 2

    @torch.compile(fullgraph=True, mode="max-autotune")
    def triple(x):
        return x * 3

    assert double(torch.ones(1)).item() == 2 and triple(torch.ones(1)).item() == 3
    module = torch.nn.Linear(2, 2)
    assert torch.compile(module) is module


def test_seed_functions():
    assert torch.manual_seed(3) is torch.random.default_generator
    assert torch.initial_seed() == 3
    a = torch.rand(3)
    state = torch.get_rng_state()
    b = torch.rand(3)
    torch.set_rng_state(state)
    assert torch.rand(3).tolist() == b.tolist()
    torch.manual_seed(3)
    assert torch.rand(3).tolist() == a.tolist()
    with torch.random.fork_rng():
        torch.rand(100)
    assert torch.rand(3).tolist() == b.tolist()
