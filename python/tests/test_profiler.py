"""`torch.profiler`: what ran, with bytes and operations that can be worked out by hand."""
import json

import tiny_torch as torch
from tiny_torch import profiler


def kernels(prof):
    return [event for event in prof.events() if event.is_kernel]


def test_a_product_has_its_operations_and_bytes():
    a, b = torch.randn(64, 32), torch.randn(32, 16)
    torch.cpu.synchronize()
    # A plan names the line that it was compiled for.
    torch._C._clear_plans()
    with profiler.profile() as prof:
        c = a @ b
    (gemm,) = [event for event in kernels(prof) if event.name == "gemm"]
    assert gemm.flops == 2 * 64 * 32 * 16
    assert gemm.bytes == 4 * (64 * 32 + 32 * 16 + 64 * 16)
    assert gemm.line.rsplit(":", 1)[0].endswith("test_profiler.py")
    assert c.shape == (64, 16)


def test_an_elementwise_kernel_reads_and_writes_once():
    x, y = torch.randn(1000), torch.randn(1000)
    torch.cpu.synchronize()
    with profiler.profile() as prof:
        z = (x + y) * x - y
    (kernel,) = kernels(prof)
    assert (kernel.bytes, kernel.flops) == (3 * 4000, 3 * 1000)
    assert z.shape == (1000,)


def test_only_the_block_is_in_it():
    x = torch.randn(100)
    before = x.exp()
    with profiler.profile() as prof:
        pass
    after = x.sin()
    torch.cpu.synchronize()
    assert kernels(prof) == []
    assert before.shape == after.shape


def test_profiles_in_each_other_both_see_what_runs_in_both():
    x = torch.randn(100)
    torch.cpu.synchronize()
    with profiler.profile() as outer:
        a = x.exp()
        with profiler.profile() as inner:
            b = x.sin()
            torch.cpu.synchronize()
        c = x.cos()
    # What was recorded before the inner one began ran before it.
    assert (len(kernels(outer)), len(kernels(inner))) == (3, 1)
    assert a.shape == b.shape == c.shape


def test_the_table_adds_up_and_shows_the_roofline():
    x = torch.randn(100, 100)
    torch.cpu.synchronize()
    with profiler.profile(activities=[profiler.ProfilerActivity.CPU]) as prof:
        with profiler.record_function("my range"):
            for _ in range(3):
                y = x @ x
                torch.cpu.synchronize()
    gemm = next(event for event in prof.key_averages() if event.name == "gemm")
    assert (gemm.count, gemm.flops) == (3, 3 * 2e6)
    assert 0 < gemm.roofline
    text = prof.key_averages().table(sort_by="cpu_time_total", row_limit=10)
    assert "my range" in text and "Roofline" in text and "6 M" in text
    assert y.shape == x.shape


def test_the_trace_is_a_file_for_chrome(tmp_path):
    x = torch.randn(100)
    with profiler.profile() as prof:
        with profiler.record_function("sum"):
            x.exp().sum().item()
    path = tmp_path / "trace.json"
    prof.export_chrome_trace(str(path))
    events = json.loads(path.read_text())["traceEvents"]
    named = {event["name"]: event for event in events if event["ph"] == "X"}
    assert named["sum"]["tid"] == 0
    (block,) = [event for event in events if event["name"] == "[profiled block]"]
    ran = [event for event in events if event.get("tid") == 1 and event["ph"] == "X"]
    assert ran and all(block["ts"] <= event["ts"] <= block["ts"] + block["dur"] for event in ran)
    assert all({"line", "bytes", "flops"} <= set(event["args"]) for event in ran)
