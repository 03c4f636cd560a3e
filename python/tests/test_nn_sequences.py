"""Recurrent networks, attention and transformers against NumPy, float64."""

import numpy as np
import pytest

import tiny_torch as torch
import tiny_torch.nn.functional as F
from tiny_torch import nn
from tiny_torch.nn.utils import rnn

RNG = np.random.default_rng(1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def split(a, n):
    return np.split(a, n, axis=-1)


def lstm_step(x, state, w_ih, w_hh, b_ih, b_hh, w_hr=None):
    h, c = state
    i, f, g, o = split(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return (h if w_hr is None else h @ w_hr.T), c


def gru_step(x, state, w_ih, w_hh, b_ih, b_hh):
    (h,) = state
    i_r, i_z, i_n = split(x @ w_ih.T + b_ih, 3)
    h_r, h_z, h_n = split(h @ w_hh.T + b_hh, 3)
    z = sigmoid(i_z + h_z)
    return ((1 - z) * np.tanh(i_n + sigmoid(i_r + h_r) * h_n) + z * h,)


def tanh_step(x, state, w_ih, w_hh, b_ih, b_hh):
    return (np.tanh(x @ w_ih.T + b_ih + state[0] @ w_hh.T + b_hh),)


def relu_step(x, state, w_ih, w_hh, b_ih, b_hh):
    return (np.maximum(x @ w_ih.T + b_ih + state[0] @ w_hh.T + b_hh, 0),)


KINDS = {
    "lstm": (nn.LSTM, {}, lstm_step),
    "projected": (nn.LSTM, {"proj_size": 2}, lstm_step),
    "gru": (nn.GRU, {}, gru_step),
    "tanh": (nn.RNN, {}, tanh_step),
    "relu": (nn.RNN, {"nonlinearity": "relu"}, relu_step),
}


def reference(m, step, x, states):
    """x (T, N, I), states a list of arrays (layers, N, H)."""
    directions = 2 if m.bidirectional else 1
    finals = []
    for layer in range(m.num_layers):
        outs = []
        for d in range(directions):
            suffix = f"_l{layer}" + ("_reverse" if d else "")
            names = [n for n in m._parameters if n.endswith(suffix) and (d or "reverse" not in n)]
            weights = [m._parameters[n].detach().numpy() for n in names]
            state = tuple(s[layer * directions + d] for s in states)
            out = []
            for t in reversed(range(len(x))) if d else range(len(x)):
                state = step(x[t], state, *weights)
                out.append(state[0])
            outs.append(np.stack(out[::-1] if d else out))
            finals.append(state)
        x = np.concatenate(outs, -1)
    return x, [np.stack(parts) for parts in zip(*finals)]


def as_list(final):
    return list(final) if isinstance(final, tuple) else [final]


@pytest.mark.parametrize("layers,bidirectional", [(1, False), (2, True)])
@pytest.mark.parametrize("kind", KINDS)
def test_recurrent(kind, layers, bidirectional):
    cls, kwargs, step = KINDS[kind]
    m = cls(3, 4, layers, bidirectional=bidirectional, **kwargs).double()
    n = layers * (2 if bidirectional else 1)
    x = RNG.standard_normal((5, 2, 3))
    sizes = [m.proj_size or 4] + ([4] if cls is nn.LSTM else [])
    states = [RNG.standard_normal((n, 2, s)) for s in sizes]
    given = tuple(torch.tensor(s) for s in states)
    out, final = m(torch.tensor(x), given if len(given) > 1 else given[0])
    want, want_final = reference(m, step, x, states)
    np.testing.assert_allclose(out.detach().numpy(), want, rtol=1e-9, atol=1e-12)
    for a, b in zip(as_list(final), want_final, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-9, atol=1e-12)
    out.sum().backward()
    assert all(p.grad is not None for p in m.parameters())
    # Without a state it starts from zeros; batch_first only swaps dimensions; no batch is a batch of one.
    m.batch_first = True
    swapped, _ = m(torch.tensor(x.swapaxes(0, 1).copy()))
    zero, _ = reference(m, step, x, [np.zeros_like(s) for s in states])
    np.testing.assert_allclose(swapped.detach().numpy().swapaxes(0, 1), zero, rtol=1e-9, atol=1e-12)
    single, last = m(torch.tensor(x[:, 0].copy()))
    np.testing.assert_allclose(single.detach().numpy(), zero[:, 0], rtol=1e-9, atol=1e-12)
    assert as_list(last)[0].shape == (n, sizes[0])


@pytest.mark.parametrize("enforce_sorted", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_packed_sequences_equal_single_ones(kind, enforce_sorted):
    cls, kwargs, _ = KINDS[kind]
    m = cls(3, 4, 2, bidirectional=True, **kwargs).double()
    lengths = [5, 3, 3, 1] if enforce_sorted else [3, 1, 5, 3]
    sequences = [torch.tensor(RNG.standard_normal((n, 3))) for n in lengths]
    packed = rnn.pack_sequence(sequences, enforce_sorted=enforce_sorted)
    assert packed.batch_sizes.tolist() == [4, 3, 3, 1, 1]
    out, final = m(packed)
    padded, sizes = rnn.pad_packed_sequence(out, batch_first=True)
    assert sizes.tolist() == lengths
    for i, s in enumerate(sequences):
        one, last = m(s)
        np.testing.assert_allclose(
            padded[i, : lengths[i]].detach().numpy(), one.detach().numpy(), rtol=1e-9, atol=1e-12
        )
        assert padded[i, lengths[i] :].abs().sum().item() == 0
        for a, b in zip(as_list(final), as_list(last), strict=True):
            np.testing.assert_allclose(a[:, i].detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "cls,step,count", [(nn.LSTMCell, lstm_step, 2), (nn.GRUCell, gru_step, 1), (nn.RNNCell, tanh_step, 1)]
)
def test_cells(cls, step, count):
    cell = cls(3, 4).double()
    x, states = RNG.standard_normal((2, 3)), [RNG.standard_normal((2, 4)) for _ in range(count)]
    given = tuple(torch.tensor(s) for s in states)
    got = as_list(cell(torch.tensor(x), given if count > 1 else given[0]))
    want = step(x, tuple(states), *(p.detach().numpy() for p in cell.parameters()))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-9)
    alone = as_list(cell(torch.tensor(x[0])))[0]
    np.testing.assert_allclose(alone.detach().numpy(), as_list(cell(torch.tensor(x)))[0][0].detach().numpy(), rtol=1e-9)


def test_padding_helpers():
    seqs = [torch.arange(n) + 1 for n in (2, 3)]
    assert rnn.pad_sequence(seqs, batch_first=True, padding_value=-1).tolist() == [[1, 2, -1], [1, 2, 3]]
    assert rnn.pad_sequence(seqs, batch_first=True, padding_side="left").tolist() == [[0, 1, 2], [1, 2, 3]]
    assert rnn.pad_sequence(seqs).shape == (3, 2)
    packed = rnn.pack_sequence(seqs, enforce_sorted=False)
    assert packed.data.tolist() == [1, 1, 2, 2, 3] and packed.sorted_indices.tolist() == [1, 0]
    assert [s.tolist() for s in rnn.unpack_sequence(packed)] == [[1, 2], [1, 2, 3]]
    with pytest.raises(RuntimeError, match="must be sorted in decreasing order"):
        rnn.pack_sequence(seqs)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(q, k, v, mask=0.0, scale=None):
    return softmax(q @ k.swapaxes(-1, -2) * (scale or q.shape[-1] ** -0.5) + mask) @ v


def test_scaled_dot_product_attention():
    q, k, v = (RNG.standard_normal((2, 4, 5, 8)) for _ in range(3))
    tq, tk, tv = (torch.tensor(a) for a in (q, k, v))
    causal = np.where(np.tril(np.ones((5, 5))) > 0, 0, -np.inf)
    np.testing.assert_allclose(F.scaled_dot_product_attention(tq, tk, tv).numpy(), attention(q, k, v), rtol=1e-9)
    got = F.scaled_dot_product_attention(tq, tk, tv, is_causal=True)
    np.testing.assert_allclose(got.numpy(), attention(q, k, v, causal), rtol=1e-9)
    got = F.scaled_dot_product_attention(tq, tk, tv, torch.tensor(causal) == 0, scale=0.1)
    np.testing.assert_allclose(got.numpy(), attention(q, k, v, causal, 0.1), rtol=1e-9)
    got = F.scaled_dot_product_attention(tq, tk[:, :2], tv[:, :2], enable_gqa=True)
    np.testing.assert_allclose(got.numpy(), attention(q, k[:, :2].repeat(2, 1), v[:, :2].repeat(2, 1)), rtol=1e-9)


@pytest.mark.parametrize("length, width, options", [
    (512, 8, {}), (640, 3, {"scale": 0.2}), (1024, 4, {}), (1100, 2, {}), (512, 4, {"dropout_p": 0.3}),
    (512, 4, {"enable_gqa": True}),
])
def test_causal_attention_of_long_sequences(length, width, options):
    """It goes by blocks of queries; with the same mask written out it does not."""
    q = torch.tensor(RNG.standard_normal((1, 4, length, width)), requires_grad=True)
    k, v = (torch.tensor(RNG.standard_normal((1, 2 if "enable_gqa" in options else 4, length, width)), requires_grad=True)
            for _ in range(2))
    weight = torch.tensor(RNG.standard_normal((1, 4, length, width)))
    seen = np.tril(np.ones((length, length))) > 0

    def run(**mask):
        torch.manual_seed(3)
        out = F.scaled_dot_product_attention(q, k, v, **mask, **options)
        return [out, *torch.autograd.grad((out * weight).sum(), [q, k, v])]

    got, wanted = run(is_causal=True), run(attn_mask=torch.tensor(seen))
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-8, atol=1e-11)
    if not options:
        expected = attention(*(x.detach().numpy() for x in (q, k, v)), np.where(seen, 0, -np.inf))
        np.testing.assert_allclose(got[0].detach().numpy(), expected, rtol=1e-8, atol=1e-11)


def heads(x, n):
    """(L, N, E) -> (N, heads, L, E / heads)."""
    length, batch, size = x.shape
    return x.reshape(length, batch, n, size // n).transpose(1, 2, 0, 3)


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("need_weights", [False, True])
def test_multihead_attention(separate, need_weights):
    kwargs = {"kdim": 4, "vdim": 5} if separate else {}
    m = nn.MultiheadAttention(6, 2, **kwargs).double().eval()
    q = RNG.standard_normal((3, 2, 6))
    k = RNG.standard_normal((4, 2, 4 if separate else 6))
    v = RNG.standard_normal((4, 2, 5 if separate else 6))
    with torch.no_grad():
        m.in_proj_bias.copy_(torch.tensor(RNG.standard_normal(18)))
    weights = [m.q_proj_weight, m.k_proj_weight, m.v_proj_weight] if separate else m.in_proj_weight.chunk(3)
    biases = split(m.in_proj_bias.detach().numpy(), 3)
    pq, pk, pv = (heads(x @ w.detach().numpy().T + b, 2) for x, w, b in zip((q, k, v), weights, biases, strict=True))
    hidden = np.array([[False, False, True, False], [False, True, False, False]])
    mask = np.where(hidden, -np.inf, 0)[:, None, None]
    mixed = attention(pq, pk, pv, mask).transpose(2, 0, 1, 3).reshape(3, 2, 6)
    want = mixed @ m.out_proj.weight.detach().numpy().T + m.out_proj.bias.detach().numpy()
    out, shown = m(torch.tensor(q), torch.tensor(k), torch.tensor(v), torch.tensor(hidden), need_weights=need_weights)
    np.testing.assert_allclose(out.detach().numpy(), want, rtol=1e-9, atol=1e-12)
    if need_weights:
        probabilities = softmax(pq @ pk.swapaxes(-1, -2) / np.sqrt(3) + mask)
        np.testing.assert_allclose(shown.detach().numpy(), probabilities.mean(1), rtol=1e-9, atol=1e-12)
    else:
        assert shown is None


def test_multihead_attention_masks_and_batches():
    m = nn.MultiheadAttention(6, 2, add_bias_kv=True, add_zero_attn=True).double().eval()
    x = torch.tensor(RNG.standard_normal((4, 3, 6)))
    causal = nn.Transformer.generate_square_subsequent_mask(4, dtype=torch.float64)
    plain, _ = m(x, x, x, attn_mask=causal)
    boolean, weights = m(x, x, x, attn_mask=causal < 0, average_attn_weights=False)
    assert weights.shape == (3, 2, 4, 6)
    np.testing.assert_allclose(boolean.detach().numpy(), plain.detach().numpy(), rtol=1e-9)
    per_head, _ = m(x, x, x, attn_mask=causal.expand(6, 4, 4), need_weights=False)
    np.testing.assert_allclose(per_head.detach().numpy(), plain.detach().numpy(), rtol=1e-9)
    one, _ = m(x[:, 0], x[:, 0], x[:, 0], attn_mask=causal)
    np.testing.assert_allclose(one.detach().numpy(), plain[:, 0].detach().numpy(), rtol=1e-9)
    m.batch_first = True
    first = x.transpose(0, 1)
    swapped, _ = m(first, first, first, attn_mask=causal)
    np.testing.assert_allclose(swapped.transpose(0, 1).detach().numpy(), plain.detach().numpy(), rtol=1e-9)
    with pytest.raises(RuntimeError, match="Need attn_mask if specifying the is_causal hint"):
        m(x, x, x, is_causal=True)


@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer_sees_no_future_and_no_padding(norm_first):
    m = nn.Transformer(8, 2, 2, 2, 16, dropout=0.0, batch_first=True, norm_first=norm_first, activation="gelu").double()
    src, tgt = RNG.standard_normal((2, 5, 8)), RNG.standard_normal((2, 4, 8))
    mask = m.generate_square_subsequent_mask(4)
    padding = np.zeros((2, 5), bool)
    padding[0, 3:] = True

    def run(src, tgt):
        return m(torch.tensor(src), torch.tensor(tgt), tgt_mask=mask.double(), src_key_padding_mask=torch.tensor(padding),
                 memory_key_padding_mask=torch.tensor(padding), tgt_is_causal=True).detach().numpy()  # fmt: skip

    out = run(src, tgt)
    assert out.shape == (2, 4, 8)
    changed, hidden = tgt.copy(), src.copy()
    changed[:, 2:] *= -1
    hidden[0, 3:] *= -1
    np.testing.assert_allclose(run(src, changed)[:, :2], out[:, :2], rtol=1e-9)
    assert np.abs(run(src, changed)[:, 2:] - out[:, 2:]).max() > 1e-3
    np.testing.assert_allclose(run(hidden, tgt), out, rtol=1e-9)


def test_transformer_layer_formula():
    m = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0).double()
    x = torch.tensor(RNG.standard_normal((3, 2, 6)))

    def norm(a, layer):
        a = (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5)
        return a * layer.weight.detach().numpy() + layer.bias.detach().numpy()

    attended = m.self_attn(x, x, x)[0].detach().numpy()
    h = norm(x.numpy() + attended, m.norm1)
    inner = np.maximum(h @ m.linear1.weight.detach().numpy().T + m.linear1.bias.detach().numpy(), 0)
    want = norm(h + inner @ m.linear2.weight.detach().numpy().T + m.linear2.bias.detach().numpy(), m.norm2)
    np.testing.assert_allclose(m(x).detach().numpy(), want, rtol=1e-9)
