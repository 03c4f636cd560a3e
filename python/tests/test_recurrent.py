"""Recurrent layers by one operator, against their cells one step after the other: values and derivatives of two orders."""

import pytest

import tiny_torch as torch
from tiny_torch import nn

LAYERS = {
    "lstm": (nn.LSTM, nn.LSTMCell, {}),
    "gru": (nn.GRU, nn.GRUCell, {}),
    "tanh": (nn.RNN, nn.RNNCell, {}),
    "relu": (nn.RNN, nn.RNNCell, {"nonlinearity": "relu"}),
}
SIZES = {"some": (4, 3, 5, 6), "one": (1, 1, 1, 1), "many rows": (3, 17, 4, 9)}


def numbers(*shape):
    torch.manual_seed(sum(shape))
    return torch.randn(*shape, dtype=torch.float64)


def by_cell(layer, cell, x, state, reverse):
    """Output and final states of `cell` with `layer`'s parameters."""
    suffix = "_l0_reverse" if reverse else "_l0"
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        cell._parameters[name] = layer._parameters.get(name + suffix)
    outputs = []
    for step in reversed(x.unbind(0)) if reverse else x.unbind(0):
        state = cell(step, state)
        outputs.append(state[0] if isinstance(state, tuple) else state)
    if reverse:
        outputs.reverse()
    return torch.stack(outputs), state


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_their_cells(name, sizes, directions, bias):
    layer_class, cell_class, options = LAYERS[name]
    steps, rows, inputs, hidden = sizes
    options = {**options, "bias": bias, "dtype": torch.float64}
    layer = layer_class(inputs, hidden, bidirectional=directions == 2, **options)
    cell = cell_class(inputs, hidden, **options)
    x = numbers(steps, rows, inputs).requires_grad_()
    count = 2 if name == "lstm" else 1
    first = [numbers(directions, rows, hidden).requires_grad_() for _ in range(count)]
    wrt = [x, *first, *layer.parameters()]

    def whole():
        out, final = layer(x, tuple(first) if count == 2 else first[0])
        return [out, *(final if count == 2 else (final,))]

    def single():
        outs, finals = [], []
        for d in range(directions):
            state = tuple(f[d] for f in first)
            out, final = by_cell(layer, cell, x, state if count == 2 else state[0], d == 1)
            outs.append(out)
            finals.append(final if count == 2 else (final,))
        return [torch.cat(outs, -1), *(torch.stack(part) for part in zip(*finals))]

    def derivatives(results):
        """Of a sum that is not linear in the results, and of a function of those."""
        loss = sum((r * torch.cos(r)).sum() for r in results)
        once = torch.autograd.grad(loss, wrt, create_graph=True)
        twice = torch.autograd.grad(sum((g * g).sum() for g in once), wrt, allow_unused=True)
        return once, [torch.zeros_like(w) if g is None else g for g, w in zip(twice, wrt)]

    got, want = whole(), single()
    for a, b in zip(got, want):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    (got_once, got_twice), (want_once, want_twice) = derivatives(got), derivatives(want)
    for a, b in [*zip(got_once, want_once), *zip(got_twice, want_twice)]:
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)
    # Without a tape of the derivatives, which is another way to them.
    plain = torch.autograd.grad(sum((r * torch.cos(r)).sum() for r in whole()), wrt)
    for a, b in zip(plain, want_once):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", LAYERS)
def test_only_one_result_is_used(name):
    layer_class, _, options = LAYERS[name]
    layer = layer_class(3, 4, dtype=torch.float64, **options)
    x = numbers(5, 2, 3)
    last = layer(x)[0][-1]
    final = layer(x)[1]
    final = final[0] if name == "lstm" else final
    for a, b in zip(*(torch.autograd.grad(r.sum(), list(layer.parameters())) for r in (last, final))):
        torch.testing.assert_close(a, b)
    if name == "lstm":
        grads = torch.autograd.grad(layer(x)[1][1].sum(), list(layer.parameters()))
        assert all(g.abs().sum() > 0 for g in grads)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", LAYERS)
def test_types(name, dtype):
    layer_class, _, options = LAYERS[name]
    layer = layer_class(3, 4, dtype=torch.float64, **options)
    x = numbers(5, 2, 3)
    want = layer(x)[0]
    got = layer.to(dtype)(x.to(dtype))[0]
    assert got.dtype == dtype
    bound = {torch.float32: 1e-5, torch.bfloat16: 0.1, torch.float16: 0.02}[dtype]
    torch.testing.assert_close(got.double(), want, rtol=bound, atol=bound)


def test_one_plan_serves_many_lengths():
    layer = nn.LSTM(3, 4)
    # Its parameters are computed now, and not in the first of the plans that are counted.
    [p.sum().item() for p in layer.parameters()]
    torch._C._clear_plans()
    outs = [layer(torch.ones(n, 2, 3))[0].sum().item() for n in range(2, 12)]
    assert all(a != b for a, b in zip(outs, outs[1:]))
    assert torch._C._counters()["plans"] <= 2


@pytest.mark.parametrize(
    "call,message",
    [
        (lambda: nn.LSTM(3, 4)(torch.ones(0, 2, 3)), "Expected sequence length to be larger than 0 in RNN"),
        (lambda: nn.GRU(3, 4)(torch.ones(2, 2, 3), torch.ones(1, 3, 4)), "Expected hidden size"),
        (
            lambda: torch._C._nn._recurrent("LSTM", torch.ones(2, 2, 16), torch.ones(16, 4), torch.ones(15), [torch.ones(2, 4)] * 2),
            "takes an operand of sizes",
        ),
        (
            lambda: torch._C._nn._recurrent("GRU", torch.ones(2, 2, 12), torch.ones(12, 4), torch.ones(12), []),
            "has 1 states",
        ),
        (lambda: torch._C._nn._recurrent("MGU", *[torch.ones(1)] * 3, []), "Unknown mode: MGU"),
    ],
)  # fmt: skip
def test_errors(call, message):
    with pytest.raises(RuntimeError, match=message):
        call()


@pytest.mark.parametrize("name", LAYERS)
def test_a_loaded_graph_has_derivatives(name, tmp_path):
    layer_class, _, options = LAYERS[name]
    layer = layer_class(3, 4, dtype=torch.float64, **options)
    x = numbers(5, 2, 3).requires_grad_()

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            out, final = self.layer(x)
            return (out * out).sum() + sum((f * torch.cos(f)).sum() for f in (final if name == "lstm" else [final]))

    module = Sum()
    path = str(tmp_path / "layer.ttk")
    torch.jit.trace(module, (x.detach(),)).save(path)
    (want,) = torch.autograd.grad(module(x), [x])
    (got,) = torch.autograd.grad(torch.jit.load(path)(x), [x])
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_operands_that_were_written_are_found():
    layer = nn.LSTM(3, 4)
    out, _ = layer(torch.ones(5, 2, 3))
    with torch.no_grad():
        layer.weight_hh_l0.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_the_tape_goes_with_the_backward_pass():
    layer = nn.LSTM(3, 4)
    out, _ = layer(torch.ones(5, 2, 3))
    out.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        out.sum().backward()


def test_a_gate_that_is_shut_is_zero():
    layer = nn.LSTM(2, 3)
    with torch.no_grad():
        for p in layer.parameters():
            p.zero_()
        # The forget gate's.
        layer.bias_ih_l0[3:6] = -1e9
    _, (_, cell) = layer(torch.zeros(1, 2, 2), (torch.zeros(1, 2, 3), torch.full((1, 2, 3), 1e30)))
    assert cell.abs().max().item() == 0


def test_a_unit_that_is_off_passes_no_gradient():
    layer = nn.RNN(1, 1, nonlinearity="relu", bias=False)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1)
    x = torch.full((1, 1, 1), -1.0).requires_grad_()
    layer(x)[0].backward(torch.full((1, 1, 1), float("inf")))
    assert x.grad.item() == 0


@pytest.mark.parametrize("name", LAYERS)
def test_long_sequences_in_parts(name):
    """Where nothing is kept for derivatives, so many steps at a time: the same numbers."""
    layer_class, _, options = LAYERS[name]
    layer = layer_class(3, 256, **options)
    rows = {"lstm": 60, "gru": 70}.get(name, 350)
    x = torch.randn(200, rows, 3)
    want, last = layer(x)
    with torch.no_grad():
        got, final = layer(x)
    assert torch.equal(got, want)
    for a, b in zip(final, last) if name == "lstm" else [(final, last)]:
        assert torch.equal(a, b)
