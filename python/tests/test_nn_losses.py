"""Losses against formulas in NumPy, float64."""

import itertools

import numpy as np
import pytest

import tiny_torch as torch
import tiny_torch.nn.functional as F
from tiny_torch import nn

RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((6, 4)), RNG.standard_normal((6, 4))
P = 1 / (1 + np.exp(-X))
CLASS = np.array([0, 3, 1, 2, 3, 0])
SIGN = np.sign(Y)
BIT = (Y > 0).astype(float)
LOG = X - np.log(np.exp(X).sum(1, keepdims=True))
W = np.array([0.5, 1.0, 2.0, 3.0])


def logistic(z):
    return np.log1p(np.exp(z))


# name: (module, inputs, the loss of each element)
LOSSES = {
    "l1": (nn.L1Loss, (X, Y), np.abs(X - Y)),
    "mse": (nn.MSELoss, (X, Y), (X - Y) ** 2),
    "smooth": (
        lambda **k: nn.SmoothL1Loss(beta=0.5, **k),
        (X, Y),
        np.where(np.abs(X - Y) < 0.5, (X - Y) ** 2, np.abs(X - Y) - 0.25),
    ),
    "huber": (
        lambda **k: nn.HuberLoss(delta=0.7, **k),
        (X, Y),
        np.where(np.abs(X - Y) <= 0.7, (X - Y) ** 2 / 2, 0.7 * (np.abs(X - Y) - 0.35)),
    ),
    "nll": (nn.NLLLoss, (LOG, CLASS), -LOG[np.arange(6), CLASS]),
    "cross": (nn.CrossEntropyLoss, (X, CLASS), -LOG[np.arange(6), CLASS]),
    "cross_soft": (nn.CrossEntropyLoss, (X, P / P.sum(1, keepdims=True)), -(LOG * P / P.sum(1, keepdims=True)).sum(1)),
    "smoothing": (
        lambda **k: nn.CrossEntropyLoss(label_smoothing=0.2, **k),
        (X, CLASS),
        -0.8 * LOG[np.arange(6), CLASS] - 0.05 * LOG.sum(1),
    ),
    "bce": (nn.BCELoss, (P, BIT), -(BIT * np.log(P) + (1 - BIT) * np.log(1 - P))),
    "logits": (nn.BCEWithLogitsLoss, (X, BIT), logistic(X) - BIT * X),
    "pos_weight": (
        lambda **k: nn.BCEWithLogitsLoss(pos_weight=torch.tensor(W), **k),
        (X, BIT),
        W * BIT * logistic(-X) + (1 - BIT) * logistic(X),
    ),
    "kl": (nn.KLDivLoss, (LOG, P), P * (np.log(P) - LOG)),
    "kl_log": (lambda **k: nn.KLDivLoss(log_target=True, **k), (LOG, np.log(P)), P * (np.log(P) - LOG)),
    "poisson": (nn.PoissonNLLLoss, (X, P), np.exp(X) - P * X),
    "gaussian": (
        nn.GaussianNLLLoss,
        (X, Y, P),
        0.5 * (np.log(P) + (X - Y) ** 2 / P),
    ),
    "hinge": (nn.HingeEmbeddingLoss, (X, SIGN), np.where(SIGN == 1, X, np.maximum(0, 1 - X))),
    "soft_margin": (nn.SoftMarginLoss, (X, SIGN), logistic(-SIGN * X)),
    "multilabel_soft": (nn.MultiLabelSoftMarginLoss, (X, BIT), (logistic(X) - BIT * X).mean(1)),
    "ranking": (
        lambda **k: nn.MarginRankingLoss(0.3, **k),
        (X[:, 0], Y[:, 0], SIGN[:, 0]),
        np.maximum(0, -SIGN[:, 0] * (X[:, 0] - Y[:, 0]) + 0.3),
    ),
    "multi_margin": (
        nn.MultiMarginLoss,
        (X, CLASS),
        (np.maximum(0, 1 - X[np.arange(6), CLASS][:, None] + X).sum(1) - 1) / 4,
    ),
    "triplet": (
        nn.TripletMarginLoss,
        (X, Y, P),
        np.maximum(0, 1 + np.linalg.norm(X - Y + 1e-6, axis=1) - np.linalg.norm(X - P + 1e-6, axis=1)),
    ),
}


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
def test_loss(name, reduction):
    make, inputs, each = LOSSES[name]
    got = make(reduction=reduction)(*(torch.tensor(a) for a in inputs))
    want = {"none": each, "mean": each.mean(), "sum": each.sum()}[reduction]
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-9, atol=1e-10)


def test_weights_and_ignored_classes():
    target = CLASS.copy()
    target[1] = -100
    kept = target >= 0
    scale = W[CLASS] * kept
    want = (-LOG[np.arange(6), CLASS] * scale).sum() / scale.sum()
    got = F.cross_entropy(torch.tensor(X), torch.tensor(target), torch.tensor(W))
    np.testing.assert_allclose(got.item(), want, rtol=1e-9)
    images = F.cross_entropy(
        torch.tensor(X.T.reshape(1, 4, 2, 3)), torch.tensor(CLASS.reshape(1, 2, 3)), reduction="none"
    )
    np.testing.assert_allclose(images.numpy().reshape(-1), -LOG[np.arange(6), CLASS], rtol=1e-9)


def test_cosine_embedding():
    cos = (X * Y).sum(1) / np.linalg.norm(X, axis=1) / np.linalg.norm(Y, axis=1)
    sign = SIGN[:, 0]
    want = np.where(sign == 1, 1 - cos, np.maximum(0, cos - 0.1))
    got = nn.CosineEmbeddingLoss(0.1, reduction="none")(torch.tensor(X), torch.tensor(Y), torch.tensor(sign))
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-9)


def test_multilabel_margin():
    target = np.array([[2, 0, -1, 3], [1, -1, 0, 0], [-1, 1, 2, 3], [0, 1, 2, 3], [3, -1, -1, -1], [2, 1, 0, -1]])
    want = []
    for x, row in zip(X, target):
        labels = list(itertools.takewhile(lambda c: c >= 0, row))
        want.append(sum(max(0, 1 - (x[j] - x[i])) for j in labels for i in range(4) if i not in labels) / 4)
    got = nn.MultiLabelMarginLoss(reduction="none")(torch.tensor(X), torch.tensor(target))
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-9)


def test_batchmean_and_old_arguments():
    got = F.kl_div(torch.tensor(LOG), torch.tensor(P), reduction="batchmean")
    np.testing.assert_allclose(got.item(), (P * (np.log(P) - LOG)).sum() / 6, rtol=1e-9)
    with pytest.warns(UserWarning, match="size_average and reduce args will be deprecated"):
        got = F.mse_loss(torch.tensor(X), torch.tensor(Y), size_average=False)
    np.testing.assert_allclose(got.item(), ((X - Y) ** 2).sum(), rtol=1e-9)
    with pytest.raises(ValueError, match="what is not a valid value for reduction"):
        F.mse_loss(torch.tensor(X), torch.tensor(Y), reduction="what")


def test_ctc_sums_over_all_paths():
    steps, classes, target = 5, 3, [1, 2, 2]
    raw = RNG.standard_normal((steps, 1, classes))
    log_probs = raw - np.log(np.exp(raw).sum(2, keepdims=True))
    total = 0.0
    for path in itertools.product(range(classes), repeat=steps):
        labels = [k for k, _ in itertools.groupby(path) if k != 0]
        if labels == target:
            total += np.exp(sum(log_probs[t, 0, c] for t, c in enumerate(path)))
    x = torch.tensor(raw, requires_grad=True)
    got = nn.CTCLoss(reduction="none")(
        x.log_softmax(2), torch.tensor([target]), torch.tensor([steps]), torch.tensor([3])
    )
    np.testing.assert_allclose(got.item(), -np.log(total), rtol=1e-9)
    got.sum().backward()
    h, i = 1e-6, (2, 0, 1)
    moved = []
    for sign in (1, -1):
        shifted = raw.copy()
        shifted[i] += sign * h
        moved.append(
            F.ctc_loss(torch.tensor(shifted).log_softmax(2), torch.tensor(target), [steps], [3], reduction="sum").item()
        )
    np.testing.assert_allclose(x.grad.numpy()[i], (moved[0] - moved[1]) / (2 * h), rtol=1e-5)
    impossible = F.ctc_loss(
        torch.tensor(log_probs[:3]), torch.tensor([target]), [3], [3], reduction="none", zero_infinity=True
    )
    assert impossible.item() == 0.0


def test_adaptive_softmax_is_a_distribution():
    m = nn.AdaptiveLogSoftmaxWithLoss(4, 10, [3, 6])
    x = torch.randn(5, 4)
    log_prob = m.log_prob(x)
    np.testing.assert_allclose(log_prob.exp().sum(1).detach().numpy(), np.ones(5), rtol=1e-5)
    target = torch.tensor([0, 2, 4, 7, 9])
    output, loss = m(x, target)
    np.testing.assert_allclose(
        output.detach().numpy(), log_prob.detach().numpy()[np.arange(5), target.numpy()], rtol=1e-5
    )
    np.testing.assert_allclose(loss.item(), -output.mean().item(), rtol=1e-6)
    assert m.predict(x).tolist() == log_prob.argmax(1).tolist()
