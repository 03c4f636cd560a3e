"""Clipping, parameter vectors, folding, reparametrisation, initial values."""

import math

import numpy as np
import pytest

import tiny_torch as torch
import tiny_torch.nn.functional as F
from tiny_torch import nn
from tiny_torch.nn import init, utils
from tiny_torch.nn.utils import parametrizations, parametrize, stateless


def with_grads(*grads):
    params = []
    for g in grads:
        p = nn.Parameter(torch.zeros(len(g)))
        p.grad = torch.tensor(g)
        params.append(p)
    return params


def test_clip_grad_norm():
    a, b, c = *with_grads([3.0, 0.0], [0.0, 4.0]), nn.Parameter(torch.zeros(1))
    assert utils.clip_grad_norm_([a, b, c], 1.0).item() == 5.0
    np.testing.assert_allclose(a.grad.numpy(), [0.6, 0.0], rtol=1e-5)
    assert utils.clip_grad_norm_([a, b], 10.0, norm_type=math.inf).item() == pytest.approx(0.8, rel=1e-5)
    np.testing.assert_allclose(b.grad.numpy(), [0.0, 0.8], rtol=1e-5)
    assert utils.get_total_norm([a.grad, b.grad], 1.0).item() == pytest.approx(1.4, rel=1e-5)
    (d,) = with_grads([math.nan])
    with pytest.raises(RuntimeError, match="non-finite"):
        utils.clip_grad_norm_(d, 1.0, error_if_nonfinite=True)


def test_clip_grad_value():
    (a,) = with_grads([3.0, -2.0, 0.5])
    utils.clip_grad_value_([a], 1)
    assert a.grad.tolist() == [1.0, -1.0, 0.5]


def test_parameter_vector():
    layer = nn.Linear(2, 3)
    vector = utils.parameters_to_vector(layer.parameters())
    assert vector.shape == (9,)
    utils.vector_to_parameters(torch.arange(9.0), layer.parameters())
    assert layer.weight.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]] and layer.bias.tolist() == [6.0, 7.0, 8.0]


@pytest.mark.parametrize("bias", [True, False])
def test_fusing_batch_norm(bias):
    conv, bn = nn.Conv2d(2, 3, 3, bias=bias).double(), nn.BatchNorm2d(3).double()
    with torch.no_grad():
        for t in (bn.running_mean, bn.weight, bn.bias):
            t.normal_()
        bn.running_var.uniform_(0.5, 2)
    conv.eval(), bn.eval()
    x = torch.randn(2, 2, 6, 6, dtype=torch.float64)
    fused = utils.fuse_conv_bn_eval(conv, bn)
    np.testing.assert_allclose(fused(x).detach().numpy(), bn(conv(x)).detach().numpy(), rtol=1e-9)


def test_weight_norm():
    plain = nn.Linear(3, 4).double()
    weight = plain.weight.detach().numpy().copy()
    with pytest.warns(FutureWarning, match="deprecated"):
        layer = utils.weight_norm(plain)
    assert [n for n, _ in layer.named_parameters()] == ["bias", "weight_g", "weight_v"]
    x = torch.randn(2, 3, dtype=torch.float64)
    np.testing.assert_allclose(layer(x).detach().numpy(), x.numpy() @ weight.T + layer.bias.detach().numpy(), rtol=1e-9)
    with torch.no_grad():
        layer.weight_g.mul_(2)
    layer(x).sum().backward()
    np.testing.assert_allclose(layer.weight.detach().numpy(), 2 * weight, rtol=1e-9)
    assert layer.weight_g.grad is not None
    utils.remove_weight_norm(layer)
    assert [n for n, _ in layer.named_parameters()] == ["bias", "weight"]


def test_spectral_norm():
    layer = utils.spectral_norm(nn.Linear(5, 4).double(), n_power_iterations=50)
    layer(torch.randn(1, 5, dtype=torch.float64))
    assert np.linalg.norm(layer.weight.detach().numpy(), 2) == pytest.approx(1.0, rel=1e-6)
    assert {"weight_orig", "weight_u", "weight_v", "bias"} == set(layer.state_dict())
    utils.remove_spectral_norm(layer)
    assert set(layer.state_dict()) == {"weight", "bias"}


def test_parametrize():
    class Symmetric(nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).T

        def right_inverse(self, x):
            return x.triu()

    layer = nn.Linear(3, 3).double()
    kind = type(layer)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    assert parametrize.is_parametrized(layer, "weight") and type(layer).__name__ == "ParametrizedLinear"
    weight = layer.weight.detach().numpy()
    np.testing.assert_array_equal(weight, weight.T)
    layer(torch.ones(1, 3, dtype=torch.float64)).sum().backward()
    assert layer.parametrizations.weight.original.grad is not None
    layer.weight = torch.ones(3, 3, dtype=torch.float64)
    assert layer.weight.sum().item() == 9.0
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    with parametrize.cached():
        assert layer.weight is layer.weight
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is kind and layer.weight.sum().item() == 9.0

    normed = parametrizations.weight_norm(nn.Linear(3, 2))
    assert list(normed.state_dict()) == [
        "bias", "parametrizations.weight.original0", "parametrizations.weight.original1"
    ]  # fmt: skip
    spectral = parametrizations.spectral_norm(nn.Linear(3, 2))
    assert np.linalg.norm(spectral.weight.detach().numpy(), 2) == pytest.approx(1.0, rel=1e-2)


def test_functional_call():
    layer = nn.Linear(2, 2)
    x = torch.ones(1, 2)
    out = stateless.functional_call(layer, {"weight": torch.zeros(2, 2), "bias": torch.ones(2)}, x)
    assert out.tolist() == [[1.0, 1.0]] and isinstance(layer.weight, nn.Parameter)


def test_skip_init_draws_nothing():
    torch.manual_seed(0)
    before = torch.rand(1).item()
    torch.manual_seed(0)
    assert utils.skip_init(nn.Linear, 4, 4).weight.shape == (4, 4)
    assert torch.rand(1).item() == before


def test_data_parallel_passes_through():
    layer = nn.Linear(2, 2)
    wrapped = nn.DataParallel(layer)
    assert list(wrapped.state_dict()) == ["module.weight", "module.bias"]
    x = torch.ones(3, 2)
    np.testing.assert_array_equal(wrapped(x).detach().numpy(), layer(x).detach().numpy())


# torch.manual_seed(0); torch.nn.Linear(3, 2), in PyTorch 2.15.
LINEAR_WEIGHT = [[-0.0043225, 0.3097158, -0.4751853], [-0.4248946, -0.2223690, 0.1548207]]
LINEAR_BIAS = [-0.0114391, 0.4577749]
# torch.manual_seed(0); torch.nn.Embedding(2, 3)
EMBEDDING = [[1.5409960, -0.2934289, -2.1787894], [0.5684313, -1.0845224, -1.3985955]]


def test_seeded_values_are_those_of_pytorch():
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    np.testing.assert_allclose(layer.weight.detach().numpy(), LINEAR_WEIGHT, atol=2e-7)
    np.testing.assert_allclose(layer.bias.detach().numpy(), LINEAR_BIAS, atol=2e-7)
    torch.manual_seed(0)
    np.testing.assert_allclose(nn.Embedding(2, 3).weight.detach().numpy(), EMBEDDING, atol=1e-6)


def test_init_distributions():
    torch.manual_seed(0)
    w = torch.empty(300, 400)

    def check(std, bound=None):
        a = w.numpy()
        assert abs(a.mean()) < 0.02 * std + 1e-3 and a.std() == pytest.approx(std, rel=0.02)
        if bound:
            assert np.abs(a).max() <= bound and np.abs(a).max() > 0.99 * bound

    init.xavier_uniform_(w, 2.0)
    check(2 * math.sqrt(2 / 700), 2 * math.sqrt(6 / 700))
    init.xavier_normal_(w)
    check(math.sqrt(2 / 700))
    init.kaiming_uniform_(w, mode="fan_out", nonlinearity="relu")
    check(math.sqrt(2 / 300), math.sqrt(6 / 300))
    init.kaiming_normal_(w, a=1.0)
    check(math.sqrt(1 / 400))
    init.trunc_normal_(w, std=1.0, a=-1.0, b=1.0)
    check(math.sqrt(1 - 2 * 0.24197 / 0.68269), 1.0)
    init.trunc_normal_(w, std=1.0, a=2.0, b=3.0)
    assert w.min().item() >= 2 and w.max().item() <= 3
    init.sparse_(w, 0.25)
    assert ((w.numpy() == 0).sum(0) == 75).all()
    init.orthogonal_(w, 2.0)
    np.testing.assert_allclose(w.numpy() @ w.numpy().T, 4 * np.eye(300), atol=1e-4)
    assert init.eye_(torch.empty(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]
    kernel = init.dirac_(torch.empty(4, 2, 3, 3), groups=2)
    x = torch.randn(1, 4, 5, 5)
    np.testing.assert_array_equal(F.conv2d(x, kernel, padding=1, groups=2).numpy(), x.numpy())
    assert init.calculate_gain("leaky_relu", 0.2) == pytest.approx(math.sqrt(2 / 1.04))
    with pytest.warns(FutureWarning, match="nn.init.uniform"):
        init.uniform(w)
    assert not w.requires_grad


def test_pruning():
    from tiny_torch.nn.utils import prune

    layer = nn.Linear(4, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2, 3, 4], [-9, 8, -7, 6], [0.1, 0.2, 0.3, 5]]))
    weight = layer.weight.detach().numpy().copy()
    prune.l1_unstructured(layer, "weight", 3)
    np.testing.assert_array_equal(layer.weight.detach().numpy(), np.where(np.abs(weight) > 0.5, weight, 0))
    assert set(layer.state_dict()) == {"bias", "weight_orig", "weight_mask"} and prune.is_pruned(layer)
    prune.ln_structured(layer, "weight", 0.25, n=2, dim=1)
    want = np.where(np.abs(weight) > 0.5, weight, 0)
    want[:, 2] = 0
    np.testing.assert_array_equal(layer.weight.detach().numpy(), want)
    layer(torch.ones(1, 4)).sum().backward()
    np.testing.assert_array_equal(layer.weight_orig.grad.numpy() != 0, want != 0)
    prune.remove(layer, "weight")
    assert set(layer.state_dict()) == {"bias", "weight"} and not prune.is_pruned(layer)
    np.testing.assert_array_equal(layer.weight.detach().numpy(), want)

    pair = [nn.Linear(4, 3), nn.Linear(4, 3)]
    prune.global_unstructured([(m, "weight") for m in pair], prune.L1Unstructured, amount=0.5)
    assert sum((m.weight == 0).sum().item() for m in pair) == 12
    prune.random_unstructured(pair[0], "bias", 1)
    assert (pair[0].bias == 0).sum().item() == 1
    prune.random_structured(prune.identity(nn.Linear(4, 3), "weight"), "weight", 2, dim=0)
