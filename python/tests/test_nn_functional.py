"""Functional forms against formulas in NumPy, float64."""

import itertools
import math

import numpy as np
import pytest

import tiny_torch as torch
import tiny_torch.nn.functional as F
from tiny_torch import nn

RNG = np.random.default_rng(7)


def data(*shape):
    return RNG.standard_normal(shape)


def close(got, want, tol=1e-10):
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=tol, atol=tol)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)


X = np.concatenate([data(40) * 3, [0.0, 0.5, -0.5, 3.0, -3.0, 50.0, -50.0]])
ERF = np.vectorize(math.erf)

ACTIVATIONS = {
    "relu": (lambda: nn.ReLU(), lambda x: np.maximum(x, 0)),
    "relu6": (lambda: nn.ReLU6(), lambda x: np.clip(x, 0, 6)),
    "hardtanh": (lambda: nn.Hardtanh(-2, 1), lambda x: np.clip(x, -2, 1)),
    "threshold": (lambda: nn.Threshold(0.3, -7), lambda x: np.where(x > 0.3, x, -7)),
    "hardsigmoid": (lambda: nn.Hardsigmoid(), lambda x: np.clip(x + 3, 0, 6) / 6),
    "hardswish": (lambda: nn.Hardswish(), lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "elu": (lambda: nn.ELU(1.5), lambda x: np.where(x > 0, x, 1.5 * np.expm1(np.minimum(x, 0)))),
    "celu": (lambda: nn.CELU(2.0), lambda x: np.maximum(x, 0) + np.minimum(0, 2 * np.expm1(np.minimum(x, 0) / 2))),
    "selu": (
        lambda: nn.SELU(),
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    ),
    "leaky_relu": (lambda: nn.LeakyReLU(0.2), lambda x: np.where(x > 0, x, 0.2 * x)),
    "rrelu": (lambda: nn.RReLU().eval(), lambda x: np.where(x > 0, x, x * (1 / 8 + 1 / 3) / 2)),
    "sigmoid": (lambda: nn.Sigmoid(), sigmoid),
    "tanh": (lambda: nn.Tanh(), np.tanh),
    "logsigmoid": (lambda: nn.LogSigmoid(), lambda x: -softplus(-x)),
    "softplus": (lambda: nn.Softplus(2.0, 10.0), lambda x: np.where(2 * x > 10, x, softplus(2 * x) / 2)),
    "softsign": (lambda: nn.Softsign(), lambda x: x / (1 + np.abs(x))),
    "tanhshrink": (lambda: nn.Tanhshrink(), lambda x: x - np.tanh(x)),
    "hardshrink": (lambda: nn.Hardshrink(0.5), lambda x: np.where(np.abs(x) > 0.5, x, 0)),
    "softshrink": (lambda: nn.Softshrink(0.5), lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0)),
    "silu": (lambda: nn.SiLU(), lambda x: x * sigmoid(x)),
    "mish": (lambda: nn.Mish(), lambda x: x * np.tanh(softplus(x))),
    "gelu": (lambda: nn.GELU(), lambda x: x * (1 + ERF(x / math.sqrt(2))) / 2),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name):
    make, formula = ACTIVATIONS[name]
    x = torch.tensor(X, requires_grad=True)
    y = make()(x)
    close(y, formula(X), 1e-7 if name == "gelu" else 1e-9)
    (grad,) = torch.autograd.grad(y.sum(), x)
    # Kinks are left out.
    h = 1e-6
    smooth = np.abs(X[:, None] - np.array([0, 0.3, 0.5, -0.5, 1, -2, 3, -3, 5, 6])).min(1) > 1e-3
    numeric = (formula(X + h) - formula(X - h)) / (2 * h)
    np.testing.assert_allclose(grad.numpy()[smooth], numeric[smooth], rtol=1e-5, atol=1e-6)
    assert np.isfinite(grad.numpy()).all()


def test_in_place_activation_writes_its_input():
    x = torch.tensor([-1.0, 2.0])
    assert F.leaky_relu(x, 0.5, inplace=True) is x
    assert x.tolist() == [-0.5, 2.0]


def test_softmax_family():
    x = data(3, 4)
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    close(F.softmax(torch.tensor(x), 1), p)
    close(F.log_softmax(torch.tensor(x), 1), np.log(p))
    close(F.softmin(torch.tensor(-x), 1), p)
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax"):
        close(F.softmax(torch.tensor(x)), p)
    close(F.glu(torch.tensor(x), 1), x[:, :2] * sigmoid(x[:, 2:]))
    torch.manual_seed(0)
    hard = F.gumbel_softmax(torch.tensor(x), hard=True)
    np.testing.assert_array_equal(np.sort(hard.numpy(), 1)[:, -1], np.ones(3))
    np.testing.assert_allclose(hard.numpy().sum(1), np.ones(3))


def test_normalize_and_distances():
    x, y = data(5, 4), data(5, 4)
    tx, ty = torch.tensor(x), torch.tensor(y)
    close(F.normalize(tx), x / np.linalg.norm(x, axis=1, keepdims=True))
    close(F.pairwise_distance(tx, ty), np.linalg.norm(x - y + 1e-6, axis=1))
    cos = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    close(F.cosine_similarity(tx, ty), cos)
    pairs = [np.linalg.norm(x[i] - x[j]) for i, j in itertools.combinations(range(5), 2)]
    close(F.pdist(tx), pairs)
    w, b = data(3, 4, 4), data(3)
    close(F.bilinear(tx, ty, torch.tensor(w), torch.tensor(b)), np.einsum("bi,oij,bj->bo", x, w, y) + b)


def windows(x, k, s, p, d, fill):
    """(N, C, outs, taps) of one-dimensional windows."""
    x = np.pad(x, ((0, 0), (0, 0), (p, p)), constant_values=fill)
    n = (x.shape[-1] - d * (k - 1) - 1) // s + 1
    return np.stack([x[..., i * s : i * s + d * (k - 1) + 1 : d] for i in range(n)], 2)


def test_pooling_1d():
    x = data(2, 3, 11)
    t = torch.tensor(x)
    close(F.max_pool1d(t, 3, 2, 1, 2), windows(x, 3, 2, 1, 2, -np.inf).max(-1))
    close(F.avg_pool1d(t, 4, 3, 2), windows(x, 4, 3, 2, 1, 0).mean(-1))
    bounds = [(i * 11 // 4, -(-(i + 1) * 11 // 4)) for i in range(4)]
    close(F.adaptive_avg_pool1d(t, 4), np.stack([x[..., a:b].mean(-1) for a, b in bounds], -1))
    values, places = F.adaptive_max_pool1d(t, 4, return_indices=True)
    close(values, np.stack([x[..., a:b].max(-1) for a, b in bounds], -1))
    close(t.gather(2, places), values.numpy())
    close(F.lp_pool1d(t.abs(), 2, 3, 2), np.sqrt((windows(x, 3, 2, 0, 1, 0) ** 2).sum(-1)))


def test_pooling_2d_and_back():
    x = data(2, 3, 6, 8)
    t = torch.tensor(x)
    blocks = x.reshape(2, 3, 3, 2, 4, 2)
    values, places = F.max_pool2d(t, 2, return_indices=True)
    close(values, blocks.max((3, 5)))
    close(t.flatten(2).gather(2, places.flatten(2)), values.flatten(2).numpy())
    back = F.max_unpool2d(values, places, 2).numpy()
    assert (back != 0).sum() == values.numel() and np.allclose(back[back != 0], x[back != 0])
    close(F.avg_pool2d(t, 2), blocks.mean((3, 5)))
    close(F.adaptive_avg_pool2d(t, (3, None)), x.reshape(2, 3, 3, 2, 8).mean(3))
    close(F.avg_pool3d(torch.tensor(x[None]), (3, 2, 2)), blocks.mean((1, 3, 5))[None, :, None])
    overhang = F.avg_pool2d(torch.ones(1, 1, 5, 5), 2, ceil_mode=True)
    assert overhang.shape == (1, 1, 3, 3) and overhang.min().item() == 1.0


@pytest.mark.parametrize("size,output,ratio", [(9, 5, None), (9, None, (0.6, 0.6))])
def test_fractional_max_pool(size, output, ratio):
    x = torch.tensor(data(2, 3, size, size))
    torch.manual_seed(0)
    y, places = F.fractional_max_pool2d(x, 2, output, ratio, return_indices=True)
    assert y.shape == (2, 3, 5, 5)
    close(x.flatten(2).gather(2, places.flatten(2)).view_as(y), y.numpy())


def convolve(x, w, stride, pad, dil, groups):
    """Any number of dimensions, by the definition."""
    n = x.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0)] + [(p, p) for p in pad])
    outs = [(x.shape[2 + i] - dil[i] * (w.shape[2 + i] - 1) - 1) // stride[i] + 1 for i in range(n)]
    y = np.zeros((x.shape[0], w.shape[0], *outs))
    cg, og = w.shape[1], w.shape[0] // groups
    for o in range(w.shape[0]):
        part = x[:, (o // og) * cg : (o // og + 1) * cg]
        for tap in itertools.product(*[range(k) for k in w.shape[2:]]):
            at = tuple(slice(t * d, t * d + (m - 1) * s + 1, s) for t, d, m, s in zip(tap, dil, outs, stride))
            y[:, o] += np.einsum("nc...,c->n...", part[(slice(None), slice(None), *at)], w[(o, slice(None), *tap)])
    return y


@pytest.mark.parametrize("n", [1, 2, 3])
def test_convolution_and_its_adjoint(n):
    stride, pad, dil = (2, 1, 2)[:n], (1, 2, 0)[:n], (1, 2, 1)[:n]
    x, w, b = data(2, 4, *(6, 7, 5)[:n]), data(6, 2, *(3, 2, 2)[:n]), data(6)
    conv, transposed = getattr(F, f"conv{n}d"), getattr(F, f"conv_transpose{n}d")
    y = conv(torch.tensor(x), torch.tensor(w), torch.tensor(b), stride, pad, dil, 2)
    want = convolve(x, w, stride, pad, dil, 2)
    close(y, want + b.reshape(1, -1, *[1] * n), 1e-9)
    # <conv(x), z> = <x, conv_transpose(z)>
    z = data(*y.shape)
    extra = [(x.shape[2 + i] + 2 * pad[i] - dil[i] * (w.shape[2 + i] - 1) - 1) % stride[i] for i in range(n)]
    back = transposed(torch.tensor(z), torch.tensor(w), None, stride, pad, extra, 2, dil)
    assert back.shape == x.shape
    np.testing.assert_allclose((want * z).sum(), (x * back.numpy()).sum(), rtol=1e-9)
    single = conv(torch.tensor(x[0]), torch.tensor(w), torch.tensor(b), stride, pad, dil, 2)
    close(single, y[0].numpy(), 1e-9)


def test_same_padding():
    x, w = data(1, 2, 7), data(3, 2, 4)
    y = F.conv1d(torch.tensor(x), torch.tensor(w), padding="same")
    close(y, convolve(np.pad(x, ((0, 0), (0, 0), (1, 2))), w, (1,), (0,), (1,), 1), 1e-9)


def test_unfold_and_fold_are_adjoint():
    x = data(2, 3, 6, 5)
    args = {"kernel_size": (2, 3), "dilation": (2, 1), "padding": (1, 0), "stride": (1, 2)}
    columns = F.unfold(torch.tensor(x), **args)
    z = data(*columns.shape)
    back = F.fold(torch.tensor(z), (6, 5), **args)
    np.testing.assert_allclose((columns.numpy() * z).sum(), (x * back.numpy()).sum(), rtol=1e-9)
    w = data(4, 3, 2, 3)
    product = np.einsum("ok,nkl->nol", w.reshape(4, -1), columns.numpy())
    close(torch.tensor(product), convolve(x, w, (1, 2), (1, 0), (2, 1), 1).reshape(2, 4, -1), 1e-9)


def test_pixel_shuffle():
    x = data(2, 8, 3, 2)
    y = F.pixel_shuffle(torch.tensor(x), 2)
    want = x.reshape(2, 2, 2, 2, 3, 2).transpose(0, 1, 4, 2, 5, 3).reshape(2, 2, 6, 4)
    close(y, want)
    close(F.pixel_unshuffle(y, 2), x)
    close(F.channel_shuffle(torch.tensor(x), 4), x.reshape(2, 4, 2, 3, 2).swapaxes(1, 2).reshape(2, 8, 3, 2))


@pytest.mark.parametrize(
    "mode,name", [("constant", "constant"), ("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]
)
def test_pad(mode, name):
    x = data(2, 3, 5, 6)
    got = F.pad(torch.tensor(x), (2, 1, 3, 4), mode)
    close(got, np.pad(x, ((0, 0), (0, 0), (3, 4), (2, 1)), mode=name))


def test_negative_padding_cuts():
    x = data(2, 3, 5)
    close(F.pad(torch.tensor(x), (-1, 2), value=7.0), np.pad(x[..., 1:], ((0, 0), (0, 0), (0, 2)), constant_values=7))


def test_norms():
    x, w, b = data(4, 6, 5), data(6), data(6)
    t = torch.tensor(x)

    def standard(a, axes, eps=1e-5):
        return (a - a.mean(axes, keepdims=True)) / np.sqrt(a.var(axes, keepdims=True) + eps)

    close(F.layer_norm(t, (5,)), standard(x, 2))
    column = (1, 6, 1)
    grouped = standard(x.reshape(4, 2, 3, 5), (2, 3)).reshape(x.shape) * w.reshape(column) + b.reshape(column)
    close(F.group_norm(t, 2, torch.tensor(w), torch.tensor(b)), grouped)
    close(F.instance_norm(t), standard(x, 2))
    close(F.rms_norm(t, (5,), eps=1e-3), x / np.sqrt((x**2).mean(2, keepdims=True) + 1e-3))
    mean, var = torch.zeros(6, dtype=torch.float64), torch.ones(6, dtype=torch.float64)
    close(
        F.batch_norm(t, mean, var, torch.tensor(w), torch.tensor(b), True),
        standard(x, (0, 2)) * w.reshape(column) + b.reshape(column),
    )
    close(mean, 0.1 * x.mean((0, 2)))
    close(var, 0.9 + 0.1 * x.var((0, 2), ddof=1))
    close(F.batch_norm(t, mean, var), (x - mean.numpy().reshape(column)) / np.sqrt(var.numpy().reshape(column) + 1e-5))
    square = np.pad(x**2, ((0, 0), (1, 1), (0, 0)))
    total = square[:, :-2] + square[:, 1:-1] + square[:, 2:]
    close(F.local_response_norm(t, 3, 0.1, 0.5, 2.0), x / np.sqrt(2 + 0.1 * total / 3))


def test_interpolate():
    x = data(1, 2, 4, 6)
    t = torch.tensor(x)
    close(F.interpolate(t, scale_factor=2), x.repeat(2, 2).repeat(2, 3))
    close(F.interpolate(t, size=(2, 3), mode="area"), x.reshape(1, 2, 2, 2, 3, 2).mean((3, 5)))

    def linear(a, out, aligned):
        n = a.shape[-1]
        i = np.arange(out)
        at = i * (n - 1) / (out - 1) if aligned else np.clip((i + 0.5) * n / out - 0.5, 0, None)
        lo = np.minimum(at.astype(int), n - 1)
        hi = np.minimum(lo + 1, n - 1)
        return a[..., lo] * (1 - (at - lo)) + a[..., hi] * (at - lo)

    for aligned in (False, True):
        want = linear(linear(x, 9, aligned).swapaxes(2, 3), 5, aligned).swapaxes(2, 3)
        close(F.interpolate(t, (5, 9), mode="bilinear", align_corners=aligned), want)
    close(F.interpolate(t, (4, 9), mode="bicubic"), x @ cubic_matrix(6, 9).T)


def cubic_matrix(size, out):
    """The weights of cubic convolution with a = -0.75 (Keys, 1981), edges repeated."""
    w = np.zeros((out, size))
    for i in range(out):
        at = (i + 0.5) * size / out - 0.5
        for j in range(math.floor(at) - 1, math.floor(at) + 3):
            d = abs(at - j)
            near = 1.25 * d**3 - 2.25 * d**2 + 1
            far = -0.75 * d**3 + 3.75 * d**2 - 6 * d + 3
            w[i, min(max(j, 0), size - 1)] += near if d <= 1 else far
    return w


def test_grid_sample():
    x = torch.tensor(data(2, 3, 5, 7))
    same = torch.eye(2, 3, dtype=torch.float64).expand(2, 2, 3)
    for aligned in (False, True):
        grid = F.affine_grid(same, x.shape, align_corners=aligned)
        for mode in ("bilinear", "nearest", "bicubic"):
            close(F.grid_sample(x, grid, mode, align_corners=aligned), x.numpy(), 1e-9)
    flipped = F.affine_grid(
        torch.tensor([[[-1.0, 0, 0], [0, 1, 0]]], dtype=torch.float64).expand(2, 2, 3), x.shape, align_corners=False
    )
    close(F.grid_sample(x, flipped, align_corners=False), x.numpy()[..., ::-1], 1e-9)
    outside = torch.full((2, 1, 1, 2), 3.0, dtype=torch.float64)
    assert F.grid_sample(x, outside, align_corners=False).abs().sum().item() == 0
    close(F.grid_sample(x, outside, padding_mode="border", align_corners=False)[..., 0, 0], x.numpy()[..., -1, -1])


def test_embedding():
    table = data(6, 3)
    index = np.array([[1, 5, 1], [2, 2, 0]])
    w = torch.tensor(table, requires_grad=True)
    close(F.embedding(torch.tensor(index), w), table[index])
    F.embedding(torch.tensor(index), w, padding_idx=2).sum().backward()
    np.testing.assert_array_equal(w.grad.numpy()[:, 0], [1, 2, 0, 0, 0, 1])
    small = torch.tensor(table.copy())
    rows = F.embedding(torch.tensor(index), small, max_norm=0.5).numpy()
    assert np.linalg.norm(rows, axis=-1).max() <= 0.5 + 1e-6
    np.testing.assert_array_equal(small.numpy()[3:5], table[3:5])


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag(mode):
    table = data(6, 3)
    flat, offsets = np.array([1, 5, 2, 2, 0]), np.array([0, 2, 2, 4])
    reduce = getattr(np, mode)
    bags = [table[flat[a:b]] for a, b in zip(offsets, [*offsets[1:], 5])]
    want = np.stack([reduce(bag, axis=0) if len(bag) else np.zeros(3) for bag in bags])
    close(F.embedding_bag(torch.tensor(flat), torch.tensor(table), torch.tensor(offsets), mode=mode), want)
    matrix = np.array([[1, 2], [3, 3]])
    close(F.embedding_bag(torch.tensor(matrix), torch.tensor(table), mode=mode), reduce(table[matrix], axis=1))


def test_one_hot():
    got = F.one_hot(torch.tensor([[0, 2], [1, 1]]), 4)
    assert got.dtype == torch.int64
    np.testing.assert_array_equal(got.numpy(), np.eye(4, dtype=int)[[[0, 2], [1, 1]]])
    assert F.one_hot(torch.tensor([0, 4])).shape == (2, 5)


def test_dropout_statistics():
    x = torch.ones(200, 300)
    torch.manual_seed(0)
    y = F.dropout(x, 0.25)
    assert set(np.unique(y.numpy())) == {np.float32(0), np.float32(4 / 3)} and abs(y.mean().item() - 1) < 0.01
    assert F.dropout(x, 0.25, training=False) is x
    channels = F.dropout2d(torch.ones(50, 40, 3, 3), 0.5).numpy()
    assert (channels == channels[..., :1, :1]).all() and 0.4 < (channels == 0).mean() < 0.6
    z = F.alpha_dropout(torch.randn(400, 500), 0.3, training=True)
    assert abs(z.mean().item()) < 0.02 and abs(z.std().item() - 1) < 0.02
