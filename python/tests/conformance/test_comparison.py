"""Messages of `torch.testing.assert_close`."""
import math

import numpy as np
import pytest
import tiny_torch
import torch

PAIRS = [
    lambda t: (t([1.0, 2.0, 3.0]), t([1.0, 2.5, 3.0])),
    lambda t: (t(1.0), t(2.0)),
    lambda t: (1.0, 2.0),
    lambda t: (1, 1.0),
    lambda t: (t([1, 2]), t([1, 3])),
    lambda t: (t([1.0]), t([1])),
    lambda t: (t([1.0]), t([[1.0]])),
    lambda t: ([t([1.0])], [t([2.0])]),
    lambda t: ([1, 2], [1]),
    lambda t: ({"a": 1}, {"b": 1}),
    lambda t: ({"a": t([[1.0, 2.0]])}, {"a": t([[0.0, 0.0]])}),
    lambda t: (t([math.nan]), t([math.inf])),
    lambda t: (True, False),
    lambda t: (None, 1),
    lambda t: ("a", "b"),
    lambda t: (np.ones(2), np.zeros(2)),
    lambda t: (t([True]), t([False])),
    lambda t: (t([1.0, math.inf]), t([1.0, math.inf])),
]


def outcome(package, make):
    try:
        package.testing.assert_close(*make(package.tensor))
    except Exception as error:
        return type(error).__name__, str(error)
    return None


@pytest.mark.parametrize("make", PAIRS, ids=range(len(PAIRS)))
def test_messages(make):
    assert outcome(tiny_torch, make) == outcome(torch, make)
