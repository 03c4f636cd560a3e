"""Single operations: products, rows, whole-tensor reductions, and what a call costs."""

import functools

import torch
import torch.nn.functional as F

from .compiled import compiled


def numbers(device, *shape, dtype=torch.float32, seed=0):
    """The same numbers in both packages and on every device: normal, or uniform in float64.

    Normal numbers agree to a rounding error of float32, which would hide what a float64 result lacks; uniform ones agree
    to the bit.
    """
    torch.manual_seed(seed)
    draw = torch.rand if dtype == torch.float64 else torch.randn
    return draw(*shape).to(dtype).to(device)


def synchronize(device):
    (torch.cuda if device == "cuda" else torch.cpu).synchronize()


def sample(t, n=1000):
    """At most `n` elements of a tensor, as numbers."""
    flat = t.detach().reshape(-1).double()
    return flat[:: max(1, flat.shape[0] // n)].tolist()


def repeated(device, compute):
    """Steps of `compute`, which gives a tensor; the last one's result."""
    last = []

    def step():
        last[:] = [compute()]
        synchronize(device)

    return step, lambda: sample(last[0])


def matmul(m, k, n, dtype, device, batch=()):
    a = numbers(device, *batch, m, k, dtype=dtype)
    b = numbers(device, *batch, k, n, dtype=dtype, seed=1)
    return repeated(device, lambda: a @ b)


def matvec(dtype, device):
    a, x = numbers(device, 4096, 4096, dtype=dtype), numbers(device, 4096, dtype=dtype, seed=1)
    return repeated(device, lambda: a @ x)


def gelu_chain(n, device):
    a, b = numbers(device, n), numbers(device, n, seed=1)
    return repeated(device, compiled(lambda: F.gelu(a * b + a) * torch.sigmoid(b)))


def adds(device):
    x, y = numbers(device, 8), numbers(device, 8, seed=1) * 1e-3

    def compute():
        z = x
        for _ in range(1000):
            z = z + y
        return z

    return repeated(device, compute)


def rows(function, device):
    """Forward and backward of a function of `[2048, 1024]`."""
    x = numbers(device, 2048, 1024).requires_grad_()
    g = numbers(device, 2048, 1024, seed=1)

    def compute():
        x.grad = None
        y = function(x)
        y.backward(g if y.dim() else None)
        return x.grad

    return repeated(device, compute)


def row_functions(device):
    weight, bias = numbers(device, 1024, seed=2), numbers(device, 1024, seed=3)
    torch.manual_seed(4)
    classes = torch.randint(0, 1024, (2048,)).to(device)
    return {
        "softmax": lambda x: F.softmax(x, dim=1),
        "log_softmax": lambda x: F.log_softmax(x, dim=1),
        "layer norm": lambda x: F.layer_norm(x, (1024,), weight, bias),
        "RMS norm": lambda x: F.rms_norm(x, (1024,), weight),
        "cross entropy": lambda x: F.cross_entropy(x, classes),
    }


ROWS = ("softmax", "log_softmax", "layer norm", "RMS norm", "cross entropy")

LONG = {
    "sum": lambda x, i: x.sum(),
    "mean": lambda x, i: x.mean(),
    "max": lambda x, i: x.max(),
    "argmax": lambda x, i: x.argmax(),
    "cumsum": lambda x, i: x.cumsum(0),
    "sort": lambda x, i: x.sort()[0],
    "topk": lambda x, i: x.topk(100)[0],
    "index_select": lambda x, i: x.index_select(0, i),
    "scatter_add": lambda x, i: torch.zeros(1000, device=x.device).scatter_add(0, i % 1000, x),
}


def long(name, device, n=10_000_000):
    # Around 1: sums that come back to 0 would say nothing of their error.
    x = numbers(device, n) + 1
    torch.manual_seed(1)
    i = torch.randint(0, n, (n,)).to(device)
    return repeated(device, lambda: LONG[name](x, i))


def attention(device):
    q, k, v = (numbers(device, 1, 8, 1024, 64, seed=s).requires_grad_() for s in range(3))
    g = numbers(device, 1, 8, 1024, 64, seed=3)

    def compute():
        q.grad = k.grad = v.grad = None
        F.scaled_dot_product_attention(q, k, v, is_causal=True).backward(g)
        return q.grad + k.grad + v.grad

    return repeated(device, compute)


def _rows():
    f32, f64, bf16 = torch.float32, torch.float64, torch.bfloat16
    part = functools.partial
    table = {}
    for dtype, kind, tolerance in ((f32, "f32", 1e-3), (f64, "f64", 1e-12)):
        for n in (256, 512, 1024, 2048):
            table[f"matmul {kind} {n}"] = (part(matmul, n, n, n, dtype), 0.97, (), tolerance)
        table[f"matmul {kind} 512x768x3072"] = (part(matmul, 512, 768, 3072, dtype), 0.97, (), tolerance)
    for n in (16, 32, 64):
        table[f"matmul f32 {n}"] = (part(matmul, n, n, n, f32), 2)
    table["matmul f32 64 of 64"] = (part(matmul, 64, 64, 64, f32, batch=(64,)), 2)
    for n, target in ((1024, 1.0), (512, 1.0), (128, 3), (64, 3)):
        table[f"matmul bf16 {n}"] = (part(matmul, n, n, n, bf16), target, (), 2e-2)
    table["matrix x vector 4096 f32"] = (part(matvec, f32), 1.0)
    table["matrix x vector 4096 bf16"] = (part(matvec, bf16), 1.0, (), 2e-2)
    for n, target in ((1000, 2), (100_000, 2), (10_000_000, 1.2)):
        table[f"gelu(a*b+a)*sigmoid(b), {n:.0e}".replace("e+0", "e")] = (part(gelu_chain, n), target, ("Inductor",))
    for name in ROWS:
        make = lambda device, name=name: rows(row_functions(device)[name], device)
        table[f"{name} 2048x1024, forward and backward"] = (make, 1.3)
    for name in LONG:
        table[f"{name} of 1e7"] = (part(long, name), 1.0)
    table["1,000 dependent adds of 8 numbers"] = (adds, 5)
    table["attention, causal, 8x64, 1024 tokens, forward and backward"] = (attention, 1.2)
    return table


WORKLOADS = _rows()
