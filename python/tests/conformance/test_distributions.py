"""Distributions: samples, densities, entropies and divergences."""
import numpy as np
import pytest
import tiny_torch
import torch

CASES = {
    "normal": lambda t, d: d.Normal(t.tensor([0.0, 1.0]), t.tensor([1.0, 2.5])),
    "normal number": lambda t, d: d.Normal(0.0, 1.0),
    "uniform": lambda t, d: d.Uniform(t.tensor([0.0, -1.0]), t.tensor([1.0, 2.0])),
    "exponential": lambda t, d: d.Exponential(t.tensor([0.5, 2.0])),
    "laplace": lambda t, d: d.Laplace(t.tensor([0.5, 2.0]), t.tensor([1.0, 3.0])),
    "log normal": lambda t, d: d.LogNormal(t.tensor([0.5, 0.0]), t.tensor([0.3, 1.0])),
    "bernoulli": lambda t, d: d.Bernoulli(t.tensor([0.3, 0.6])),
    "bernoulli logits": lambda t, d: d.Bernoulli(logits=t.tensor([0.3, -2.0])),
    "categorical": lambda t, d: d.Categorical(t.tensor([[0.2, 0.3, 0.5], [0.1, 0.1, 2.0]])),
    "categorical logits": lambda t, d: d.Categorical(logits=t.tensor([0.2, 0.3, -1.5])),
    "one hot": lambda t, d: d.OneHotCategorical(t.tensor([0.2, 0.3, 0.5])),
    "independent": lambda t, d: d.Independent(d.Normal(t.zeros(2, 3), t.ones(2, 3)), 1),
}


def close(ours, theirs):
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_distribution(name):
    made = []
    for package in (tiny_torch, torch):
        package.manual_seed(3)
        d = CASES[name](package, package.distributions)
        samples = [d.sample(), d.sample((4,)), d.sample((2, 3))]
        if d.has_rsample:
            samples.append(d.rsample((3,)))
        made.append((d, samples, package.rand(2)))
    (ours, our_samples, rest), (theirs, their_samples, their_rest) = made
    assert repr(ours) == repr(theirs) or name in ("log normal", "one hot")
    assert ours.batch_shape == tuple(theirs.batch_shape) and ours.event_shape == tuple(theirs.event_shape)
    for a, b in zip(our_samples, their_samples):
        close(a, b)
        close(ours.log_prob(a), theirs.log_prob(b))
    close(rest, their_rest)
    close(ours.entropy(), theirs.entropy())
    for attribute in ("mean", "variance", "stddev"):
        close(getattr(ours, attribute), getattr(theirs, attribute))


@pytest.mark.parametrize("name", CASES)
def test_divergence(name):
    results = []
    for package in (tiny_torch, torch):
        d = package.distributions
        p = CASES[name](package, d)
        shifted = {
            "normal": lambda: d.Normal(p.loc + 1, p.scale * 2),
            "uniform": lambda: d.Uniform(p.low - 1, p.high + 1),
            "exponential": lambda: d.Exponential(p.rate * 3),
            "laplace": lambda: d.Laplace(p.loc + 1, p.scale * 2),
            "bernoulli": lambda: d.Bernoulli(p.probs * 0.5),
            "categorical": lambda: d.Categorical(p.probs.flip(-1)),
        }
        results.append(d.kl_divergence(p, shifted.get(name, lambda: p)()))
    close(*results)


@pytest.mark.parametrize(
    "make",
    [
        lambda t: t.distributions.Normal(0.0, -1.0),
        lambda t: t.distributions.Bernoulli(t.tensor(1.5)),
        lambda t: t.distributions.Categorical(t.tensor([-1.0, 2.0])),
        lambda t: t.distributions.Uniform(1.0, 0.0),
        lambda t: t.distributions.Bernoulli(),
        lambda t: t.distributions.Bernoulli(t.tensor(0.5)).log_prob(t.tensor(0.3)),
        lambda t: t.distributions.Categorical(t.tensor([0.5, 0.5])).log_prob(t.tensor(7)),
    ],
)
def test_bad_arguments(make):
    for package in (tiny_torch, torch):
        with pytest.raises(ValueError):
            make(package)
