"""Trees, event files, profiles, spawned processes and other helpers."""
import struct

import pytest
import tiny_torch as torch
from tiny_torch.utils import _pytree as pytree


def test_trees():
    tree = {"a": [1, (2, None)], "b": 3}
    leaves, spec = pytree.tree_flatten(tree)
    assert leaves == [1, 2, None, 3] and pytree.tree_unflatten(leaves, spec) == tree
    assert pytree.tree_map(lambda x: x and x * 2, tree) == {"a": [2, (4, None)], "b": 6}
    assert pytree.tree_map_only(int, lambda x: -x, tree) == {"a": [-1, (-2, None)], "b": -3}
    assert pytree.tree_structure(tree) == spec and pytree.tree_all(lambda x: x != 5, tree)
    with pytest.raises(ValueError, match="holds 4 items"):
        pytree.tree_unflatten([1], spec)


def test_event_files(tmp_path):
    from tiny_torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", torch.tensor(0.5), 3)
        writer.add_text("note", "hello")
        writer.add_histogram("weights", torch.arange(10.0), 1)
        writer.add_image("image", torch.rand(3, 4, 5))
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    at, records = 0, []
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        records.append(data[at + 12 : at + 12 + length])
        at += length + 16
    assert at == len(data) and len(records) == 5
    assert b"brain.Event:2" in records[0] and b"loss" in records[1] and struct.pack("<f", 0.5) in records[1]
    assert b"PNG" in records[4]


def test_crc32c():
    from tiny_torch.utils._events import _crc32c

    # The check value of the catalogue of CRC algorithms.
    assert _crc32c(b"123456789") == 0xE3069283


def test_profiler():
    with torch.profiler.profile() as prof:
        with torch.profiler.record_function("mine"):
            torch.ones(3).sum().item()
        prof.step()
    assert "mine" in prof.key_averages().table(sort_by="cpu_time_total", row_limit=5)


def test_checkpoint():
    from tiny_torch.utils.checkpoint import checkpoint, checkpoint_sequential

    x = torch.ones(2, requires_grad=True)
    checkpoint(lambda v: v * v, x, use_reentrant=False).sum().backward()
    assert x.grad.tolist() == [2, 2]
    layers = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    assert checkpoint_sequential(layers, 2, x).tolist() == layers(x).tolist()


def test_custom_operators():
    @torch.library.custom_op("mine::double", mutates_args=())
    def double(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    double.register_autograd(lambda ctx, grad: grad * 20)
    x = torch.ones(1, requires_grad=True)
    torch.ops.mine.double(x).backward()
    assert x.grad.item() == 20
    with pytest.raises(AttributeError):
        torch.ops.mine.nothing


def test_hub(tmp_path):
    (tmp_path / "hubconf.py").write_text("def answer(x=1):\n    'the docs'\n    return x + 41\n")
    assert torch.hub.list(str(tmp_path)) == ["answer"] and torch.hub.help(str(tmp_path), "answer") == "the docs"
    assert torch.hub.load(str(tmp_path), "answer", source="local") == 42
    torch.save({"w": torch.ones(1)}, tmp_path / "w-abc.pt")
    url = (tmp_path / "w-abc.pt").as_uri()
    state = torch.hub.load_state_dict_from_url(url, tmp_path / "cache", progress=False)
    assert state["w"].item() == 1 and (tmp_path / "cache" / "w-abc.pt").exists()
    with pytest.raises(RuntimeError, match="invalid hash"):
        torch.hub.download_url_to_file(url, tmp_path / "x", hash_prefix="00", progress=False)
    assert not (tmp_path / "x").exists()


def _fail(rank):
    if rank == 1:
        raise ValueError("rank one")


def test_spawn():
    torch.multiprocessing.start_processes(print, nprocs=1, start_method="fork")
    with pytest.raises(torch.multiprocessing.ProcessRaisedException, match="rank one"):
        torch.multiprocessing.start_processes(_fail, nprocs=2, start_method="fork")


def test_multi_grad_hook():
    a, b = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    seen = []
    handle = torch.autograd.graph.register_multi_grad_hook((a, b), lambda grads: seen.append([g.item() for g in grads]))
    (a * 2 + b * 3).sum().backward()
    assert seen == [[2, 3]]
    handle.remove()


def test_functions_written_in_python():
    f = torch.functional
    assert f.broadcast_shapes((2, 1), (3,)) == (2, 3)
    with pytest.raises(RuntimeError, match="broadcast"):
        f.broadcast_shapes((2,), (3,))
    assert f.block_diag(torch.ones(1, 1), torch.ones(1, 2)).tolist() == [[1, 0, 0], [0, 1, 1]]
    assert f.cartesian_prod(torch.tensor([1, 2]), torch.tensor([3])).tolist() == [[1, 3], [2, 3]]
    assert f.tensordot(torch.arange(6.0).reshape(2, 3), torch.ones(3, 2), 1).tolist() == [[3, 3], [12, 12]]
    assert [t.tolist() for t in f.unravel_index(torch.tensor([5]), (2, 3))] == [[1], [2]]
    assert f.einsum("ij,jk->ki", torch.arange(4.0).reshape(2, 2), torch.eye(2)).tolist() == [[0, 2], [1, 3]]
