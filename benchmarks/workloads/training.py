"""Training steps of whole networks."""

import functools
import os
import sys

import torch
import torch.nn.functional as F
from torch import nn

from .compiled import compiled
from .resnet import resnet18

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples")


def example(name):
    """The module `model` of an example."""
    sys.modules.pop("model", None)
    sys.path.insert(0, os.path.join(EXAMPLES, name))
    try:
        import model

        return model
    finally:
        sys.path.pop(0)


def training(model, optimizer, loss_of):
    """Steps of an optimizer; the result is the losses of the steps taken, which are read only when it is asked for."""
    losses = []
    loss_of, update = compiled(loss_of), compiled(optimizer.step)

    def step():
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        update()
        losses.append(loss.detach())
        del losses[:-20]

    return step, lambda: [loss.item() for loss in losses]


def mlp_parts(device):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)).to(device)
    x, y = torch.randn(64, 784).to(device), torch.randint(0, 10, (64,)).to(device)
    return model, x, y


def mlp(device):
    model, x, y = mlp_parts(device)
    return training(model, torch.optim.Adam(model.parameters(), lr=1e-3), lambda m: F.cross_entropy(m(x), y))


def cnn(device):
    torch.manual_seed(0)
    x, y = torch.randn(64, 1, 28, 28).to(device), torch.randint(0, 10, (64,)).to(device)
    # Random numbers differ between the packages on a GPU.
    model = example("mnist").Net(dropout=0.0 if device == "cuda" else 0.25).to(device)
    return training(model, torch.optim.SGD(model.parameters(), lr=1e-2), lambda m: F.nll_loss(m(x), y))


def resnet(device):
    torch.manual_seed(0)
    model = resnet18(classes=10, small=True).to(device)
    x, y = torch.randn(16, 3, 32, 32).to(device), torch.randint(0, 10, (16,)).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    return training(model, optimizer, lambda m: F.cross_entropy(m(x), y))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(64, 128, batch_first=True), nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


def lstm(device):
    torch.manual_seed(0)
    model = Lstm().to(device)
    x, y = torch.randn(32, 50, 64).to(device), torch.randint(0, 10, (32,)).to(device)
    return training(model, torch.optim.Adam(model.parameters(), lr=1e-3), lambda m: F.cross_entropy(m(x), y))


def gpt(device, autocast=False):
    torch.manual_seed(0)
    model = example("transformer").GPT(65, 256, 6, 6, 384, 0.0).to(device)
    x, y = torch.randint(0, 65, (4, 256)).to(device), torch.randint(0, 65, (4, 256)).to(device)

    def loss_of(m):
        with torch.autocast(device, dtype=torch.bfloat16, enabled=autocast):
            return m(x, y)[1]

    return training(model, torch.optim.AdamW(model.parameters(), lr=1e-4), loss_of)


WORKLOADS = {
    "MLP 784-256-128-10, batch 64, Adam step": (mlp, 1.6, ("JAX",)),
    "MNIST CNN, batch 64, SGD step": (cnn, 1.4),
    "ResNet-18 on 32x32, batch 16, SGD step": (resnet, 1.3, ("Inductor",)),
    "LSTM 64-128, 50 steps, batch 32, Adam step": (lstm, 2),
    "GPT 6x384, context 256, batch 4, AdamW step": (gpt, 1.3, ("Inductor",)),
    "GPT 6x384, bf16 autocast, AdamW step": (functools.partial(gpt, autocast=True), 1.3, (), 1e-2),
}
