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
    """Each test draws from the beginning of the stream."""
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


AT_THE_CALL = [
    "torch.randperm(1 << 45)",
    "torch.rand(1 << 45)",
    "torch.randn(1 << 45)",
    "torch.randint(5, (1 << 45,))",
    "torch.randint(1 << 40, (1 << 45,))",
    "torch.bernoulli(torch.ones(1).expand(1 << 45))",
    "torch.empty(1 << 20).expand(1 << 25, 1 << 20).bernoulli()",
    "torch.hann_window(1 << 45)",
    "torch.tril_indices(1 << 22, 1 << 23)",
    "torch.bincount(torch.tensor([1 << 45]))",
    "torch.bincount(torch.tensor([1]), minlength=1 << 45)",
    "torch.ones(2).repeat_interleave(torch.tensor([1 << 45, 1]))",
    "torch.ones(1).numpy() is None or torch.ones(1).expand(1 << 45).unique()",
]


@pytest.mark.parametrize("loaded", [False, True], ids=["fresh", "loaded"])
@pytest.mark.parametrize("text", AT_THE_CALL)
def test_what_is_made_at_the_call(text, loaded):
    """Nothing is drawn for what finds no room: the stream goes on where it was."""
    torch.rand(5)
    if loaded:
        torch.set_rng_state(torch.get_rng_state())
    state = torch.get_rng_state().tolist()
    with pytest.raises(RuntimeError, match=ALLOCATE):
        eval(text, {"torch": torch})
    assert torch.get_rng_state().tolist() == state
    assert torch.rand(3).tolist() != torch.rand(3).tolist()


def test_a_view_of_shared_memory_larger_than_memory():
    x = torch.ones(1)
    array = x.numpy()
    wide = x.expand(1 << 45)
    with pytest.raises(RuntimeError, match=ALLOCATE):
        (wide + torch.rand(1)).cumsum(0)[-1].item()
    array[0] = 3
    assert x.item() == 3


def test_lists_of_more_than_memory():
    with pytest.raises(MemoryError):
        torch.ones(1).expand(1 << 45).tolist()


def test_within_a_training_step():
    """A loss that does not fit raises; the parameters are as they were, and a smaller step runs."""
    model = torch.nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    weight = model.weight.detach().clone().tolist()
    with pytest.raises(RuntimeError, match=ALLOCATE):
        loss = model(torch.ones(1, 4).expand(1 << 43, 4)).exp().sum()
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
