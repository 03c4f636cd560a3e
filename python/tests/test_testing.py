"""`torch.testing`: the messages are PyTorch 2.15's."""
import math

import numpy as np
import pytest
import tiny_torch as torch
from tiny_torch.testing import assert_close, make_tensor


def test_what_is_close():
    assert_close(torch.ones(3), torch.ones(3) + 1e-6)
    assert_close([1, {"a": torch.ones(1)}], [1, {"a": torch.ones(1)}])
    assert_close(np.ones(2), np.ones(2))
    assert_close(torch.tensor([math.inf, 1.0]), torch.tensor([math.inf, 1.0]))
    assert_close(torch.tensor([math.nan]), torch.tensor([math.nan]), equal_nan=True)
    assert_close(torch.ones(2), torch.ones(2, dtype=torch.float64), check_dtype=False)
    assert_close(1.0, 1.1, rtol=0.2, atol=0)


MESSAGES = [
    (
        lambda: (torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.5, 3.0])),
        "Tensor-likes are not close!\n\nMismatched elements: 1 / 3 (33.3%)\n"
        "Greatest absolute difference: 0.5 at index (1,) (up to 1e-05 allowed)\n"
        "Greatest relative difference: 0.20000000298023224 at index (1,) (up to 1.3e-06 allowed)",
    ),
    (
        lambda: (torch.tensor(1.0), torch.tensor(2.0)),
        "Scalars are not close!\n\nExpected 2.0 but got 1.0.\nAbsolute difference: 1.0 (up to 1e-05 allowed)\n"
        "Relative difference: 0.5 (up to 1.3e-06 allowed)",
    ),
    (
        lambda: (torch.tensor([1, 2]), torch.tensor([1, 3])),
        "Tensor-likes are not equal!\n\nMismatched elements: 1 / 2 (50.0%)\nGreatest absolute difference: 1 at index (1,)\n"
        "Greatest relative difference: 0.3333333432674408 at index (1,)",
    ),
    (lambda: (torch.ones(1), torch.ones(1, dtype=torch.int64)), "The values for attribute 'dtype' do not match: torch.float32 != torch.int64."),
    (lambda: (torch.ones(1), torch.ones(1, 1)), "The values for attribute 'shape' do not match: torch.Size([1]) != torch.Size([1, 1])."),
    (lambda: ([1, 2], [1]), "The length of the sequences mismatch: 2 != 1"),
    (lambda: (True, False), "Booleans mismatch: True is not False"),
    (lambda: (None, 1), "None mismatch: None is not 1"),
    (
        lambda: ({"a": 1}, {"b": 1}),
        "The keys of the mappings do not match:\nMissing keys in the actual mapping: ['b']\n"
        "Additional keys in the actual mapping: ['a']",
    ),
]


@pytest.mark.parametrize("make, message", MESSAGES, ids=range(len(MESSAGES)))
def test_messages(make, message):
    with pytest.raises(AssertionError) as error:
        assert_close(*make())
    assert str(error.value) == message


def test_other_errors():
    with pytest.raises(ValueError, match="got no atol"):
        assert_close(1.0, 1.0 + 1e-9, rtol=1)
    with pytest.raises(TypeError, match="No comparison pair"):
        assert_close("a", "b")
    with pytest.raises(AssertionError, match="failure occurred for item \\[0\\]\\['x'\\]"):
        assert_close([{"x": torch.ones(1)}], [{"x": torch.zeros(1)}])
    with pytest.raises(AssertionError, match="^mine$"):
        assert_close(1, 2, msg="mine")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool, torch.bfloat16])
def test_make_tensor(dtype):
    made = make_tensor((20, 3), dtype=dtype)
    assert made.dtype == dtype and made.shape == (20, 3)
    if dtype != torch.bool:
        values = make_tensor(50, dtype=dtype, low=2, high=5).tolist()
        assert min(values) >= 2 and max(values) <= 5
    assert not make_tensor((4, 4), dtype=dtype, noncontiguous=True).is_contiguous()
