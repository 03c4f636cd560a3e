"""Recording, saving and loading."""
import io

import pytest
import tiny_torch as torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)
        self.norm = torch.nn.BatchNorm1d(2)

    def forward(self, x):
        return torch.relu(self.norm(self.layer(x)))


def close(a, b):
    torch.testing.assert_close(a, b)


def test_a_module_through_a_file(tmp_path):
    torch.manual_seed(0)
    model = Net().eval()
    x = torch.randn(4, 3)
    traced = torch.jit.trace(model, x)
    with torch.no_grad():
        close(traced(x), model(x))
    assert isinstance(traced, torch.nn.Module) and isinstance(traced, torch.jit.ScriptModule)
    assert list(traced.state_dict()) == list(model.state_dict())
    assert traced.original_name == "Net"
    path = tmp_path / "net.ttk"
    traced.save(path)
    loaded = torch.jit.load(path)
    close(loaded(x), model(x).detach())
    torch.jit.save(traced, tmp_path / "other.ttk")
    close(torch.jit.load(str(tmp_path / "other.ttk"))(x), model(x).detach())


def test_buffers_and_extra_files():
    traced = torch.jit.trace(lambda x: x * 2, torch.ones(3))
    buffer = io.BytesIO()
    torch.jit.save(traced, buffer, _extra_files={"note": "text"})
    buffer.seek(0)
    extra = {"note": ""}
    loaded = torch.jit.load(buffer, _extra_files=extra)
    assert loaded(torch.ones(3)).tolist() == [2, 2, 2] and extra["note"] == b"text"


def test_nested_inputs_and_results():
    def function(pair, z):
        a, b = pair
        return {"sum": a + b, "list": [a * z, (b,)]}

    args = ((torch.ones(2), torch.full((2,), 2.0)), torch.tensor(3.0))
    traced = torch.jit.trace(function, args)
    result = traced((torch.zeros(2), torch.ones(2)), torch.tensor(5.0))
    assert result["sum"].tolist() == [1, 1] and result["list"][0].tolist() == [0, 0] and result["list"][1][0].tolist() == [1, 1]


def test_gradients_flow_through_a_traced_module():
    model = Net()
    traced = torch.jit.trace(model.eval(), torch.ones(4, 3))
    traced(torch.randn(4, 3)).sum().backward()
    assert model.layer.weight.grad is not None


def test_the_graph_is_text():
    traced = torch.jit.trace(lambda x: torch.exp(x) + 1, torch.ones(3))
    assert "exp" in traced.graph and "graph" in traced.graph


def test_bad_files(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        torch.jit.load(tmp_path / "missing.ttk")
    with pytest.raises(ValueError, match="directory"):
        torch.jit.load(tmp_path)
    torch.jit.trace(lambda x: x * 2, torch.ones(3)).save(tmp_path / "x.ttk")
    data = (tmp_path / "x.ttk").read_bytes()
    for changed in (b"", b"nonsense", data[: len(data) // 2], data[:-1], data[:40] + bytes([data[40] ^ 1]) + data[41:]):
        (tmp_path / "bad.ttk").write_bytes(changed)
        with pytest.raises((RuntimeError, ValueError, OSError)):
            torch.jit.load(tmp_path / "bad.ttk")


def test_what_is_not_there():
    with pytest.raises(NotImplementedError, match="torch.jit.trace"):
        torch.jit.script(Net())

    @torch.jit.script
    def function(x):
        return x + 1

    assert function(torch.ones(1)).item() == 2 and not torch.jit.is_scripting() and not torch.jit.is_tracing()
    with pytest.raises(RuntimeError, match="infer type"):
        torch.jit.trace(lambda x: "text", torch.ones(1))


def test_randomness_is_noticed():
    with pytest.warns(torch.jit.TracerWarning, match="does not match"):
        torch.jit.trace(lambda x: x + len(calls.append(0) or calls), torch.ones(2))


calls = []


def test_a_long_trace_is_whole():
    """Longer than any recording that is computed unasked (`frontend/src/pieces.rs`)."""

    def f(x):
        for _ in range(35_000):
            x = -x
        return x + 1

    with torch.no_grad():
        traced = torch.jit.trace(f, torch.zeros(3))
    assert traced(torch.ones(3)).tolist() == [2.0, 2.0, 2.0]
