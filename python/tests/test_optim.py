"""Optimizers against their formulas in NumPy, and their state."""

import copy
import pickle

import numpy as np
import pytest

import tiny_torch as torch
from tiny_torch import nn, optim

RNG = np.random.default_rng(2)
START = RNG.standard_normal((4, 3))
GRADS = RNG.standard_normal((6, 4, 3))


def sgd(p, g, s, t, lr=0.1, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    g = g + weight_decay * p
    if momentum:
        s["b"] = g if t == 1 else momentum * s["b"] + (1 - dampening) * g
        g = g + momentum * s["b"] if nesterov else s["b"]
    return p - lr * g


def adam(p, g, s, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False, decoupled=False):
    p, g = (p * (1 - lr * weight_decay), g) if decoupled else (p, g + weight_decay * p)
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g * g
    s["top"] = np.maximum(s.get("top", 0), s["v"])
    v = s["top"] if amsgrad else s["v"]
    return p - lr * (s["m"] / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def adamw(p, g, s, t, weight_decay=1e-2, **k):
    return adam(p, g, s, t, weight_decay=weight_decay, decoupled=True, **k)


def rmsprop(p, g, s, t, lr=1e-2, alpha=0.99, eps=1e-8, momentum=0.0, centered=False):
    s["v"] = alpha * s.get("v", 0) + (1 - alpha) * g * g
    s["m"] = alpha * s.get("m", 0) + (1 - alpha) * g
    step = g / (np.sqrt(s["v"] - (s["m"] ** 2 if centered else 0)) + eps)
    s["b"] = momentum * s.get("b", 0) + step
    return p - lr * s["b"]


def adagrad(p, g, s, t, lr=1e-2, lr_decay=0.0, initial_accumulator_value=0.0):
    s["v"] = s.get("v", initial_accumulator_value) + g * g
    return p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s["v"]) + 1e-10)


def adadelta(p, g, s, t, lr=1.0, rho=0.9, eps=1e-6):
    s["v"] = rho * s.get("v", 0) + (1 - rho) * g * g
    step = np.sqrt(s.get("d", 0) + eps) / np.sqrt(s["v"] + eps) * g
    s["d"] = rho * s.get("d", 0) + (1 - rho) * step * step
    return p - lr * step


def adamax(p, g, s, t, lr=2e-3, betas=(0.9, 0.999), eps=1e-8):
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["u"] = np.maximum(betas[1] * s.get("u", 0), np.abs(g) + eps)
    return p - lr / (1 - betas[0] ** t) * s["m"] / s["u"]


def nadam(p, g, s, t, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, momentum_decay=4e-3):
    mu, following = (betas[0] * (1 - 0.5 * 0.96 ** (n * momentum_decay)) for n in (t, t + 1))
    s["product"] = s.get("product", 1.0) * mu
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g * g
    m = (1 - mu) * g / (1 - s["product"]) + following * s["m"] / (1 - s["product"] * following)
    return p - lr * m / (np.sqrt(s["v"] / (1 - betas[1] ** t)) + eps)


def radam(p, g, s, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g * g
    m = s["m"] / (1 - betas[0] ** t)
    top = 2 / (1 - betas[1]) - 1
    rho = top - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
    if rho <= 5:
        return p - lr * m
    r = np.sqrt((rho - 4) * (rho - 2) * top / ((top - 4) * (top - 2) * rho))
    return p - lr * m * r * np.sqrt(1 - betas[1] ** t) / (np.sqrt(s["v"]) + eps)


def rprop(p, g, s, t, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50)):
    sign = np.sign(g * s.get("g", 0))
    s["size"] = np.clip(s.get("size", lr) * np.select([sign > 0, sign < 0], [etas[1], etas[0]], 1.0), *step_sizes)
    s["g"] = np.where(sign < 0, 0, g)
    return p - np.sign(s["g"]) * s["size"]


def asgd(p, g, s, t, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6):
    eta = s.get("eta", lr)
    s["eta"] = lr / (1 + lambd * lr * t) ** alpha
    return p * (1 - lambd * eta) - eta * g


CASES = [
    ("SGD", sgd, {"lr": 0.1}),
    ("SGD", sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("SGD", sgd, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adam", adam, {}),
    ("Adam", adam, {"lr": 0.1, "weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", adamw, {"lr": 0.1, "betas": (0.5, 0.6)}),
    ("RMSprop", rmsprop, {}),
    ("RMSprop", rmsprop, {"momentum": 0.9, "centered": True}),
    ("Adagrad", adagrad, {"lr_decay": 0.1, "initial_accumulator_value": 0.3}),
    ("Adadelta", adadelta, {}),
    ("Adamax", adamax, {}),
    ("NAdam", nadam, {}),
    ("RAdam", radam, {"lr": 0.1, "betas": (0.9, 0.8)}),
    ("Rprop", rprop, {}),
    ("ASGD", asgd, {"lambd": 0.1}),
]


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("name,formula,kwargs", CASES)
def test_update(name, formula, kwargs, maximize):
    p = nn.Parameter(torch.tensor(START))
    opt = getattr(optim, name)([p], maximize=maximize, **kwargs)
    want, state = START, {}
    for t, g in enumerate(GRADS, 1):
        p.grad = torch.tensor(g)
        opt.step()
        want = formula(want, -g if maximize else g, state, t, **kwargs)
        np.testing.assert_allclose(p.detach().numpy(), want, rtol=1e-7, atol=1e-9)


def test_adafactor():
    p = nn.Parameter(torch.tensor(START))
    opt = optim.Adafactor([p], lr=0.1)
    want, row, col = START, 0, 0
    for t, g in enumerate(GRADS, 1):
        p.grad = torch.tensor(g)
        opt.step()
        share = t**-0.8
        alpha = max(1e-3, np.sqrt((want**2).mean())) * min(0.1, t**-0.5)
        row = (1 - share) * row + share * (g**2).mean(1, keepdims=True)
        col = (1 - share) * col + share * (g**2).mean(0, keepdims=True)
        update = g / np.sqrt(row * col / row.mean())
        want = want - alpha * update / max(1.0, np.sqrt((update**2).mean()))
        np.testing.assert_allclose(p.detach().numpy(), want, rtol=1e-7)


def test_muon_steps_are_nearly_orthogonal():
    p = nn.Parameter(torch.zeros(4, 3))
    opt = optim.Muon([p], lr=1.0, weight_decay=0.0)
    p.grad = torch.tensor(GRADS[0].astype("f"))
    opt.step()
    singular = np.linalg.svd(p.detach().numpy(), compute_uv=False) / np.sqrt(4 / 3)
    assert 0.6 < singular.min() and singular.max() < 1.3
    with pytest.raises(ValueError, match="only supports 2D parameters"):
        optim.Muon([nn.Parameter(torch.zeros(3))])


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_solves_least_squares(search):
    a, b = torch.tensor(GRADS[0]), torch.tensor(GRADS[1])
    p = nn.Parameter(torch.zeros(3, 3, dtype=torch.float64))
    opt = optim.LBFGS([p], line_search_fn=search)

    def closure():
        opt.zero_grad()
        loss = ((a @ p - b) ** 2).sum()
        loss.backward()
        return loss

    first = opt.step(closure)
    for _ in range(5):
        opt.step(closure)
    assert first.item() == pytest.approx((GRADS[1] ** 2).sum())
    np.testing.assert_allclose(p.detach().numpy(), np.linalg.lstsq(GRADS[0], GRADS[1], rcond=None)[0], atol=1e-4)


def trained(name, steps, state=None, **kwargs):
    p = nn.Parameter(torch.tensor(START))
    opt = getattr(optim, name)([p], **kwargs)
    for g in GRADS[:steps]:
        p.grad = torch.tensor(g)
        opt.step()
    return p, opt


STATES = {
    "SGD": ["momentum_buffer"],
    "Adam": ["step", "exp_avg", "exp_avg_sq"],
    "RMSprop": ["step", "square_avg"],
    "NAdam": ["step", "mu_product", "exp_avg", "exp_avg_sq"],
    "ASGD": ["step", "eta", "mu", "ax"],
    "Adagrad": ["step", "sum"],
    "Rprop": ["step", "prev", "step_size"],
    "Adadelta": ["step", "square_avg", "acc_delta"],
    "Adamax": ["step", "exp_avg", "exp_inf"],
}


@pytest.mark.parametrize("through", ["dictionary", "deepcopy", "pickle"])
@pytest.mark.parametrize("name", STATES)
def test_state_carries_on(name, through):
    kwargs = {"momentum": 0.9, "lr": 0.1} if name == "SGD" else {}
    p, opt = trained(name, 3, **kwargs)
    state = opt.state_dict()
    assert list(state) == ["state", "param_groups"] and list(state["state"][0]) == STATES[name]
    if "step" in state["state"][0]:
        step = state["state"][0]["step"]
        assert step.dtype == torch.float32 and step.shape == () and step.item() == 3.0
    assert state["param_groups"][0]["params"] == [0]
    if through == "dictionary":
        q, other = trained(name, 0, **kwargs)
        q.data = p.detach().clone()
        other.load_state_dict(state)
    elif through == "deepcopy":
        q, other = copy.deepcopy((p, opt))
    else:
        q, other = pickle.loads(pickle.dumps((p, opt)))
    for g in GRADS[3:]:
        for param, o in ((p, opt), (q, other)):
            param.grad = torch.tensor(g)
            o.step()
    np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
    if "step" in STATES[name]:
        assert other.state[q]["step"].item() == 6.0


def test_counts_follow_whoever_changes_them():
    p, opt = trained("Adam", 2)
    held = opt.state[p]["step"]
    assert held.item() == 2.0
    p.grad = torch.tensor(GRADS[0])
    opt.step()
    assert opt.state[p]["step"] is held and held.item() == 3.0
    opt.state[p]["step"].fill_(9.0)
    opt.step()
    assert opt.state[p]["step"].item() == 10.0
    opt.state[p]["step"] = torch.tensor(20.0)
    opt.step()
    assert opt.state[p]["step"].item() == 21.0
    opt.state[p].clear()
    opt.step()
    assert opt.state[p]["step"].item() == 1.0


def test_parameters_without_gradient_are_left_alone():
    p, q = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    opt = optim.Adam([p, q])
    p.grad = torch.ones(2)
    opt.step()
    assert q.tolist() == [1.0, 1.0] and q not in opt.state and list(opt.state_dict()["state"]) == [0]


def test_groups():
    p, q, r = (nn.Parameter(torch.ones(1)) for _ in range(3))
    opt = optim.SGD([{"params": [p]}, {"params": q, "lr": 1.0}], lr=0.1)
    opt.add_param_group({"params": [r], "lr": 2.0})
    for x in (p, q, r):
        x.grad = torch.ones(1)
    opt.step()
    assert [round(x.item(), 6) for x in (p, q, r)] == [0.9, 0.0, -1.0]
    opt.zero_grad(set_to_none=False)
    assert p.grad.item() == 0.0
    opt.zero_grad()
    assert p.grad is None
    with pytest.raises(ValueError, match="more than one parameter group"):
        opt.add_param_group({"params": [p]})
    named = optim.SGD([("a", p), ("b", q)])
    assert named.param_groups[0]["param_names"] == ["a", "b"]


def test_closure_and_gradients_stay_off_the_tape():
    p = nn.Parameter(torch.ones(1))
    opt = optim.Adam([p])

    def closure():
        opt.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert opt.step(closure).item() == 1.0
    assert p.is_leaf and p.requires_grad and not opt.state[p]["exp_avg"].requires_grad


def test_rates_in_tensors():
    p = nn.Parameter(torch.ones(1))
    opt = optim.SGD([p], lr=torch.tensor(0.5))
    p.grad = torch.ones(1)
    opt.step()
    assert p.item() == 0.5


def test_hooks():
    p, calls = nn.Parameter(torch.ones(1)), []
    opt = optim.SGD([p], lr=1.0)
    p.grad = torch.ones(1)
    handle = opt.register_step_pre_hook(lambda o, args, kwargs: calls.append("pre"))
    opt.register_step_post_hook(lambda o, args, kwargs: calls.append(p.item()))
    opt.register_state_dict_post_hook(lambda o, d: {**d, "more": 1})
    opt.register_load_state_dict_pre_hook(lambda o, d: calls.append("load"))
    opt.step()
    handle.remove()
    opt.step()
    assert calls == ["pre", 0.0, -1.0]
    opt.load_state_dict(opt.state_dict())
    assert calls[-1] == "load" and opt.state_dict()["more"] == 1


def test_own_optimizer():
    class Sign(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    state["n"] = state.get("n", 0) + 1
                    p.add_(p.grad.sign(), alpha=-group["lr"])

    p = nn.Parameter(torch.ones(2))
    opt = Sign([p], 0.25)
    p.grad = torch.tensor([3.0, -3.0])
    opt.step()
    opt.step()
    assert p.tolist() == [0.5, 1.5] and opt.state[p]["n"] == 2
    assert repr(opt) == "Sign (\nParameter Group 0\n    lr: 0.25\n)"


@pytest.mark.parametrize(
    "make,text",
    [
        (lambda p: optim.SGD([], lr=0.1), "optimizer got an empty parameter list"),
        (lambda p: optim.SGD([p], lr=-1), "Invalid learning rate: -1"),
        (lambda p: optim.SGD([p], nesterov=True), "Nesterov momentum requires a momentum and zero dampening"),
        (lambda p: optim.SGD([p * 2], lr=0.1), "can't optimize a non-leaf Tensor"),
        (lambda p: optim.Adam([p], betas=(1.0, 0.9)), "Invalid beta parameter at index 0: 1.0"),
        (lambda p: optim.Adam([p], eps=-1), "Invalid epsilon value: -1"),
        (
            lambda p: optim.Adam([p]).load_state_dict({"state": {}, "param_groups": []}),
            "different number of parameter groups",
        ),
    ],
)
def test_bad_arguments(make, text):
    with pytest.raises(ValueError, match=text):
        make(nn.Parameter(torch.ones(1)))
