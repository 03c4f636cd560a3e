"""Errors that only computing shows, and exceptions of the user's own code on their way through."""
import os
import signal
import threading

import pytest
import tiny_torch as torch
import tiny_torch.nn.functional as F
from tiny_torch.utils.data import DataLoader, Dataset

LATE = {
    "gather": lambda: torch.ones(2, 3).gather(0, torch.tensor([[5, 0, 0]])),
    "gather below": lambda: torch.ones(2, 3).gather(0, torch.tensor([[-1, 0, 0]])),
    "index_select": lambda: torch.ones(2, 3).index_select(0, torch.tensor([0, 2])),
    "embedding": lambda: F.embedding(torch.tensor([1, 7]), torch.ones(3, 2)),
    "nn.Embedding": lambda: torch.nn.Embedding(3, 2)(torch.tensor([3])),
    "indexing": lambda: torch.ones(2, 3)[torch.tensor([0, 2])],
    "indexing below": lambda: torch.ones(2, 3)[torch.tensor([-3])],
    "take": lambda: torch.ones(2, 3).take(torch.tensor([6])),
    "scatter": lambda: torch.zeros(2, 3).scatter(0, torch.tensor([[0, 2, 0]]), 1.0),
    "index_add": lambda: torch.zeros(2).index_add(0, torch.tensor([2]), torch.ones(1)),
    "nll_loss": lambda: F.nll_loss(torch.zeros(2, 3), torch.tensor([0, 3])),
    "cross_entropy": lambda: F.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 4])),
    "data": lambda: torch.ones(4)[(torch.rand(3) * 0 + 9).long()] * 2,
}


@pytest.mark.parametrize("name", LATE)
def test_an_index_out_of_range_is_told_when_it_is_computed(name):
    good = torch.arange(3.0) * 2
    with pytest.raises(IndexError, match="out of"):
        LATE[name]().sum().item()
    # Neither what waited with it nor what comes after is harmed, and asking again tells it again.
    assert good.tolist() == [0, 2, 4]
    wrong = LATE[name]()
    for _ in range(2):
        with pytest.raises(IndexError):
            wrong.tolist()
    assert (good + 1).tolist() == [1, 3, 5]


def test_what_depends_on_a_wrong_value_fails_and_the_rest_does_not():
    table = torch.arange(6.0).reshape(3, 2).requires_grad_()
    wrong = F.embedding(torch.tensor([9]), table)
    right = F.embedding(torch.tensor([1]), table)
    with pytest.raises(IndexError):
        wrong.sum().item()
    right.sum().backward()
    assert table.grad.tolist() == [[0, 0], [1, 1], [0, 0]] and right.tolist() == [[2, 3]]
    with pytest.raises(IndexError):
        (wrong + right).tolist()


def test_a_wrong_write_in_place():
    x, y = torch.zeros(3), torch.ones(3)
    x[torch.tensor([5])] = 1
    with pytest.raises(IndexError):
        x.tolist()
    assert y.tolist() == [1, 1, 1]


class Mine(Exception):
    pass


def raising(*args):
    raise Mine("from the user's code")


def test_exceptions_of_hooks_and_functions_pass_unchanged():
    def attempt(prepare):
        x = torch.ones(3, requires_grad=True)
        y = prepare(x)
        with pytest.raises(Mine, match="from the user's code") as error:
            y.sum().backward()
        assert error.traceback[-1].name == "raising"
        # The leaf can be used again.
        x.grad = None
        (x * 2).sum().backward()
        return x.grad.tolist()

    def hooked(x):
        y = x * 2
        y.register_hook(raising)
        return y

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        backward = staticmethod(raising)

    assert attempt(hooked) == [2, 2, 2]
    assert attempt(Function.apply) == [2, 2, 2]

    class Forward(torch.autograd.Function):
        forward = staticmethod(raising)

    x = torch.ones(3, requires_grad=True)
    with pytest.raises(Mine):
        Forward.apply(x)
    assert torch.is_grad_enabled() and (x * 2).requires_grad

    module = torch.nn.Linear(3, 1)
    handle = module.register_forward_hook(raising)
    with pytest.raises(Mine):
        module(x)
    handle.remove()
    module(x).sum().backward()
    assert module.bias.grad.tolist() == [1]

    def closure():
        raising()

    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    with pytest.raises(Mine):
        optimizer.step(closure)
    with pytest.raises(Mine):
        with torch.no_grad():
            raising()
    assert torch.is_grad_enabled()


class Broken(Dataset):
    def __init__(self, at, error):
        self.at, self.error = at, error

    def __len__(self):
        return 6

    def __getitem__(self, index):
        if index == self.at:
            raise self.error
        return torch.tensor(index) * 2


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("error", [Mine("from the user's code"), KeyError("key"), IndexError("mine")], ids=lambda e: type(e).__name__)
def test_exceptions_of_datasets(workers, error):
    with pytest.raises(type(error)) as caught:
        list(DataLoader(Broken(3, error), batch_size=2, num_workers=workers))
    if workers:
        assert "in DataLoader worker process" in str(caught.value) and "__getitem__" in str(caught.value)
    good = [batch.tolist() for batch in DataLoader(Broken(-1, error), batch_size=3, num_workers=workers)]
    assert good == [[0, 2, 4], [6, 8, 10]]


def test_an_index_that_a_worker_computes_late():
    class Late(Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return torch.arange(3)[torch.tensor([index * 9])]

    with pytest.raises(IndexError):
        [batch.tolist() for batch in DataLoader(Late(), num_workers=1)]


@pytest.fixture
def interruptible():
    """Ctrl-C is `KeyboardInterrupt`, also where a shell has a program in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_while_computing(interruptible):
    """Ctrl-C comes from another thread while this one computes; values are right before and after."""
    computing, x = threading.Event(), torch.rand(1 << 16)
    kept = (x * 2).tolist()

    def interrupt():
        computing.wait()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        computing.set()
        while True:
            ((x * 3).exp().cumsum(0) / 7).sum().item()
    thread.join()
    assert (x * 2).tolist() == kept


def network():
    torch.manual_seed(0)
    embedding, layer = torch.nn.Embedding(4, 3), torch.nn.Linear(3, 2)
    return embedding, layer, [*embedding.parameters(), *layer.parameters()]


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_a_step_that_fails_leaves_the_parameters_as_they_were(name):
    def train(wrong):
        embedding, layer, parameters = network()
        optimizer = getattr(torch.optim, name)(parameters, lr=0.1)
        losses = []
        for i in range(4):
            optimizer.zero_grad()
            if i == wrong:
                before = [p.tolist() for p in parameters]
                layer(embedding(torch.tensor([9]))).pow(2).sum().backward()
                with pytest.raises(IndexError):
                    optimizer.step()
                assert [p.tolist() for p in parameters] == before
                optimizer.zero_grad()
                optimizer.state.clear()
            loss = layer(embedding(torch.tensor([0, 3, 3]))).pow(2).sum()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    # Where nothing is remembered between the steps, the failure leaves no trace at all.
    assert train(0) == train(None)
    if name == "SGD":
        assert train(2) == train(None)


def test_a_step_that_fails_leaves_the_optimizer_as_it_was():
    embedding, layer, parameters = network()
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)

    def step(index):
        optimizer.zero_grad()
        layer(embedding(torch.tensor([index]))).pow(2).sum().backward()
        optimizer.step()

    step(1)
    before = [optimizer.state[p]["momentum_buffer"].tolist() for p in parameters]
    with pytest.raises(IndexError):
        step(7)
    assert [optimizer.state[p]["momentum_buffer"].tolist() for p in parameters] == before
    step(2)
    assert [optimizer.state[p]["momentum_buffer"].tolist() for p in parameters] != before


def test_a_step_without_memory_leaves_the_parameters_as_they_were():
    _, layer, parameters = network()
    optimizer = torch.optim.Adam(parameters, lr=0.1)
    before = [p.tolist() for p in parameters[1:]]
    loss = layer(torch.ones(1, 3).expand(1 << 43, 3)).exp().sum()
    loss.backward()
    del loss
    with pytest.raises(RuntimeError, match="you tried to allocate"):
        optimizer.step()
    torch.manual_seed(0)
    assert [p.tolist() for p in parameters[1:]] == before
    optimizer.zero_grad()
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert [p.tolist() for p in parameters[1:]] != before


def test_what_is_written_over_before_the_failure_is_written_once():
    """The update of one parameter may run before the failure of another's; it is not run twice."""
    good, table = torch.zeros(1 << 12), torch.ones(4, 2)
    for i in range(3):
        (good * 2).sum().item()
        good.add_(1)
        table.index_add_(0, torch.tensor([i + 3]), torch.ones(1, 2))
        other = torch.ones(2, 3).gather(0, torch.tensor([[i + 2, 0, 0]]))
        with pytest.raises(IndexError):
            torch._C._flush()
        assert good.tolist() == [i + 1.0] * (1 << 12)
        assert table.tolist() == [[1, 1]] * 3 + [[2, 2]]
        with pytest.raises(IndexError):
            other.tolist()


def test_a_failure_is_reported_once():
    held = torch.ones(2, 3).gather(0, torch.tensor([[7, 0, 0]]))
    made = held * 2
    _, layer, parameters = network()
    optimizer = torch.optim.SGD(parameters[1:], lr=0.1)

    def step():
        optimizer.zero_grad()
        layer(torch.ones(1, 3)).sum().backward()
        optimizer.step()

    before = layer.bias.tolist()
    with pytest.raises(IndexError):
        step()
    # The step was made all the same, and the next ones are not disturbed.
    after = layer.bias.tolist()
    assert after != before
    total = made.sum()
    step()
    total = total + held.sum()
    step()
    assert layer.bias.tolist() == pytest.approx([b - 0.3 for b in before])
    for wrong in (held, made, total):
        with pytest.raises(IndexError):
            wrong.tolist()


def test_failed_writes_are_undone_and_others_are_not():
    x, y, z = torch.zeros(3), torch.zeros(3), torch.ones(3) * 2
    x.add_(1)
    x[torch.tensor([5])] = 7
    x.mul_(3)
    y.copy_(torch.ones(2, 3).gather(0, torch.tensor([[7, 0, 0]]))[0])
    z.add_(1)
    with pytest.raises(IndexError):
        torch._C._flush()
    assert x.tolist() == [1, 1, 1] and y.tolist() == [0, 0, 0] and z.tolist() == [3, 3, 3]
    x[torch.tensor([5])] = 7
    with pytest.raises(IndexError):
        x.tolist()
    assert x.tolist() == [1, 1, 1] and x.add_(1).tolist() == [2, 2, 2]


def test_failed_writes_to_memory_shared_with_numpy_are_undone():
    x = torch.zeros(3)
    array = x.numpy()
    with pytest.raises(IndexError):
        x[torch.tensor([5])] = 7
    assert x.tolist() == [0, 0, 0] and array.tolist() == [0, 0, 0]
    x.add_(1)
    assert array.tolist() == [1, 1, 1]


def test_an_update_from_a_failure_that_was_reported_is_reported_again():
    _, layer, parameters = network()
    optimizer = torch.optim.SGD(parameters[1:], lr=0.1)
    wrong = torch.ones(2, 3).gather(0, torch.tensor([[7, 0, 0]]))
    before = layer.bias.tolist()
    for _ in range(2):
        optimizer.zero_grad()
        (layer(wrong) * layer(wrong)).sum().backward()
        with pytest.raises(IndexError):
            optimizer.step()
        assert layer.bias.tolist() == before
