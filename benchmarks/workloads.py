"""What the benchmarks time, written once in PyTorch's interface and run by both packages.

A workload is a function that returns `(step, result)`: `step()` does the timed work once, `result()` gives numbers by
which two packages are compared before either is timed.
"""

import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples")


def training(model, optimizer, loss_of):
    """Steps of an optimizer; the result is the losses of the steps taken, which are read only when it is asked for."""
    losses = []

    def step():
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        del losses[:-20]

    return step, lambda: [loss.item() for loss in losses]


def mlp():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    x, y = torch.randn(64, 784), torch.randint(0, 10, (64,))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return training(model, optimizer, lambda m: F.cross_entropy(m(x), y))


def cnn():
    sys.path.insert(0, os.path.join(EXAMPLES, "mnist"))
    from model import Net

    torch.manual_seed(0)
    x, y = torch.randn(64, 1, 28, 28), torch.randint(0, 10, (64,))
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    return training(model, optimizer, lambda m: F.nll_loss(m(x), y))


def elementwise(n):
    rng = np.random.default_rng(0)
    a, b = (torch.from_numpy(rng.standard_normal(n, dtype=np.float32)).clone() for _ in range(2))
    out = []

    def step():
        out[:] = [F.gelu(a * b + a) * torch.sigmoid(b)]
        torch.cpu.synchronize()

    return step, lambda: out[0][:: max(1, n // 1000)].tolist()


WORKLOADS = {
    "MLP 784-256-128-10, batch 64, Adam step": mlp,
    "MNIST CNN, batch 64, SGD step": cnn,
    "gelu(a*b+a)*sigmoid(b), 1e5": lambda: elementwise(100_000),
    "gelu(a*b+a)*sigmoid(b), 1e7": lambda: elementwise(10_000_000),
}
