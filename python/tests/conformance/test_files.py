"""Checkpoints, read by the other package."""
import collections
import io

import numpy as np
import pytest
import tiny_torch
import torch

DTYPES = "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()


def contents(package):
    base = package.arange(12.0).reshape(3, 4)
    model = package.nn.Sequential(package.nn.Linear(3, 4), package.nn.BatchNorm1d(4))
    optimizer = package.optim.Adam(model.parameters())
    model(package.ones(2, 3)).sum().backward()
    optimizer.step()
    return {
        **{name: package.arange(6).reshape(2, 3).to(getattr(package, name)) for name in DTYPES},
        "base": base,
        "t": base.t(),
        "row": base[1],
        "state": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "parameter": model[0].weight,
        "leaf": package.ones(2, requires_grad=True),
        "empty": package.zeros(0, 3),
        "size": package.Size([2, 3]),
        "dtype": package.float16,
        "device": package.device("cpu"),
        "plain": [1, 2.5, "text", None, (True,), 2**70],
        "counter": collections.Counter("aab"),
    }


def plain(value):
    if hasattr(value, "detach"):
        return str(value.dtype), tuple(value.shape), value.stride(), value.requires_grad, value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if type(value).__module__.startswith(("torch", "tiny_torch", "builtins")) else value


@pytest.mark.parametrize("old", [False, True], ids=["zip", "legacy"])
def test_theirs_read_here(old):
    value = contents(torch)
    value["numpy"] = np.arange(6.0).reshape(2, 3)
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not old)
    buffer.seek(0)
    read = tiny_torch.load(buffer)
    assert read.pop("numpy").tolist() == value.pop("numpy").tolist()
    assert plain(read) == plain(value)
    assert read["state"]._metadata == value["state"]._metadata
    assert isinstance(read["parameter"], tiny_torch.nn.Parameter)


def test_ours_read_there(tmp_path):
    value = contents(tiny_torch)
    tiny_torch.save(value, tmp_path / "x.pt")
    for options in ({}, {"mmap": True}, {"weights_only": False}):
        read = torch.load(tmp_path / "x.pt", **options)
        assert plain(read) == plain(value)
    assert isinstance(read["parameter"], torch.nn.Parameter)
    assert read["base"].untyped_storage()._cdata == read["t"].untyped_storage()._cdata


def test_whole_modules_both_ways():
    for writer, reader in ((torch, tiny_torch), (tiny_torch, torch)):
        nn = writer.nn
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)).eval()
        buffer = io.BytesIO()
        writer.save(model, buffer)
        buffer.seek(0)
        twin = reader.load(buffer, weights_only=False)
        assert repr(twin) == repr(model)
        x = np.random.default_rng(0).standard_normal((3, 1, 4, 4)).astype("f")
        expected = model(writer.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(twin(reader.from_numpy(x)).detach().numpy(), expected, rtol=1e-5, atol=1e-6)
