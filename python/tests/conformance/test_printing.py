"""Printed tensors, character for character."""
import random

import pytest
import tiny_torch
import torch

OPTIONS = [
    {},
    {},
    {},
    {"precision": 2},
    {"sci_mode": True},
    {"sci_mode": False},
    {"threshold": 10},
    {"threshold": 5, "edgeitems": 1},
    {"linewidth": 40},
    {"edgeitems": 0, "threshold": 3},
    {"profile": "short"},
    {"profile": "full"},
]


@pytest.fixture(autouse=True)
def default_options():
    yield
    for package in (torch, tiny_torch):
        package.set_printoptions(profile="default")


def to_ours(value):
    dtype = str(value.dtype).split(".")[1]
    data = value.detach()
    made = tiny_torch.tensor(data.double().numpy() if dtype == "bfloat16" else data.numpy())
    return made.to(getattr(tiny_torch, dtype)).requires_grad_(value.requires_grad)


@pytest.mark.parametrize("seed", range(300))
def test_random_tensors(seed):
    draw = random.Random(seed)
    torch.manual_seed(seed)
    shape = [draw.choice([0, 1, 2, 3, 5, 7, 20, 40]) for _ in range(draw.randint(0, 4))]
    dtype = draw.choice("float32 float64 float16 bfloat16 int64 int32 uint8 bool".split())
    value = torch.randn(shape) * draw.choice([1, 1e-3, 1e5, 1e9, 100])
    if draw.random() < 0.3:
        value = value.round()
    if value.numel() and draw.random() < 0.2:
        value.view(-1)[0] = draw.choice([float("nan"), float("inf"), 0.0])
    if not dtype.startswith(("float", "bfloat")):
        value = value.nan_to_num(0, 0, 0)
    if dtype == "uint8":
        value = value.abs() % 200
    value = value.to(getattr(torch, dtype))
    if value.is_floating_point() and draw.random() < 0.3:
        value.requires_grad_()
    options = draw.choice(OPTIONS)
    for package in (torch, tiny_torch):
        package.set_printoptions(profile="default")
        package.set_printoptions(**options)
    assert repr(to_ours(value)) == repr(value)
