"""Files of the safetensors format."""
import json
import os
import random

import pytest
import tiny_torch as torch
from tiny_torch.utils import safetensors


def tensors():
    return {
        "a": torch.arange(6.0).reshape(2, 3),
        "b": torch.arange(4).to(torch.int8),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "empty": torch.zeros(0, 4),
        "t": torch.arange(6).reshape(2, 3).t(),
    }


def test_round_trip(tmp_path):
    value = tensors()
    safetensors.save_file(value, tmp_path / "x.safetensors", {"format": "pt"})
    again = safetensors.load_file(tmp_path / "x.safetensors")
    assert set(again) == set(value)
    for name in value:
        assert again[name].dtype == value[name].dtype and again[name].tolist() == value[name].tolist()
    with safetensors.safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert set(file.keys()) == set(value) and file.metadata() == {"format": "pt"}
        assert file.get_tensor("a").tolist() == value["a"].tolist()
    assert safetensors.load(safetensors.save(value))["t"].tolist() == value["t"].tolist()


def test_the_format():
    data = safetensors.save({"x": torch.tensor([1.0, 2.0]), "y": torch.tensor([3], dtype=torch.uint8)})
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert length % 8 == 0 and data[8 + length :] == b"\0\0\x80?\0\0\0@\x03"
    assert header == {
        "x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "y": {"dtype": "U8", "shape": [1], "data_offsets": [8, 9]},
    }


def test_models(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(2, 3))
    model[1].weight = model[0].weight
    with pytest.raises(RuntimeError, match="share memory"):
        safetensors.save_file(model.state_dict(), tmp_path / "x")
    safetensors.save_model(model, tmp_path / "x")
    twin = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(2, 3))
    assert safetensors.load_model(twin, tmp_path / "x") == (set(), [])
    assert twin[1].weight.tolist() == model[0].weight.tolist()


def test_damaged_files(tmp_path):
    good = safetensors.save({"x": torch.ones(4), "y": torch.zeros(2)})
    draw = random.Random(0)
    for length in range(len(good)):
        with pytest.raises(ValueError):
            safetensors.load(good[:length])
    for _ in range(3000):
        changed = bytearray(good)
        for _ in range(draw.randrange(1, 4)):
            changed[draw.randrange(len(good) - 24)] = draw.randrange(256)
        try:
            safetensors.load(bytes(changed))
        except ValueError:
            pass

    def file(header, body):
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + body

    for header in (
        [],
        {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"x": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}},
        {"x": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
        {"x": {"dtype": "F32", "shape": [1], "data_offsets": "ab"}},
        {"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
        {"x": 3},
    ):
        with pytest.raises(ValueError):
            safetensors.load(file(header, b"\0" * 4))
    with pytest.raises(FileNotFoundError):
        safetensors.load_file(tmp_path / "missing")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(ValueError):
        safetensors.load_file(tmp_path / "empty")


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.safetensors"
    safetensors.save_file({"x": torch.ones(1)}, path)
    with pytest.raises(ValueError):
        safetensors.save_file({"x": torch.ones(1), "y": 3}, path)
    assert safetensors.load_file(path)["x"].item() == 1 and os.listdir(tmp_path) == ["x.safetensors"]
