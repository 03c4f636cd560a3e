"""Operands that are packed once and kept with their memory: results stay those of operands that were never seen before."""

import numpy as np
import pytest
import tiny_torch as torch
import tiny_torch.nn.functional as F

TURNS = 4


def numbers(*shape, dtype=torch.float32):
    return torch.randn(*shape, dtype=dtype)


# What is computed of an image or matrix and a weight, and their shapes. The weight is what is kept.
PRODUCTS = {
    "linear": (lambda x, w: F.linear(x, w), (96, 80), (128, 80)),
    "matrix": (lambda x, w: x @ w, (64, 70), (70, 200)),
    "turned": (lambda x, w: (w @ x).relu() + 1, (70, 33), (200, 70)),
    "long sums": (lambda x, w: x @ w, (40, 1700), (1700, 96)),
    "batch": (lambda x, w: x @ w, (5, 40, 48), (5, 48, 72)),
    "part": (lambda x, w: x @ w[7:67, 3:100], (50, 60), (80, 120)),
    "rows": (lambda x, w: F.linear(x, w), (2, 300), (500, 300)),
    "windows": (lambda x, w: F.conv2d(x, w, stride=2, padding=1), (2, 32, 15, 15), (48, 32, 3, 3)),
    "few windows": (lambda x, w: F.conv2d(x, w, padding=1), (1, 64, 5, 5), (400, 64, 3, 3)),
    "winograd": (lambda x, w: F.conv2d(x, w, padding=1), (1, 32, 16, 16), (64, 32, 3, 3)),
    "groups": (lambda x, w: F.conv2d(x, w, groups=2), (1, 32, 9, 9), (32, 16, 3, 3)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", PRODUCTS)
def test_kept_operands_give_the_same_numbers(name, dtype):
    compute, x_shape, w_shape = PRODUCTS[name]
    w = numbers(*w_shape, dtype=dtype)
    for _ in range(TURNS):
        x = numbers(*x_shape, dtype=dtype)
        assert compute(x, w).numpy().tobytes() == compute(x, w.clone()).numpy().tobytes()


def overwrite_shared(w):
    array = w.numpy()
    array *= 2
    return array


def step(w):
    w.requires_grad_()
    w.grad = torch.ones_like(w)
    torch.optim.SGD([w], lr=0.5).step()
    w.requires_grad_(False)


CHANGES = {
    "in place": lambda w: w.mul_(3),
    "a part": lambda w: w[3:9].mul_(0.5),
    "copied": lambda w: w.copy_(torch.randn_like(w)),
    "data": lambda w: setattr(w, "data", torch.randn_like(w)),
    "optimizer": step,
    "numpy": overwrite_shared,
    "out": lambda w: torch.add(w, 1, out=w),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["linear", "windows", "winograd"])
def test_what_is_kept_goes_when_the_weight_changes(name, change):
    compute, x_shape, w_shape = PRODUCTS[name]
    w, x = numbers(*w_shape), numbers(*x_shape)
    held = []
    for _ in range(3):
        for _ in range(TURNS):
            assert compute(x, w).numpy().tobytes() == compute(x, w.clone()).numpy().tobytes()
        before = np.array(w.numpy()) if change == "numpy" else np.array(w.tolist())
        held.append(CHANGES[change](w))
        torch.cpu.synchronize()
        assert not np.array_equal(np.array(w.tolist()), before)


def test_numpy_sees_and_writes_a_weight_that_was_kept():
    compute, x_shape, w_shape = PRODUCTS["linear"]
    w, x = numbers(*w_shape), numbers(*x_shape)
    for _ in range(TURNS):
        compute(x, w).tolist()
    array = w.numpy()
    for turn in range(TURNS):
        array[turn, :] = turn
        assert np.allclose(compute(x, w).numpy(), x.numpy() @ array.T, atol=1e-3)
