"""Optimizers and schedules against PyTorch's: parameters after some steps, state dictionaries, rates."""

import warnings

import numpy as np
import pytest
import torch

import tiny_torch

OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "dampening": 0.2}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True}),
    ("Adam", {"betas": (0.8, 0.9), "eps": 1e-3, "maximize": True}),
    ("AdamW", {"lr": 0.01}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.01, "maximize": True}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.01, "initial_accumulator_value": 0.5}),
    ("Adadelta", {"weight_decay": 0.01}),
    ("Adamax", {"weight_decay": 0.01}),
    ("NAdam", {"weight_decay": 0.01}),
    ("NAdam", {"weight_decay": 0.01, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.01}),
    ("ASGD", {"t0": 2, "lambd": 0.1}),
    ("Rprop", {}),
    ("Adafactor", {"weight_decay": 0.01}),
    ("LBFGS", {"max_iter": 4}),
    ("LBFGS", {"line_search_fn": "strong_wolfe", "max_iter": 4}),
]


class Problem:
    """A small least-squares problem with a matrix and a vector of parameters, of which one gets no gradient at first."""

    def __init__(self, pkg, name, kwargs):
        rng = np.random.default_rng(5)
        self.pkg = pkg
        # Steps along a direction found from differences of gradients: near the minimum those are rounding errors.
        kind = "d" if name == "LBFGS" else "f"
        self.w = pkg.nn.Parameter(pkg.tensor(rng.standard_normal((8, 4)).astype(kind)))
        self.b = pkg.nn.Parameter(pkg.tensor(rng.standard_normal(4).astype(kind)))
        self.x = pkg.tensor(rng.standard_normal((16, 8)).astype(kind))
        self.y = pkg.tensor(rng.standard_normal((16, 4)).astype(kind))
        self.opt = getattr(pkg.optim, name)([{"params": [self.w]}, {"params": self.b, "lr": 0.02}]
                                            if name != "LBFGS" else [self.w, self.b], **kwargs)  # fmt: skip
        self.count = 0

    def step(self):
        self.count += 1

        def closure():
            self.opt.zero_grad()
            out = self.x @ self.w
            if self.count > 1:
                out = out + self.b
            loss = ((out - self.y) ** 2).mean()
            loss.backward()
            return loss

        return float(self.opt.step(closure))


def as_plain(value):
    """Tensors as (dtype, array), so that the state dictionaries of two packages can be compared."""
    if hasattr(value, "detach"):
        return [str(value.dtype).rpartition(".")[2], value.detach().numpy().tolist()]
    if isinstance(value, dict):
        return {k: as_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(v) for v in value]
    return value


def check_close(ours, theirs, path=""):
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), path
        for k in theirs:
            check_close(ours[k], theirs[k], f"{path}.{k}")
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), path
        for i, (a, b) in enumerate(zip(ours, theirs)):
            check_close(a, b, f"{path}[{i}]")
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=2e-4, abs=2e-6), path
    else:
        assert ours == theirs, path


@pytest.mark.parametrize("name,kwargs", OPTIMIZERS)
def test_same_steps_and_state(name, kwargs):
    ours, theirs = Problem(tiny_torch, name, kwargs), Problem(torch, name, kwargs)
    assert repr(ours.opt) == repr(theirs.opt)
    for _ in range(6):
        assert ours.step() == pytest.approx(theirs.step(), rel=1e-4)
    np.testing.assert_allclose(ours.w.detach().numpy(), theirs.w.detach().numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(ours.b.detach().numpy(), theirs.b.detach().numpy(), rtol=1e-4, atol=1e-6)
    check_close(as_plain(ours.opt.state_dict()), as_plain(theirs.opt.state_dict()))


def carried(value):
    """A state dictionary of PyTorch's, in our tensors."""
    if isinstance(value, torch.Tensor):
        return tiny_torch.tensor(value.numpy().copy())
    if isinstance(value, dict):
        return {k: carried(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(carried(v) for v in value)
    return value


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "NAdam", "ASGD", "Adafactor"])
def test_goes_on_from_a_state_of_pytorch(name):
    kwargs = {"momentum": 0.9} if name == "SGD" else {}
    theirs = Problem(torch, name, kwargs)
    for _ in range(3):
        theirs.step()
    ours = Problem(tiny_torch, name, kwargs)
    ours.count = 3
    with tiny_torch.no_grad():
        ours.w.copy_(tiny_torch.tensor(theirs.w.detach().numpy().copy()))
        ours.b.copy_(tiny_torch.tensor(theirs.b.detach().numpy().copy()))
    ours.opt.load_state_dict(carried(theirs.opt.state_dict()))
    for _ in range(3):
        assert ours.step() == pytest.approx(theirs.step(), rel=1e-4)
    check_close(as_plain(ours.opt.state_dict()), as_plain(theirs.opt.state_dict()))


@pytest.mark.parametrize(
    "make",
    [
        lambda p, w: p.optim.SGD([], 0.1),
        lambda p, w: p.optim.SGD(w, 0.1),
        lambda p, w: p.optim.SGD([3], 0.1),
        lambda p, w: p.optim.SGD([w], -1),
        lambda p, w: p.optim.SGD([w], momentum=-1),
        lambda p, w: p.optim.SGD([w], nesterov=True),
        lambda p, w: p.optim.SGD([w * 2], 0.1),
        lambda p, w: p.optim.SGD([{"params": [w]}, {"params": [w]}], 0.1),
        lambda p, w: p.optim.SGD([{"params": {w}}], 0.1),
        lambda p, w: p.optim.Adam([w], betas=(1.0, 0.9)),
        lambda p, w: p.optim.Adam([w], eps=-1),
        lambda p, w: p.optim.RMSprop([w], alpha=-1),
        lambda p, w: p.optim.LBFGS([{"params": [w]}, {"params": [p.nn.Parameter(p.ones(1))]}]),
        lambda p, w: p.optim.Adam([w]).load_state_dict({"state": {}, "param_groups": []}),
        lambda p, w: p.optim.Adam([w]).load_state_dict(p.optim.Adam([w, p.nn.Parameter(p.ones(1))]).state_dict()),
        lambda p, w: p.optim.lr_scheduler.StepLR(3, 2),
        lambda p, w: p.optim.lr_scheduler.StepLR(p.optim.SGD([w]), 3, last_epoch=2),
        lambda p, w: p.optim.lr_scheduler.LambdaLR(p.optim.SGD([w]), [1, 2]),
        lambda p, w: p.optim.lr_scheduler.OneCycleLR(p.optim.SGD([w]), 1.0),
        lambda p, w: p.optim.lr_scheduler.ReduceLROnPlateau(p.optim.SGD([w]), mode="x"),
        lambda p, w: p.optim.lr_scheduler.ChainedScheduler([]),
        lambda p, w: p.optim.lr_scheduler.CyclicLR(p.optim.Adagrad([w]), 1, 2),
        lambda p, w: p.optim.lr_scheduler.CosineAnnealingWarmRestarts(p.optim.SGD([w]), 0),
    ],
)
def test_same_error(make):
    with pytest.raises(Exception) as theirs:
        make(torch, torch.nn.Parameter(torch.ones(2)))
    with pytest.raises(Exception) as ours:
        make(tiny_torch, tiny_torch.nn.Parameter(tiny_torch.ones(2)))
    assert ours.type is theirs.type
    assert str(ours.value).replace("tiny_torch", "torch") == str(theirs.value)


SCHEDULES = {
    "lambda": lambda s, o: s.LambdaLR(o, lambda e: 0.95**e),
    "lambdas": lambda s, o: s.LambdaLR(o, [lambda e: 0.95**e, lambda e: 1 / (e + 1)]),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda e: 0.9),
    "step": lambda s, o: s.StepLR(o, 3, 0.5),
    "multistep": lambda s, o: s.MultiStepLR(o, [2, 5, 5, 9]),
    "constant": lambda s, o: s.ConstantLR(o, 0.3, 4),
    "linear": lambda s, o: s.LinearLR(o, 0.2, 0.9, 7),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.9),
    "polynomial": lambda s, o: s.PolynomialLR(o, 12, 1.7),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 7, 0.001),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 2, 0.001),
    "cyclic": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 3, 5),
    "cyclic2": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 3, mode="triangular2", cycle_momentum=False),
    "cyclic3": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 3, mode="exp_range", gamma=0.97),
    "cyclic4": lambda s, o: s.CyclicLR(o, 0.01, [0.2, 0.3], 3, scale_fn=lambda x: 0.5**x, scale_mode="iterations"),
    "onecycle": lambda s, o: s.OneCycleLR(o, 0.5, 25),
    "onecycle3": lambda s, o: s.OneCycleLR(o, [0.5, 0.4], epochs=5, steps_per_epoch=5, three_phase=True,
                                           anneal_strategy="linear"),
    "sequential": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 2), s.LinearLR(o, 0.5, 1.0, 5), s.ExponentialLR(o, 0.9)], [3, 8]
    ),
    "chained": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 5), s.ExponentialLR(o, 0.9)]),
}  # fmt: skip


def optimizer(pkg, kind="SGD"):
    kwargs = {"lr": 0.1, "momentum": 0.9} if kind == "SGD" else {"lr": 0.1}
    params = [pkg.nn.Parameter(pkg.ones(2)), pkg.nn.Parameter(pkg.ones(2))]
    return getattr(pkg.optim, kind)([{"params": params[0]}, {"params": params[1], "lr": 0.03}], **kwargs)


def options(opt):
    return [{k: v for k, v in g.items() if k != "params"} for g in opt.param_groups]


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES)
def test_same_rates_to_the_last_bit(make, kind):
    mine, ref = optimizer(tiny_torch, kind), optimizer(torch, kind)
    ours, theirs = make(tiny_torch.optim.lr_scheduler, mine), make(torch.optim.lr_scheduler, ref)
    for i in range(24):
        assert ours.get_last_lr() == theirs.get_last_lr(), i
        if i == 10:
            # A script changes the rate by hand.
            for opt in (mine, ref):
                opt.param_groups[0]["lr"] *= 0.5
        mine.step()
        ref.step()
        ours.step()
        theirs.step()
        assert options(mine) == options(ref), i
    mine_state, ref_state = ours.state_dict(), theirs.state_dict()
    assert list(mine_state) == list(ref_state)
    assert mine_state == ref_state
    again = make(tiny_torch.optim.lr_scheduler, optimizer(tiny_torch, kind))
    again.load_state_dict(mine_state)
    assert again.state_dict() == mine_state


@pytest.mark.parametrize("name", ["step", "multistep", "constant", "linear", "exponential", "polynomial", "cosine",
                                  "lambda", "restarts"])  # fmt: skip
def test_same_rate_of_a_given_epoch(name):
    mine, ref = optimizer(tiny_torch), optimizer(torch)
    make = SCHEDULES[name]
    ours, theirs = make(tiny_torch.optim.lr_scheduler, mine), make(torch.optim.lr_scheduler, ref)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for epoch in (4, 2, 9):
            ours.step(epoch)
            theirs.step(epoch)
            assert ours.get_last_lr() == theirs.get_last_lr()


@pytest.mark.parametrize("kwargs", [{}, {"mode": "max", "threshold_mode": "abs", "cooldown": 2, "min_lr": 0.02}])
def test_same_plateau(kwargs):
    mine, ref = optimizer(tiny_torch), optimizer(torch)
    ours = tiny_torch.optim.lr_scheduler.ReduceLROnPlateau(mine, patience=2, factor=0.5, **kwargs)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(ref, patience=2, factor=0.5, **kwargs)
    for metric in np.random.default_rng(0).standard_normal(30):
        ours.step(metric)
        theirs.step(metric)
        assert options(mine) == options(ref)
    assert ours.state_dict() == theirs.state_dict()


@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_same_swa_rates(strategy):
    mine, ref = optimizer(tiny_torch), optimizer(torch)
    ours = tiny_torch.optim.swa_utils.SWALR(mine, 0.01, 5, strategy)
    theirs = torch.optim.swa_utils.SWALR(ref, 0.01, 5, strategy)
    for _ in range(10):
        mine.step(), ref.step(), ours.step(), theirs.step()
        np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), rtol=1e-12)


def warned(pkg, act):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        act(pkg)
    return [(w.category, str(w.message)) for w in caught if "torch" in w.filename or "test_optim" in w.filename]


def out_of_order(pkg):
    pkg.optim.lr_scheduler.StepLR(optimizer(pkg), 3).step()


def overridden(pkg):
    opt = optimizer(pkg)
    schedule = pkg.optim.lr_scheduler.StepLR(opt, 3)
    opt.step = lambda: None
    schedule.step()


def outside(pkg):
    pkg.optim.lr_scheduler.StepLR(optimizer(pkg), 3).get_lr()


@pytest.mark.parametrize("act", [out_of_order, overridden, outside])
def test_same_warning(act):
    assert warned(tiny_torch, act) == warned(torch, act)
