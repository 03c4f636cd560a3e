"""Programs that look at the result of each operation: a plan is found by the operation alone, and must be the right one."""
import numpy as np
import pytest
import tiny_torch as torch
from tiny_torch import _C

f32 = np.float32
# More of them than are remembered; some differ by an attribute, a type, a size or the number of operands alone.
OPERATIONS = {
    "add": (lambda x, y: x + y, lambda x, y: x + y),
    "sub": (lambda x, y: x - y, lambda x, y: x - y),
    "mul": (lambda x, y: x * y, lambda x, y: x * y),
    "mm": (lambda x, y: x @ y, lambda x, y: x @ y),
    "mm of others": (lambda x, y: y @ x, lambda x, y: y @ x),
    "twice the same": (lambda x, y: x * x, lambda x, y: x * x),
    "relu": (lambda x, y: x.relu(), lambda x, y: np.maximum(x, 0)),
    "exp": (lambda x, y: y.exp(), lambda x, y: np.exp(y)),
    "double": (lambda x, y: x.double(), lambda x, y: x.astype(float)),
    "int": (lambda x, y: x.int(), lambda x, y: x.astype(int)),
    "sum of rows": (lambda x, y: x.sum(0), lambda x, y: x.sum(0)),
    "sum of columns": (lambda x, y: x.sum(1), lambda x, y: x.sum(1)),
    "cat of two": (lambda x, y: torch.cat([x, y]), lambda x, y: np.concatenate([x, y])),
    "cat of three": (lambda x, y: torch.cat([x, y, x[:1]]), lambda x, y: np.concatenate([x, y, x[:1]])),
    "fewer rows": (lambda x, y: x[:2] + y[:2], lambda x, y: x[:2] + y[:2]),
    "compared": (lambda x, y: x < y, lambda x, y: x < y),
}


@pytest.mark.parametrize("n", [3, 16, 17, 50])
def test_each_result_is_its_operations(n):
    rng = np.random.default_rng(n)
    for turn in range(3):
        a, b = rng.standard_normal((2, n, n)).astype(f32)
        x, y = torch.tensor(a), torch.tensor(b)
        for name in [*OPERATIONS, *reversed(OPERATIONS), *sorted(OPERATIONS)]:
            ours, numpy = OPERATIONS[name]
            np.testing.assert_allclose(ours(x, y).numpy(), numpy(a, b), rtol=2e-5, atol=2e-5, err_msg=f"{name} {turn}")
    assert (x == torch.tensor(a)).all() and (y == torch.tensor(b)).all()


def test_a_second_look_compiles_nothing_and_a_derivative_keeps_what_it_needs():
    w = torch.arange(6.0).reshape(2, 3).requires_grad_()
    for _ in range(3):
        product = w @ w.detach().t()
        product.tolist()
        loss = product.exp()
        loss.tolist()
    compiled = _C._counters()["cache_misses"]
    product = w @ w.detach().t()
    product.tolist()
    assert _C._counters()["cache_misses"] == compiled
    product.backward(torch.ones(2, 2))
    np.testing.assert_allclose(w.grad.numpy(), np.ones((2, 2)) @ np.arange(6.0).reshape(2, 3))


def test_memory_that_nobody_else_sees_is_written_over():
    z, y = torch.zeros(1 << 16), torch.ones(1 << 16)
    kept = z
    for _ in range(4):
        z = z + y
        _C._flush()
    place = z.data_ptr()
    z = z + y
    _C._flush()
    assert z.data_ptr() == place
    assert (z == 5).all() and (kept == 0).all()


FAILING = {
    "indexing": (lambda x, at: x[at], lambda x, at: x[at]),
    "gather": (lambda x, at: x.gather(0, at), lambda x, at: x[at]),
    "index_select": (lambda x, at: x.index_select(0, at), lambda x, at: x[at]),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_failure_gives_memory_back(name):
    ours, numpy = FAILING[name]
    for at in ([0, 2], [1, 9], [3, 3], [-5, 0], [2, 2]):
        # Nobody else holds the operands, so the plan is given their memory.
        result = ours(torch.arange(4.0) + 0, torch.tensor(at))
        for _ in range(3):
            if min(at) < 0 or max(at) > 3:
                with pytest.raises(IndexError):
                    result.tolist()
            else:
                assert result.tolist() == numpy(np.arange(4.0), np.array(at)).tolist()


def test_a_failure_leaves_operands_as_they_were():
    x = torch.arange(4.0)
    for bad in (9, -7):
        for at in (torch.tensor([1, 2]), torch.tensor([0, bad]), torch.tensor([3, 0])):
            if bad in at:
                with pytest.raises(IndexError):
                    x[at].tolist()
            else:
                assert x[at].tolist() == at.double().tolist()
    assert x.tolist() == [0, 1, 2, 3]


def test_forgotten_plans_are_made_again():
    x = torch.ones(5)
    for _ in range(2):
        assert (x + x).tolist() == [2] * 5
        _C._clear_plans()
