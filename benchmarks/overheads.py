"""What Tiny-Torch costs besides the computation: compiling, recording, importing, size.

    python benchmarks/overheads.py

Every figure is taken in processes of their own with an empty PATH: nothing but the package itself is at hand. The
compile time is that of passes and code generation of a whole training step, as counters have it, in a process whose
cache directory is empty; the warm one is that of finding and reading the plan in a second process.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

FOLDER = os.path.dirname(os.path.abspath(__file__))


def steps_of(name):
    """A training step of the MNIST network or of the GPT example at its full size."""
    import tiny_torch

    tiny_torch.install_as_torch()
    import torch
    import torch.nn.functional as F

    torch.manual_seed(0)
    sys.path.insert(0, os.path.join(FOLDER, "..", "examples", name))
    import model

    if name == "mnist":
        net, x, y = model.Net(), torch.randn(64, 1, 28, 28), torch.randint(0, 10, (64,))
        loss_of = lambda: F.nll_loss(net(x), y)
    else:
        net = model.GPT(65, 256, 6, 6, 384, 0.1)
        x, y = torch.randint(0, 65, (4, 256)), torch.randint(0, 65, (4, 256))
        loss_of = lambda: net(x, y)[1]
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)

    def step():
        optimizer.zero_grad()
        loss_of().backward()
        optimizer.step()

    return step


def measure_steps(name):
    from tiny_torch import _C

    step = steps_of(name)
    compiled, loaded = [], []
    for _ in range(6):
        _C._reset_counters()
        step()
        c = _C._counters()
        compiled.append((c["pass_ns"] + c["codegen_ns"]) / 1e6)
        loaded.append(c["load_ns"] / 1e6)
    return {"compiled": compiled, "loaded": loaded}


def measure_recording():
    """Nanoseconds an operator takes from Python, without its computation and with it: the least of several runs."""
    import tiny_torch as torch
    from tiny_torch import _C

    x, y = torch.ones(8), torch.ones(8)

    def chain(step, n=2000):
        z = x
        start = time.perf_counter()
        for _ in range(n):
            z = step(z)
        seconds = time.perf_counter() - start
        _C._flush()
        return seconds / n * 1e9

    def computed(call, n=2000):
        start = time.perf_counter()
        for _ in range(n):
            kept = call()
            _C._flush()
        seconds = time.perf_counter() - start
        del kept
        return seconds / n * 1e9

    kinds = {"x + y": lambda z: z + y, "torch.mul": lambda z: torch.mul(z, y), "x.relu()": lambda z: z.relu()}
    runs = [{name: chain(step) for name, step in kinds.items()} for _ in range(60)]
    figures = {f"recording {name}": min(run[name] for run in runs) for name in kinds}
    a, b = torch.ones(16, 16), torch.ones(16, 16)
    calls = {"x + y": lambda: x + y, "a @ b, 16x16": lambda: a @ b}
    runs = [{name: computed(call) for name, call in calls.items()} for _ in range(60)]
    figures |= {f"computing {name}": min(run[name] for run in runs) for name in calls}
    # From now on counts and locks are atomic instructions.
    other = threading.Thread(target=lambda: x + y)
    other.start()
    other.join()
    figures["recording x + y, once another thread has"] = min(chain(kinds["x + y"]) for _ in range(60))
    return figures


def child(*command, cache=""):
    environment = {"PATH": "", "TTK_CACHE_DIR": cache, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def main():
    if len(sys.argv) > 1:
        print(json.dumps(measure_recording() if sys.argv[1] == "recording" else measure_steps(sys.argv[1])))
        return
    rows = []
    for name, title, target in (("mnist", "MNIST CNN", 100), ("transformer", "GPT, 6 layers, 384 wide", 300)):
        with tempfile.TemporaryDirectory() as cache:
            cold = json.loads(child(__file__, name, cache=cache))
            warm = json.loads(child(__file__, name, cache=cache))
        if max(warm["compiled"]) > 0:
            sys.exit(f"{title}: a second process compiled again")
        first, second = cold["compiled"][:2]
        rows.append((f"{title}: cold compile of the first step", f"{first:.0f} ms", f"< {target} ms"))
        rows.append((f"{title}: of the second (no state to make)", f"{second:.0f} ms", f"< {target} ms"))
        rows.append((f"{title}: of all later ones", f"{sum(cold['compiled'][2:]):.0f} ms", "0"))
        rows.append((f"{title}: warm disk cache, first step", f"{warm['loaded'][0]:.1f} ms", "< 20 ms"))
    for name, ns in json.loads(child(__file__, "recording")).items():
        rows.append((name, f"{ns:.0f} ns", "< 1000 ns"))

    def startup(code):
        times = []
        for _ in range(9):
            start = time.perf_counter()
            child("-c", code)
            times.append(time.perf_counter() - start)
        return statistics.median(times) * 1e3

    rows.append(("import", f"{startup('import tiny_torch') - startup('pass'):.0f} ms", "< 100 ms"))
    import tiny_torch

    package = os.path.dirname(tiny_torch.__file__)
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(package) for f in files if "__pycache__" not in d)
    rows.append(("the package, installed (the wheel is smaller)", f"{size / 1e6:.1f} MB", ""))
    for what, figure, target in rows:
        print(f"{what:52} {figure:>10}   {target}")


if __name__ == "__main__":
    main()
