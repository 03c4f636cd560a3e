"""Wrong shapes, dtypes, dimensions, indices, devices and arguments: PyTorch's exceptions, in PyTorch's words.

The cases are in `bad_input.txt`.
"""
import builtins
import io
import pathlib

import numpy as np
import pytest
import tiny_torch as torch

F, nn = torch.nn.functional, torch.nn


def cases():
    lines = (pathlib.Path(__file__).parent / "bad_input.txt").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    for text, expected in zip(lines[::2], lines[1::2]):
        assert not text.startswith(" ") and expected.startswith("    "), text
        kind, _, words = expected.strip().partition(": ")
        yield pytest.param(text, kind, words, id=text)


# What the cases call besides PyTorch's names.


def twice():
    x = torch.ones(2, requires_grad=True)
    y = (x * x).sum()
    y.backward()
    y.backward()


def inplace_leaf():
    torch.ones(2, requires_grad=True).add_(1)


def inplace_leaf_view():
    torch.ones(2, requires_grad=True)[0].add_(1)


def inplace_saved():
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    z = (y * y).sum()
    y.add_(1)
    z.backward()


def set_grad(value):
    torch.ones(2, requires_grad=True).grad = value


class Mine(Exception):
    pass


def hook_raises():
    def hook(grad):
        raise Mine("hook")

    x = torch.ones(2, requires_grad=True)
    x.register_hook(hook)
    (x * 2).sum().backward()


def hook_wrong():
    x = torch.ones(2, requires_grad=True)
    x.register_hook(lambda grad: 5)
    (x * 2).sum().backward()


def backward_of(function):
    class Fn(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return function(grad)

    Fn.apply(torch.ones(2, requires_grad=True)).sum().backward()


def function_raises():
    def function(grad):
        raise Mine("function")

    backward_of(function)


def function_wrong_count():
    backward_of(lambda grad: (grad, grad))


def function_wrong_type():
    backward_of(lambda grad: 5)


def function_forward_missing():
    class Function(torch.autograd.Function):
        pass

    Function.apply(torch.ones(2, requires_grad=True))


def compute(value):
    """Computes whatever waits in a result, so that errors which only computing shows are raised."""
    if isinstance(value, torch.Tensor):
        value.detach().tolist()
    elif isinstance(value, (tuple, list)):
        for part in value:
            compute(part)


def kinds(error):
    return {cls.__name__ for cls in type(error).__mro__}


@pytest.mark.parametrize("text, kind, words", list(cases()))
@pytest.mark.filterwarnings("ignore")
def test_refused(text, kind, words):
    waiting = torch.arange(3.0) * 2
    names = {"torch": torch, "F": F, "nn": nn, "np": np, "io": io, **globals()}
    with pytest.raises(Exception) as caught:
        compute(eval(text, names))
    error = caught.value
    assert kind in kinds(error) and words in str(error), f"{type(error).__name__}: {error}"
    if hasattr(builtins, kind):
        assert isinstance(error, getattr(builtins, kind))
    # Nothing else is harmed.
    assert waiting.tolist() == [0, 2, 4]


def test_there_are_many():
    assert len(list(cases())) > 500


def test_a_panic_would_be_an_exception():
    """Whatever goes wrong in native code is an exception, and a method that cannot unwind is not left by one."""
    for attempt in (lambda: torch._C._from_bytes(b"abc", torch.float32, (2,)), lambda: torch.tensor(1.0).stride(0)):
        with pytest.raises((RuntimeError, ValueError, IndexError)):
            attempt()
