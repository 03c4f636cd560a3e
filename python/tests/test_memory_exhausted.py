"""Asking for more memory than there is: an ordinary exception, and what was there before still works."""
import gc
import os
import subprocess
import sys
import textwrap

import pytest
import tiny_torch as torch

ALLOCATE = r"you tried to allocate \d+ bytes"


@pytest.fixture(autouse=True)
def stream():
    """Each test draws from the beginning of the stream: numbers that found no room were drawn nevertheless."""
    torch.manual_seed(0)
    yield
    torch.manual_seed(0)
    # What could not be computed waits in the frames of a caught exception, which refers to itself.
    gc.collect()


TOO_MUCH = [
    "torch.zeros(1 << 45) + 1",
    "torch.rand(1 << 45)",
    "torch.ones(1 << 44, 4).t().contiguous() * torch.rand(1)",
    "torch.ones(3).expand(1 << 44, 3) + torch.rand(3)",
    "torch.rand(1 << 22, 1) + torch.rand(1, 1 << 23)",
    "torch.rand(1 << 22, 1) @ torch.rand(1, 1 << 22)",
    "torch.nn.functional.pad(torch.rand(4), (0, 1 << 45)).cumsum(0)",
]


@pytest.mark.parametrize("text", TOO_MUCH)
def test_more_than_any_machine_has(text):
    before = torch.arange(4.0)
    waiting = torch.arange(4.0) * 2
    with pytest.raises(RuntimeError, match=ALLOCATE) as error:
        value = eval(text, {"torch": torch})
        value.reshape(-1)[-1].item()
    assert "DefaultCPUAllocator: can't allocate memory" in str(error.value)
    assert (before + 1).tolist() == [1, 2, 3, 4] and waiting.tolist() == [0, 2, 4, 6]


def test_lists_of_more_than_memory():
    with pytest.raises(MemoryError):
        torch.ones(1).expand(1 << 45).tolist()


def test_within_a_training_step():
    """A loss that does not fit raises; the parameters are as they were, and a smaller step runs."""
    model = torch.nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    weight = model.weight.detach().clone().tolist()
    with pytest.raises(RuntimeError, match=ALLOCATE):
        loss = model(torch.rand(1 << 43, 4)).exp().sum()
        loss.backward()
        loss.item()
    del loss
    optimizer.zero_grad()
    assert model.weight.tolist() == weight
    optimizer.zero_grad()
    model(torch.ones(8, 4)).sum().backward()
    optimizer.step()
    assert model.weight.tolist() != weight


def test_a_limit_of_the_system():
    """`ulimit -v`: the limit is met, said, and the program goes on."""
    program = """
        import resource
        import tiny_torch as torch
        kept = torch.arange(1000.0)
        (kept * 2).tolist()
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20),) * 2)
        for _ in range(3):
            try:
                torch.rand(1 << 28).cumsum(0)[-1].item()
            except RuntimeError as error:
                assert "you tried to allocate" in str(error), error
            else:
                raise AssertionError("a gigabyte fitted into 256 megabytes")
        several = []
        try:
            while True:
                several.append(torch.rand(1 << 22))
                several[-1].sum().item()
        except RuntimeError as error:
            assert "you tried to allocate" in str(error), error
        assert several
        several.clear()
        assert (kept + 1).sum().item() == 500500 and torch.rand(1 << 20).sum().item() > 0
        print("fine")
    """
    environment = {k: v for k, v in os.environ.items() if k != "RUST_BACKTRACE"}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout == "fine\n" and done.stderr == "", done.stderr
