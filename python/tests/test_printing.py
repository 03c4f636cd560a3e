"""Text of tensors. The expected strings are what PyTorch 2.15 prints for the same values."""
import math

import pytest
import tiny_torch as torch

CASES = [
    (lambda: torch.tensor([1.0, 2.0, 3.0]), "tensor([1., 2., 3.])"),
    (lambda: torch.tensor([1.5, -2.25]), "tensor([ 1.5000, -2.2500])"),
    (lambda: torch.tensor(3.14159), "tensor(3.1416)"),
    (lambda: torch.tensor(7), "tensor(7)"),
    (lambda: torch.tensor([True, False]), "tensor([ True, False])"),
    (lambda: torch.tensor([1, -20, 300]), "tensor([  1, -20, 300])"),
    (lambda: torch.tensor([[1.0, 2.0], [3.0, 4.5]]), "tensor([[1.0000, 2.0000],\n        [3.0000, 4.5000]])"),
    (lambda: torch.tensor([1e-5, 1.0]), "tensor([1.0000e-05, 1.0000e+00])"),
    (lambda: torch.tensor([1e9, 1.0]), "tensor([1.0000e+09, 1.0000e+00])"),
    (lambda: torch.tensor([math.inf, -math.inf, math.nan, 1.0]), "tensor([inf, -inf, nan, 1.])"),
    (lambda: torch.tensor([math.nan, 1.5]), "tensor([   nan, 1.5000])"),
    (lambda: torch.zeros(0), "tensor([])"),
    (lambda: torch.zeros(0, 3), "tensor([], size=(0, 3))"),
    (lambda: torch.zeros(0, dtype=torch.int64), "tensor([], dtype=torch.int64)"),
    (lambda: torch.ones(2, dtype=torch.float64), "tensor([1., 1.], dtype=torch.float64)"),
    (lambda: torch.ones(2, dtype=torch.int32), "tensor([1, 1], dtype=torch.int32)"),
    (lambda: torch.ones(2, requires_grad=True), "tensor([1., 1.], requires_grad=True)"),
    (lambda: torch.ones(2, requires_grad=True) * 2, "tensor([2., 2.], grad_fn=<MulBackward0>)"),
    (lambda: torch.arange(1001), "tensor([   0,    1,    2,  ...,  998,  999, 1000])"),
    (
        lambda: torch.arange(1200.0).reshape(40, 30),
        "tensor([[0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., 2.7000e+01, 2.8000e+01,\n"
        "         2.9000e+01],\n"
        "        [3.0000e+01, 3.1000e+01, 3.2000e+01,  ..., 5.7000e+01, 5.8000e+01,\n"
        "         5.9000e+01],\n"
        "        [6.0000e+01, 6.1000e+01, 6.2000e+01,  ..., 8.7000e+01, 8.8000e+01,\n"
        "         8.9000e+01],\n"
        "        ...,\n"
        "        [1.1100e+03, 1.1110e+03, 1.1120e+03,  ..., 1.1370e+03, 1.1380e+03,\n"
        "         1.1390e+03],\n"
        "        [1.1400e+03, 1.1410e+03, 1.1420e+03,  ..., 1.1670e+03, 1.1680e+03,\n"
        "         1.1690e+03],\n"
        "        [1.1700e+03, 1.1710e+03, 1.1720e+03,  ..., 1.1970e+03, 1.1980e+03,\n"
        "         1.1990e+03]])",
    ),
    (
        lambda: torch.arange(8).reshape(2, 2, 2),
        "tensor([[[0, 1],\n         [2, 3]],\n\n        [[4, 5],\n         [6, 7]]])",
    ),
    (
        lambda: torch.arange(30),
        "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,\n"
        "        18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29])",
    ),
]


@pytest.mark.parametrize("make, expected", CASES, ids=range(len(CASES)))
def test_repr(make, expected):
    assert repr(make()) == expected


def test_print_options():
    value = torch.tensor([1.23456, 2.0])
    with torch._tensor_str.printoptions(precision=2):
        assert repr(value) == "tensor([1.23, 2.00])"
    with torch._tensor_str.printoptions(sci_mode=True, precision=1):
        assert repr(value) == "tensor([1.2e+00, 2.0e+00])"
    with torch._tensor_str.printoptions(threshold=3, edgeitems=1):
        assert repr(torch.arange(5)) == "tensor([0,  ..., 4])"
    assert repr(value) == "tensor([1.2346, 2.0000])"
    torch.set_printoptions(profile="short")
    assert torch._tensor_str.get_printoptions()["precision"] == 2
    torch.set_printoptions(profile="default")


def test_format():
    assert f"{torch.tensor(3.14159):.2f}" == "3.14"
    assert f"{torch.tensor([1.0])}" == "tensor([1.])"
    assert "%.3f" % torch.tensor(0.5) == "0.500"


def test_subclasses_print_their_own_name():
    class Mine(torch.Tensor):
        pass

    assert repr(torch.ones(2).as_subclass(Mine)) == "Mine([1., 1.])"
