"""Autocast's state, and the gradient scaler."""

import math
import pickle
import warnings

import pytest

import tiny_torch as torch
from tiny_torch import amp, nn, optim


def test_autocast_state():
    assert not torch.is_autocast_enabled("cpu")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        with torch.autocast("cpu", enabled=False):
            assert not torch.is_autocast_enabled("cpu")
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")

    @amp.autocast("cpu")
    def inside():
        return torch.is_autocast_enabled("cpu")

    assert inside() and inside.__name__ == "inside"
    with pytest.warns(UserWarning, match="CUDA is not available"), amp.autocast("cuda"):
        assert not torch.is_autocast_enabled("cuda")
    with pytest.raises(RuntimeError, match="unsupported autocast device_type 'tpu'"):
        amp.autocast("tpu")


def test_disabled_scaler_does_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scaler = amp.GradScaler()
    p = nn.Parameter(torch.ones(1))
    opt = optim.SGD([p], lr=1.0)
    loss = (p * 2).sum()
    assert not scaler.is_enabled() and scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(opt)
    scaler.step(opt)
    scaler.update()
    assert p.item() == -1.0 and scaler.get_scale() == 1.0 and scaler.state_dict() == {}


def test_scaler():
    p = nn.Parameter(torch.ones(1))
    opt = optim.SGD([p], lr=1.0)
    scaler = amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)

    def step(loss):
        opt.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(opt)
        scaler.update()

    step((p * 2).sum())
    assert p.item() == -1.0 and scaler.get_scale() == 8.0
    step((p * 2).sum())
    assert p.item() == -3.0 and scaler.get_scale() == 16.0
    step((p * math.inf).sum())
    assert p.item() == -3.0 and scaler.get_scale() == 8.0
    again = amp.GradScaler("cpu")
    again.load_state_dict(scaler.state_dict())
    assert again.state_dict() == scaler.state_dict() == pickle.loads(pickle.dumps(scaler)).state_dict()


def test_unscaled_gradients_may_be_clipped():
    p = nn.Parameter(torch.ones(1))
    opt = optim.SGD([p], lr=1.0)
    scaler = amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale((p * 3).sum()).backward()
    assert p.grad.item() == 3072.0
    scaler.unscale_(opt)
    assert p.grad.item() == 3.0
    with pytest.raises(RuntimeError, match=r"unscale_\(\) has already been called"):
        scaler.unscale_(opt)
    nn.utils.clip_grad_norm_(p, 1.0)
    scaler.step(opt)
    with pytest.raises(RuntimeError, match=r"step\(\) has already been called"):
        scaler.step(opt)
    scaler.update()
    assert p.item() == pytest.approx(0.0, abs=1e-5)


def test_the_older_names_for_gpus():
    scaler = torch.cuda.amp.GradScaler(enabled=False)
    x = torch.ones(2, requires_grad=True)
    with torch.cuda.amp.autocast(enabled=False):
        loss = (x * 3).sum()
    scaler.scale(loss).backward()
    assert x.grad.tolist() == [3, 3]
    assert torch.cuda.random.initial_seed is torch.cuda.initial_seed and torch.cuda.nvtx.range_push("step") == 0
    assert torch.cuda.nvtx.range_pop() == 0
