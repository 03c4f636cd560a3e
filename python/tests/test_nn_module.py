"""Modules as containers of parameters: names, state dictionaries, hooks, modes, printing."""

import copy
from collections import OrderedDict

import numpy as np
import pytest

import tiny_torch as torch
from tiny_torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)
        self.nothing = None
        self.register_parameter("absent", None)

    def forward(self, x, add=0):
        return self.fc(x) * self.scale + add


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Block()
        self.rest = nn.ModuleList([Block(), nn.Identity()])
        self.tied = self.first.fc

    def forward(self, x):
        return self.rest[1](self.rest[0](self.first(x)))


PARAMETERS = ["first.scale", "first.fc.weight", "first.fc.bias", "rest.0.scale", "rest.0.fc.weight", "rest.0.fc.bias"]


def test_names_come_once_and_in_order():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == PARAMETERS
    assert len(list(net.parameters(recurse=False))) == 0
    doubled = [n for n, _ in net.named_parameters(remove_duplicate=False)]
    assert doubled == [*PARAMETERS, "tied.weight", "tied.bias"]
    assert [n for n, _ in net.named_buffers("p")] == [
        "p.first.seen",
        "p.first.scratch",
        "p.rest.0.seen",
        "p.rest.0.scratch",
    ]
    assert [n for n, _ in net.named_modules()] == ["", "first", "first.fc", "rest", "rest.0", "rest.0.fc", "rest.1"]
    assert [n for n, _ in net.named_children()] == ["first", "rest", "tied"]
    assert net.get_submodule("rest.0.fc") is net.rest[0].fc
    assert net.get_parameter("first.scale") is net.first.scale
    assert net.get_buffer("first.seen") is net.first.seen


def test_state_dict_round_trip():
    source, target = Net(), Net()
    state = source.state_dict()
    keys = ["first.scale", "first.seen", "first.fc.weight", "first.fc.bias", "rest.0.scale", "rest.0.seen",
            "rest.0.fc.weight", "rest.0.fc.bias", "tied.weight", "tied.bias"]  # fmt: skip
    assert isinstance(state, OrderedDict) and list(state) == keys
    assert list(state._metadata) == ["", "first", "first.fc", "rest", "rest.0", "rest.0.fc", "rest.1", "tied"]
    assert not any(v.requires_grad for v in state.values())
    assert repr(target.load_state_dict(state)) == "<All keys matched successfully>"
    for key, value in target.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[key].numpy())
    with torch.no_grad():
        source.first.scale.fill_(7.0)
    assert state["first.scale"].item() == 7.0
    assert target.first.scale.item() == 1.0


def test_load_reports_what_does_not_fit():
    layer = nn.Linear(2, 2)
    with pytest.raises(RuntimeError) as e:
        layer.load_state_dict({"weight": torch.ones(3, 2), "extra": torch.ones(1)})
    assert str(e.value) == (
        "Error(s) in loading state_dict for Linear:\n"
        '\tMissing key(s) in state_dict: "bias". \n'
        '\tUnexpected key(s) in state_dict: "extra". \n'
        "\tsize mismatch for weight: copying a param with shape torch.Size([3, 2]) from checkpoint, "
        "the shape in current model is torch.Size([2, 2])."
    )
    keys = layer.load_state_dict({"weight": torch.ones(2, 2), "extra": torch.ones(1)}, strict=False)
    assert keys.missing_keys == ["bias"] and keys.unexpected_keys == ["extra"]
    assert layer.weight.sum().item() == 4.0


def test_assign_takes_the_tensors_themselves():
    layer = nn.Linear(2, 2)
    weight, bias = torch.ones(2, 2), torch.zeros(2)
    layer.load_state_dict({"weight": weight, "bias": bias}, assign=True)
    assert isinstance(layer.weight, nn.Parameter) and layer.weight.requires_grad
    with torch.no_grad():
        weight.fill_(5.0)
    assert layer.weight[0, 0].item() == 5.0


def test_extra_state_and_hooks_of_state_dicts():
    class Extra(nn.Module):
        def __init__(self):
            super().__init__()
            self.note = "a"

        def get_extra_state(self):
            return {"note": self.note}

        def set_extra_state(self, state):
            self.note = state["note"]

    source, target = nn.Sequential(Extra()), nn.Sequential(Extra())
    source[0].note = "b"
    state = source.state_dict()
    assert list(state) == ["0._extra_state"]
    target.load_state_dict(state)
    assert target[0].note == "b"
    with pytest.raises(RuntimeError, match="_extra_state"):
        target.load_state_dict({})

    layer = nn.Linear(1, 1)
    calls = []
    layer.register_state_dict_pre_hook(lambda m, prefix, keep: calls.append("pre"))
    layer.register_state_dict_post_hook(lambda m, d, prefix, meta: d.pop(prefix + "bias") and None)
    layer.register_load_state_dict_pre_hook(
        lambda m, d, prefix, *rest: d.setdefault(prefix + "bias", torch.ones(1)) and None
    )
    layer.register_load_state_dict_post_hook(lambda m, keys: calls.append(len(keys.missing_keys)))
    state = layer.state_dict()
    assert list(state) == ["weight"]
    layer.load_state_dict(state)
    assert calls == ["pre", 0] and layer.bias.item() == 1.0


def test_modes_and_apply():
    net = Net()
    assert net.training and not net.eval().rest[0].training and net.train().first.fc.training
    seen = []
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Linear", "Block", "Linear", "Block", "Identity", "ModuleList", "Linear", "Net"]
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_conversion_keeps_identity():
    net = Net()
    weight = net.first.fc.weight
    assert net.double() is net and net.first.fc.weight is weight
    assert {p.dtype for p in net.parameters()} == {torch.float64}
    net.register_buffer("count", torch.zeros(2, dtype=torch.int64))
    net.to(torch.float32)
    assert net.count.dtype == torch.int64 and weight.dtype == torch.float32
    net.to("cpu", torch.float64, non_blocking=True).to(torch.zeros(1))
    assert weight.dtype == torch.float32
    with pytest.raises(TypeError, match="floating point or complex"):
        net.to(torch.int32)


def test_zero_grad():
    layer = nn.Linear(2, 2)
    layer(torch.ones(1, 2)).sum().backward()
    layer.zero_grad(set_to_none=False)
    assert layer.weight.grad.abs().sum().item() == 0
    layer.zero_grad()
    assert layer.weight.grad is None


def test_attributes():
    m = nn.Module()
    with pytest.raises(AttributeError, match="'Module' object has no attribute 'a'"):
        _ = m.a
    m.a = 1
    with pytest.raises(KeyError, match="attribute 'a' already exists"):
        m.register_buffer("a", None)
    m.a = nn.Parameter(torch.ones(1))
    assert "a" not in m.__dict__ and "a" in m._parameters and "a" in dir(m)
    with pytest.raises(TypeError, match="as parameter 'a'"):
        m.a = 3
    m.a = None
    assert m.a is None and "a" in m._parameters
    del m.a
    assert not hasattr(m, "a")
    m.b = nn.Buffer(torch.ones(2), persistent=False)
    assert list(m._buffers) == ["b"] and list(m.state_dict()) == []
    m.b = torch.zeros(3)
    assert list(m._buffers) == ["b"]

    class Late(nn.Module):
        def __init__(self):
            self.x = nn.Parameter(torch.ones(1))

    with pytest.raises(AttributeError, match="before Module.__init__"):
        Late()


def test_forward_hooks():
    block, calls = Block(), []
    first = block.register_forward_pre_hook(lambda m, args: calls.append("pre") or (args[0] * 0,))
    second = block.register_forward_hook(lambda m, args, out: calls.append("post") or out + 1)
    block.register_forward_hook(lambda m, args, kwargs, out: calls.append(kwargs["add"]), with_kwargs=True)
    out = block(torch.ones(1, 3), add=2)
    np.testing.assert_allclose(out.detach().numpy(), (block.fc.bias + 3).detach().numpy()[None], rtol=1e-6)
    assert calls == ["pre", "post", 2]
    first.remove()
    with second:
        pass
    block(torch.ones(1, 3), add=2)
    assert calls == ["pre", "post", 2, 2]


def test_always_called_hook_runs_after_a_failure():
    calls = []

    class Broken(nn.Module):
        def forward(self, x):
            raise ValueError("broken")

    m = Broken()
    m.register_forward_hook(lambda m, args, out: calls.append(out), always_call=True)
    m.register_forward_hook(lambda m, args, out: calls.append("never"))
    with pytest.raises(ValueError, match="broken"):
        m(1)
    assert calls == [None]


def test_backward_hooks():
    layer = nn.Linear(2, 3)
    seen = {}

    def hook(module, grad_input, grad_output):
        seen["input"], seen["output"] = grad_input, grad_output
        return (grad_input[0] * 2,)

    layer.register_full_backward_hook(hook)
    layer.register_full_backward_pre_hook(lambda m, grad_output: (grad_output[0] * 10,))
    x = torch.ones(1, 2, requires_grad=True)
    layer(x).sum().backward()
    weight = layer.weight.detach().numpy()
    np.testing.assert_allclose(seen["output"][0].numpy(), np.full((1, 3), 10.0))
    np.testing.assert_allclose(seen["input"][0].numpy(), 10 * weight.sum(0, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(x.grad.numpy(), 20 * weight.sum(0, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(layer.bias.grad.numpy(), [10.0, 10.0, 10.0])
    with pytest.raises(RuntimeError, match="both regular backward hooks and full backward hooks"):
        layer.register_backward_hook(hook)


def test_backward_hook_without_input_gradient():
    layer, seen = nn.Linear(2, 3), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, tuple(go[0].shape))))
    layer(torch.ones(1, 2)).sum().backward()
    assert seen == [((None,), (1, 3))]


def test_global_hooks():
    from tiny_torch.nn.modules import module

    calls = []
    with module.register_module_forward_hook(lambda m, args, out: calls.append(type(m).__name__)):
        nn.Sequential(nn.ReLU(), nn.Tanh())(torch.ones(1))
    nn.ReLU()(torch.ones(1))
    assert calls == ["ReLU", "Tanh", "Sequential"]
    with module.register_module_parameter_registration_hook(lambda m, name, p: calls.append(name)):
        nn.Linear(1, 1)
    assert calls[3:] == ["weight", "bias"]


def test_copies_are_apart():
    net = Net()
    twin = copy.deepcopy(net)
    assert twin.tied is twin.first.fc and twin.first.fc is not net.first.fc
    with torch.no_grad():
        twin.first.scale.fill_(3.0)
    assert net.first.scale.item() == 1.0
    assert isinstance(twin.first.scale, nn.Parameter)


def test_repr():
    net = nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 2, 3), act=nn.ReLU(inplace=True), more=Net()))
    assert repr(net) == (
        "Sequential(\n"
        "  (conv): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))\n"
        "  (act): ReLU(inplace=True)\n"
        "  (more): Net(\n"
        "    (first): Block(\n"
        "      (fc): Linear(in_features=3, out_features=3, bias=True)\n"
        "    )\n"
        "    (rest): ModuleList(\n"
        "      (0): Block(\n"
        "        (fc): Linear(in_features=3, out_features=3, bias=True)\n"
        "      )\n"
        "      (1): Identity()\n"
        "    )\n"
        "    (tied): Linear(in_features=3, out_features=3, bias=True)\n"
        "  )\n"
        ")"
    )
    assert repr(nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1), nn.ReLU()])) == (
        "ModuleList(\n  (0-1): 2 x Linear(in_features=1, out_features=1, bias=True)\n  (2): ReLU()\n)"
    )
    assert repr(nn.Parameter(torch.ones(2))).startswith("Parameter containing:\n")


def test_sequential_is_a_list():
    s = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())
    assert len(s) == 3 and type(s[-1]) is nn.Sigmoid and len(s[1:]) == 2
    with pytest.raises(IndexError, match="index 3 is out of range"):
        _ = s[3]
    s.insert(1, nn.Identity())
    s.append(nn.GELU())
    assert [type(m).__name__ for m in s] == ["ReLU", "Identity", "Tanh", "Sigmoid", "GELU"]
    del s[0]
    assert list(s._modules) == ["0", "1", "2", "3"] and type(s.pop(0)) is nn.Identity
    s[0] = nn.ReLU()
    assert len(s + nn.Sequential(nn.ReLU())) == 4 and len(s * 2) == 6
    assert type(s[0]) is nn.ReLU


def test_module_list_and_dict():
    items = nn.ModuleList([nn.ReLU()])
    items += [nn.Tanh()]
    items.extend([nn.Sigmoid()]).append(nn.GELU()).insert(0, nn.Identity())
    assert [type(m).__name__ for m in items] == ["Identity", "ReLU", "Tanh", "Sigmoid", "GELU"]
    assert type(items[1:3]) is nn.ModuleList and type(items.pop(0)) is nn.Identity and len(items) == 4
    table = nn.ModuleDict({"a": nn.ReLU()})
    table.update([["b", nn.Tanh()]])
    assert list(table.keys()) == ["a", "b"] and "a" in table and type(table.pop("a")) is nn.ReLU
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        table["c"] = 3


def test_parameter_list_and_dict():
    items = nn.ParameterList([torch.ones(2), 3]).append(torch.zeros(1))
    assert isinstance(items[0], nn.Parameter) and items[1] == 3 and len(items) == 3
    assert [n for n, _ in items.named_parameters()] == ["0", "2"]
    table = nn.ParameterDict({"b": torch.ones(1), "a": torch.zeros(1)})
    assert list(table.keys()) == ["a", "b"] and isinstance(table["a"], nn.Parameter)
    assert table.get("c") is None and len(table | {"c": torch.ones(2)}) == 3


def test_buffers_of_batch_norm_are_counted():
    m = nn.BatchNorm1d(2)
    m(torch.ones(4, 2))
    m(torch.ones(4, 2))
    assert m.num_batches_tracked.item() == 2
    old = m.state_dict()
    del old["num_batches_tracked"], old._metadata
    assert repr(nn.BatchNorm1d(2).load_state_dict(old)) == "<All keys matched successfully>"


def test_lazy_modules_materialise():
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    assert net[0].has_uninitialized_params() and repr(net[3].weight) == "<UninitializedParameter>"
    assert net(torch.ones(2, 3, 5, 5)).shape == (2, 2)
    assert type(net[0]) is nn.Conv2d and type(net[3]) is nn.Linear and net[3].in_features == 36
    again = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    again.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(again[3].weight.detach().numpy(), net[3].weight.detach().numpy())


def test_unwritten_forward():
    with pytest.raises(NotImplementedError, match=r'Module \[Module\] is missing the required "forward" function'):
        nn.Module()()
