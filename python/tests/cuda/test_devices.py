"""Tensors on a GPU as PyTorch programs use them: moving, mixing, counting memory, failing."""

import gc

import numpy as np
import pytest
import tiny_torch as torch
from tiny_torch import nn


def test_the_device_says_what_it_is():
    properties = torch.cuda.get_device_properties(0)
    assert torch.cuda.get_device_name() == properties.name
    assert torch.cuda.get_device_capability() == (properties.major, properties.minor)
    assert properties.total_memory > 0 and torch.cuda.device_count() >= 1
    assert torch.cuda.why_not() is None and torch.cuda.is_initialized()
    free, total = torch.cuda.mem_get_info()
    assert 0 < free <= total


def test_tensors_move_there_and_back():
    x = torch.arange(12.0).reshape(3, 4)
    for moved in (x.cuda(), x.to("cuda"), x.to("cuda:0"), x.to(torch.device("cuda", 0)), x.to(torch.zeros(1, device="cuda"))):
        assert moved.device == torch.device("cuda", 0) and moved.is_cuda and moved.get_device() == 0
        assert moved.cpu().device.type == "cpu" and moved.cpu().tolist() == x.tolist()
    gpu = x.cuda()
    assert gpu.cuda() is gpu and gpu.to("cuda") is gpu and x.cpu() is x
    assert gpu.to(torch.float64).is_cuda and gpu.to("cpu", torch.int32).tolist() == x.int().tolist()
    assert gpu.T.cpu().tolist() == x.T.tolist() and gpu[1, 2].item() == 6.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(2, 3, device="cuda"),
        lambda: torch.full((2,), 7, device="cuda"),
        lambda: torch.arange(5, device="cuda"),
        lambda: torch.tensor([[1.0, 2.0]], device="cuda"),
        lambda: torch.as_tensor(np.ones(3), device="cuda"),
        lambda: torch.rand(4, device="cuda"),
        lambda: torch.empty(3, device="cuda"),
        lambda: torch.eye(3, device="cuda"),
    ],
)
def test_tensors_are_made_there(make):
    x = make()
    assert x.is_cuda and (x + 1).is_cuda and torch.zeros_like(x).is_cuda and x.new_zeros(2).is_cuda
    assert "device='cuda:0'" in repr(x)


def test_results_are_those_of_the_processor():
    x = torch.randn(5, 7)
    w = torch.randn(7, 3)

    def f(x, w):
        return (torch.tanh(x @ w).softmax(-1) * x.sum(1, keepdim=True)).std(0)

    torch.testing.assert_close(f(x.cuda(), w.cuda()).cpu(), f(x, w))


def test_in_place_writes_and_views():
    x = torch.zeros(4, 4, device="cuda")
    x[1:3, ::2] = torch.ones(2, 2, device="cuda")
    x[0] = 5
    x.t()[3].add_(2)
    x.copy_(x.cpu() * 2)
    want = torch.zeros(4, 4)
    want[1:3, ::2] = 1
    want[0] = 5
    want.t()[3].add_(2)
    assert x.is_cuda and x.tolist() == (want * 2).tolist()


def test_gradients_flow_between_devices():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x.cuda() ** 2
    (y.cpu().sum() + y.sum().cpu()).backward()
    assert x.grad.device.type == "cpu" and x.grad.tolist() == [4.0, 8.0, 12.0]
    leaf = torch.ones(2, device="cuda", requires_grad=True)
    (leaf * 3).sum().backward()
    assert leaf.grad.is_cuda and leaf.grad.tolist() == [3.0, 3.0]


def test_a_number_on_the_processor_joins_and_other_tensors_do_not():
    x = torch.ones(3, device="cuda")
    assert (x * torch.tensor(2.0)).is_cuda and (torch.tensor(2.0) - x).tolist() == [1.0] * 3
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device.*cuda:0 and cpu"):
        x + torch.ones(3)
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        torch.cat([torch.ones(1), x])
    assert x.sum().item() == 3.0


def test_numpy_wants_the_processor():
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()"):
        torch.ones(2, device="cuda").numpy()
    assert torch.ones(2, device="cuda").cpu().numpy().tolist() == [1.0, 1.0]


def test_a_device_that_is_not_there():
    many = torch.cuda.device_count() + 7
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        torch.ones(2, device=f"cuda:{many}")
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        torch.ones(2).to(f"cuda:{many}")
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        torch.cuda.set_device(many)
    assert torch.ones(2, device="cuda").sum().item() == 2


def test_memory_that_cannot_be_had():
    keep = torch.ones(8, device="cuda")
    _, total = torch.cuda.mem_get_info()
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory. Tried to allocate"):
        torch.cumsum(torch.ones(total, device="cuda"), 0)[-1].item()
    assert isinstance(torch.cuda.OutOfMemoryError, type) and keep.sum().item() == 8


def test_an_index_out_of_range_harms_nothing_else():
    x = torch.arange(4.0, device="cuda")
    with pytest.raises(IndexError, match="index out of range"):
        x[torch.tensor([1, 9], device="cuda")].tolist()
    assert (x + 1).tolist() == [1.0, 2.0, 3.0, 4.0]


def test_memory_is_counted():
    gc.collect()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    x = torch.ones(1 << 16, device="cuda") + 1
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() - before >= 4 << 16
    assert torch.cuda.max_memory_allocated() >= torch.cuda.memory_allocated() <= torch.cuda.memory_reserved()
    del x
    gc.collect()
    assert torch.cuda.memory_allocated() <= before
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    assert torch.cuda.max_memory_allocated() == torch.cuda.memory_allocated()


def test_random_numbers_follow_the_seed():
    torch.manual_seed(3)
    first = [torch.rand(5, device="cuda").tolist(), torch.randn(40, device="cuda").tolist(), torch.randperm(6, device="cuda").tolist()]
    torch.cuda.manual_seed(3)
    again = [torch.rand(5, device="cuda").tolist(), torch.randn(40, device="cuda").tolist(), torch.randperm(6, device="cuda").tolist()]
    assert first == again and first[0] != torch.rand(5, device="cuda").tolist()
    mask = nn.functional.dropout(torch.ones(4000, device="cuda"), 0.25)
    assert mask.is_cuda and sorted(mask.unique().tolist()) == pytest.approx([0.0, 4 / 3])
    assert abs((mask == 0).float().mean().item() - 0.25) < 0.05


def test_the_default_device():
    torch.set_default_device("cuda")
    assert torch.zeros(2).is_cuda and torch.tensor([1.0]).is_cuda and nn.Linear(2, 2).weight.is_cuda
    torch.set_default_device(None)
    assert not torch.zeros(2).is_cuda


def test_modules_move_with_their_buffers_and_files(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU())
    x = torch.randn(6, 3)
    want = model(x)
    model.to("cuda")
    assert all(v.is_cuda for v in model.state_dict().values())
    model[1].reset_running_stats()
    torch.testing.assert_close(model(x.cuda()).cpu(), want)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    there = torch.load(tmp_path / "model.pt")
    here = torch.load(tmp_path / "model.pt", map_location="cpu")
    assert there["0.weight"].is_cuda and not here["0.weight"].is_cuda
    torch.testing.assert_close(there["0.weight"].cpu(), here["0.weight"])


def test_streams_and_events_run_in_order():
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    with torch.cuda.stream(torch.cuda.Stream()):
        start.record()
        x = torch.ones(10, device="cuda").sum()
        end.record()
    torch.cuda.current_stream().synchronize()
    assert x.item() == 10 and start.elapsed_time(end) >= 0


def test_two_devices():
    x = torch.arange(6.0, device="cuda:0")
    y = x.to("cuda:1")
    assert y.get_device() == 1 and (y * 2).get_device() == 1 and y.tolist() == x.tolist()
    with pytest.raises(RuntimeError, match="cuda:0 and cuda:1"):
        x + y
    with torch.cuda.device(1):
        assert torch.ones(1, device="cuda").get_device() == 1
    assert torch.ones(1, device="cuda").get_device() == 0


def test_what_is_worked_out_on_the_processor_stays_on_the_device():
    x = torch.tensor([0.0, 2.0, 0.0, 3.0], device="cuda")
    assert x.nonzero().is_cuda and x.nonzero().tolist() == [[1], [3]]
    assert x[x > 1].is_cuda and x[x > 1].tolist() == [2.0, 3.0]
    assert x.unique().is_cuda and torch.histogram(x, 2).hist.is_cuda
    assert torch.linalg.inv(torch.eye(2, device="cuda") * 2).is_cuda
    torch.set_default_device("cuda")
    assert torch.tensor([1.0], device="cpu").device.type == "cpu"
    assert torch.from_numpy(np.ones(2)).device.type == "cpu"


def test_a_number_drawn_on_the_processor_stays_there():
    number = torch.randn(())
    assert (number * torch.ones(2, device="cuda")).is_cuda
    torch.cuda.synchronize()
    assert number.device.type == "cpu"
    number.numpy()[...] = 3
    assert number.item() == 3
