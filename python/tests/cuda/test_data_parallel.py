"""`nn.DataParallel` over two GPUs: results, gradients and buffers are those of one."""

import numpy as np
import pytest
import tiny_torch as torch
from tiny_torch import nn
from tiny_torch.nn import functional as F
from tiny_torch.nn.parallel import data_parallel, gather, parallel_apply, replicate, scatter

pytestmark = pytest.mark.skipif(torch.cuda.is_available() and torch.cuda.device_count() < 2, reason="one GPU")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.Tanh())
        self.head = nn.Linear(8, 3)
        self.register_buffer("scale", torch.tensor(2.0))
        self.seen = []

    def forward(self, x, bias=None):
        y = self.head(self.body(x)) * self.scale
        return y if bias is None else y + bias


def made():
    torch.manual_seed(3)
    return Net(), torch.randn(5, 6), torch.randint(0, 3, (5,))


def test_training_is_that_of_one_device():
    losses = []
    for parallel in (False, True):
        net, x, y = made()
        net.cuda()
        model = nn.DataParallel(net) if parallel else net
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        losses.append([])
        for _ in range(6):
            optimizer.zero_grad()
            out = model(x.cuda(), bias=torch.ones(5, 1, device="cuda"))
            assert out.device == torch.device("cuda", 0)
            loss = F.cross_entropy(out, y.cuda())
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
        assert all(p.grad.device == torch.device("cuda", 0) for p in net.parameters())
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    assert losses[0][-1] < losses[0][0]


def test_the_parts_are_on_both_devices():
    net, x, _ = made()
    net.cuda()
    parts = scatter((x.cuda(), {"bias": x[:, :1].cuda()}, "text"), [0, 1])
    assert [p[0].device.index for p in parts] == [0, 1] and [len(p[0]) for p in parts] == [3, 2]
    assert parts[1][1]["bias"].device.index == 1 and parts[1][2] == "text"
    copies = replicate(net, [0, 1])
    assert copies[1].head.weight.device.index == 1 and list(copies[1].parameters()) == []
    assert copies[0].scale is net.scale and copies[1].scale.device.index == 1
    outputs = parallel_apply(copies, [(p[0],) for p in parts])
    assert [o.device.index for o in outputs] == [0, 1]
    np.testing.assert_allclose(gather(outputs, -1).detach().numpy(), net(x.cuda()).cpu().detach().numpy(), rtol=1e-5)


def test_running_statistics_are_kept():
    net = nn.BatchNorm1d(2).cuda()
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [50.0, 60.0], [70.0, 80.0]], device="cuda")
    nn.DataParallel(net)(x)
    # Those of the first device's part, as in PyTorch.
    np.testing.assert_allclose(net.running_mean.cpu().numpy(), [0.2, 0.3], rtol=1e-6)
    assert net.num_batches_tracked.item() == 1


def test_nested_results_and_scalars():
    one, two = torch.ones(2, device="cuda:0"), torch.zeros(1, device="cuda:1")
    joined = gather([{"a": one, "b": [one, None]}, {"a": two, "b": [two, None]}], 1)
    assert joined["a"].tolist() == [1.0, 1.0, 0.0] and joined["a"].device.index == 1 and joined["b"][1] is None
    with pytest.warns(UserWarning, match="will instead unsqueeze and return a vector"):
        assert gather([one.sum(), two.sum()], 0).tolist() == [2.0, 0.0]
    with pytest.raises(ValueError, match="same number of keys"):
        gather([{"a": one}, {}], 0)


def test_one_row_uses_one_device_and_no_row_none():
    net, x, _ = made()
    model = nn.DataParallel(net.cuda())
    assert model(x[:1].cuda()).shape == (1, 3)
    assert data_parallel(net, x.cuda(), [0, 1], output_device=1).device.index == 1


def test_errors():
    net, x, _ = made()
    with pytest.raises(RuntimeError, match=r"module must have its parameters and buffers on device cuda:0 \(device_ids\[0\]\) but found one of them on device: cpu"):
        nn.DataParallel(net)(x.cuda())
    with pytest.raises(RuntimeError, match=r"Caught RuntimeError in replica 0 on device 0.\nOriginal Traceback"):
        nn.DataParallel(net.cuda())(torch.ones(4, 5, device="cuda"))
