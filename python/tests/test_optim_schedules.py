"""Schedules against their closed forms, and averaged models."""

import math

import numpy as np
import pytest

import tiny_torch as torch
from tiny_torch import nn, optim
from tiny_torch.optim import lr_scheduler as sched
from tiny_torch.optim import swa_utils


def optimizer(lr=0.1):
    return optim.SGD([nn.Parameter(torch.ones(1))], lr=lr, momentum=0.9)


def triangle(e):
    x = abs(e / 3 - 2 * math.floor(1 + e / 6) + 1)
    return 0.01 + 0.19 * max(0, 1 - x)


def one_cycle(e):
    def cos(a, b, t):
        return b + (a - b) / 2 * (1 + math.cos(math.pi * t))

    return cos(0.02, 0.5, e / 5) if e <= 5 else cos(0.5, 0.02 / 1e4, (e - 5) / 14)


CLOSED = {
    "lambda": (lambda o: sched.LambdaLR(o, lambda e: 1 / (1 + e)), lambda e: 0.1 / (1 + e)),
    "multiplicative": (lambda o: sched.MultiplicativeLR(o, lambda e: 0.5), lambda e: 0.1 * 0.5**e),
    "step": (lambda o: sched.StepLR(o, 4, 0.5), lambda e: 0.1 * 0.5 ** (e // 4)),
    "multistep": (lambda o: sched.MultiStepLR(o, [3, 7], 0.5), lambda e: 0.1 * 0.5 ** ((e >= 3) + (e >= 7))),
    "constant": (lambda o: sched.ConstantLR(o, 0.5, 4), lambda e: 0.05 if e < 4 else 0.1),
    "linear": (lambda o: sched.LinearLR(o, 0.25, 0.75, 4), lambda e: 0.1 * (0.25 + 0.5 * min(e, 4) / 4)),
    "exponential": (lambda o: sched.ExponentialLR(o, 0.9), lambda e: 0.1 * 0.9**e),
    "polynomial": (lambda o: sched.PolynomialLR(o, 8, 2), lambda e: 0.1 * max(0, 1 - e / 8) ** 2),
    "cosine": (
        lambda o: sched.CosineAnnealingLR(o, 6, 0.01),
        lambda e: 0.01 + 0.09 * (1 + math.cos(math.pi * e / 6)) / 2,
    ),
    "restarts": (
        lambda o: sched.CosineAnnealingWarmRestarts(o, 4),
        lambda e: 0.1 * (1 + math.cos(math.pi * (e % 4) / 4)) / 2,
    ),
    "cyclic": (lambda o: sched.CyclicLR(o, 0.01, 0.2, 3), triangle),
    "one_cycle": (lambda o: sched.OneCycleLR(o, 0.5, 20), one_cycle),
    "sequential": (
        lambda o: sched.SequentialLR(o, [sched.ConstantLR(o, 0.1, 99), sched.ExponentialLR(o, 0.5)], [3]),
        lambda e: 0.01 if e < 3 else 0.1 * 0.5 ** (e - 3),
    ),
    "chained": (
        lambda o: sched.ChainedScheduler([sched.ConstantLR(o, 0.5, 4), sched.ExponentialLR(o, 0.9)]),
        lambda e: 0.1 * 0.9**e * (0.5 if e < 4 else 1),
    ),
}


@pytest.mark.parametrize("name", CLOSED)
def test_schedule(name):
    make, closed = CLOSED[name]
    opt = optimizer()
    schedule = make(opt)
    for e in range(12):
        assert opt.param_groups[0]["lr"] == pytest.approx(closed(e), rel=1e-9, abs=1e-15), e
        assert schedule.get_last_lr() == [opt.param_groups[0]["lr"]]
        opt.step()
        schedule.step()


@pytest.mark.parametrize("name", CLOSED)
def test_schedule_carries_on(name):
    make, _ = CLOSED[name]
    opt, other = optimizer(), optimizer()
    schedule = make(opt)
    for _ in range(5):
        opt.step(), schedule.step()
    again = make(other)
    again.load_state_dict(schedule.state_dict())
    other.load_state_dict(opt.state_dict())
    for _ in range(5):
        for o, s in ((opt, schedule), (other, again)):
            o.step(), s.step()
        assert again.get_last_lr() == schedule.get_last_lr()


def test_momentum_moves_against_the_rate():
    opt = optimizer()
    schedule = sched.OneCycleLR(opt, 0.5, 10)
    momenta = []
    for _ in range(10):
        momenta.append(opt.param_groups[0]["momentum"])
        opt.step()
        if len(momenta) < 10:
            schedule.step()
    assert momenta[0] == 0.95 and min(momenta) == pytest.approx(0.85) and momenta.index(min(momenta)) == 2
    adam = optim.Adam([nn.Parameter(torch.ones(1))])
    sched.OneCycleLR(adam, 0.5, 10)
    assert adam.param_groups[0]["betas"] == (0.95, 0.999)


def test_plateau():
    opt = optimizer()
    schedule = sched.ReduceLROnPlateau(opt, patience=1, factor=0.5, min_lr=0.03)
    rates = []
    for metric in [5, 4, 4, 4, 4, 4, torch.tensor(1.0), 2, 2, 2]:
        schedule.step(metric)
        rates.append(opt.param_groups[0]["lr"])
    assert rates == [0.1, 0.1, 0.1, 0.05, 0.05, 0.03, 0.03, 0.03, 0.03, 0.03]


def test_call_in_the_wrong_order_warns():
    schedule = sched.StepLR(optimizer(), 2)
    with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        schedule.step()


def test_rate_in_a_tensor_is_changed_in_place():
    lr = torch.tensor(0.1)
    opt = optimizer(lr)
    schedule = sched.ExponentialLR(opt, 0.5)
    opt.step()
    schedule.step()
    assert opt.param_groups[0]["lr"] is lr and lr.item() == pytest.approx(0.05)


def test_averaged_model():
    model = nn.Linear(1, 1, bias=False)
    plain = swa_utils.AveragedModel(model)
    ema = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.5))
    slow = swa_utils.AveragedModel(model, avg_fn=swa_utils.get_ema_avg_fn(0.5))
    for value in (1.0, 2.0, 6.0):
        with torch.no_grad():
            model.weight.fill_(value)
        for m in (plain, ema, slow):
            m.update_parameters(model)
    assert plain.module.weight.item() == pytest.approx(3.0) and plain.n_averaged.item() == 3
    assert ema.module.weight.item() == slow.module.weight.item() == pytest.approx(3.75)
    assert list(plain.state_dict()) == ["n_averaged", "module.weight"]


def test_update_bn():
    model = nn.Sequential(nn.BatchNorm1d(2))
    batches = [torch.randn(8, 2) for _ in range(3)]
    swa_utils.update_bn(batches, model)
    mean = np.mean([b.numpy().mean(0) for b in batches], 0)
    np.testing.assert_allclose(model[0].running_mean.numpy(), mean, rtol=1e-4, atol=1e-6)
    assert model[0].momentum == 0.1


def test_swalr_reaches_its_rate():
    opt = optimizer()
    schedule = swa_utils.SWALR(opt, 0.01, 4, "linear")
    rates = []
    for _ in range(6):
        rates.append(opt.param_groups[0]["lr"])
        opt.step(), schedule.step()
    np.testing.assert_allclose(rates, [0.1, 0.0775, 0.055, 0.0325, 0.01, 0.01], rtol=1e-9)
