"""Graphs that a program captures itself, and streams: what they mean, against the same work done step by step."""

import pytest
import tiny_torch as torch
from tiny_torch import nn


def test_a_replay_computes_what_its_inputs_hold():
    x, w = torch.arange(6.0, device="cuda"), torch.full((6,), 2.0, device="cuda")
    g = torch.cuda.CUDAGraph()
    with torch.cuda.graph(g):
        assert torch.cuda.is_current_stream_capturing()
        y = x * w
        z = y[1:4].sum()
    assert not torch.cuda.is_current_stream_capturing()
    for scale in (1.0, 3.0, -2.0):
        x.copy_(torch.arange(6.0) * scale)
        g.replay()
        assert y.tolist() == [2 * scale * i for i in range(6)]
        assert z.item() == 12 * scale
    # What is written between replays is seen, and what is read is a copy.
    before = y.clone()
    w.fill_(1.0)
    g.replay()
    assert y.tolist() == [-2.0 * i for i in range(6)] and before.tolist() == [-4.0 * i for i in range(6)]


def test_a_capture_runs_nothing_and_a_replay_writes_in_place():
    x = torch.ones(4, device="cuda")
    view = x[:2]
    g = torch.cuda.CUDAGraph()
    with torch.cuda.graph(g):
        x.add_(1.0)
        view.mul_(3.0)
    assert x.tolist() == [1, 1, 1, 1]
    g.replay()
    assert x.tolist() == [6, 6, 2, 2] and view.tolist() == [6, 6]
    g.replay()
    assert x.tolist() == [21, 21, 3, 3]


def test_training_steps_by_graph_are_those_without():
    def network():
        torch.manual_seed(3)
        net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1)).cuda()
        return net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    torch.manual_seed(4)
    batches = [(torch.randn(5, 8), torch.randn(5, 1)) for _ in range(6)]
    net, optimizer = network()
    want = []
    for x, y in batches:
        optimizer.zero_grad(set_to_none=True)
        loss = ((net(x.cuda()) - y.cuda()) ** 2).mean()
        loss.backward()
        optimizer.step()
        want.append(loss.item())

    net, optimizer = network()
    static_x, static_y = torch.zeros(5, 8, device="cuda"), torch.zeros(5, 1, device="cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        x, y = batches[0]
        optimizer.zero_grad(set_to_none=True)
        loss = ((net(x.cuda()) - y.cuda()) ** 2).mean()
        loss.backward()
        optimizer.step()
        got = [loss.item()]
    torch.cuda.current_stream().wait_stream(side)
    g = torch.cuda.CUDAGraph()
    optimizer.zero_grad(set_to_none=True)
    with torch.cuda.graph(g):
        static_loss = ((net(static_x) - static_y) ** 2).mean()
        static_loss.backward()
        optimizer.step()
    for x, y in batches[1:]:
        static_x.copy_(x)
        static_y.copy_(y)
        g.replay()
        got.append(static_loss.item())
    assert got == pytest.approx(want, rel=1e-5)
    assert net[0].weight.grad is not None and net[0].weight.requires_grad


def test_random_numbers_are_fresh_in_each_replay():
    torch.cuda.manual_seed(5)
    want = [torch.rand(7, device="cuda").tolist() for _ in range(3)]
    torch.cuda.manual_seed(5)
    g = torch.cuda.CUDAGraph()
    with torch.cuda.graph(g):
        x = torch.rand(7, device="cuda")
    got = []
    for _ in range(3):
        g.replay()
        got.append(x.tolist())
    assert got == want


def test_what_a_capture_cannot_do():
    x = torch.ones(3, device="cuda")
    g = torch.cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match="without a preceding successful capture"):
        g.replay()
    with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
        with torch.cuda.graph(g):
            (x + 1).tolist()
    assert not torch.cuda.is_current_stream_capturing() and (x + 1).tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="without a preceding successful capture"):
        g.replay()
    other = torch.cuda.CUDAGraph()
    with torch.cuda.graph(other):
        with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
            torch.cuda.CUDAGraph().capture_begin()
        y = x * 2
    other.replay()
    assert y.tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="already owns a captured graph"):
        other.capture_begin()
    with pytest.raises(RuntimeError, match="capture error mode"):
        torch.cuda.CUDAGraph().capture_begin(capture_error_mode="strict")
    other.reset()
    with pytest.raises(RuntimeError, match="without a preceding successful capture"):
        other.replay()


def test_an_optimizer_that_counts_is_not_captured():
    w = torch.ones(3, device="cuda", requires_grad=True)
    optimizer = torch.optim.Adam([w], lr=0.5)
    g = torch.cuda.CUDAGraph()
    with torch.cuda.graph(g):
        loss = (w * w).sum()
        loss.backward()
        with pytest.raises(RuntimeError, match="graph capture of step"):
            optimizer.step()
    for _ in range(2):
        g.replay()
        optimizer.step()
    other = torch.ones(3, requires_grad=True)
    same = torch.optim.Adam([other], lr=0.5)
    for _ in range(2):
        same.zero_grad()
        (other * other).sum().backward()
        same.step()
    torch.testing.assert_close(w.cpu(), other)


def test_graphed_callables_are_what_they_were():
    torch.manual_seed(0)
    net = nn.Linear(4, 2).cuda()
    x = torch.randn(3, 4, device="cuda")
    want = net(x)
    graphed = torch.cuda.make_graphed_callables(net, (x,))
    out = graphed(x)
    out.sum().backward()
    torch.testing.assert_close(out, want)
    assert net.weight.grad is not None
    pair = torch.cuda.make_graphed_callables((net, torch.relu), ((x,), (x,)))
    assert len(pair) == 2
    with pytest.raises(RuntimeError, match="sample_args"):
        torch.cuda.make_graphed_callables((net, net), ((x,),))


def test_streams_are_told_apart():
    default, first, second = torch.cuda.default_stream(), torch.cuda.Stream(), torch.cuda.Stream(priority=-1)
    assert len({default, first, second}) == 3 and torch.cuda.current_stream() == default and default.cuda_stream == 0
    with torch.cuda.stream(first) as context:
        assert context.stream is first and torch.cuda.current_stream() == first
        x = torch.ones(5, device="cuda") * 2
        with torch.cuda.stream(second):
            second.wait_stream(first)
            assert torch.cuda.current_stream() == second
            y = x + 1
        with torch.cuda.stream(None):
            assert torch.cuda.current_stream() == first
    assert torch.cuda.current_stream() == default
    y.record_stream(first)
    event = second.record_event()
    event.wait(first)
    first.wait_event(event)
    first.synchronize()
    assert event.query() and first.query() and y.tolist() == [3] * 5
    torch.cuda.set_stream(second)
    assert torch.cuda.current_stream() == second
    torch.cuda.set_stream(default)
    with pytest.raises(TypeError):
        first.wait_stream(event)


def test_events_measure_and_belong_to_a_device():
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    with pytest.raises(ValueError):
        start.elapsed_time(end)
    start.record()
    x = torch.ones(1000, device="cuda").cumsum(0)
    end.record()
    assert start.elapsed_time(end) >= 0 and x[-1].item() == 1000
    if torch.cuda.device_count() > 1:
        with pytest.raises(RuntimeError, match="does not match recording stream's device"):
            start.record(torch.cuda.Stream(device=1))
        with torch.cuda.stream(torch.cuda.Stream(device=1)):
            assert torch.cuda.current_device() == 1 and torch.zeros(1, device="cuda").device.index == 1
        assert torch.cuda.current_device() == 0
