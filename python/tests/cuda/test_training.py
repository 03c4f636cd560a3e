"""Training on a GPU: the losses are those of the processor, and after the first steps nothing is compiled."""

import os
import sys

import pytest
import tiny_torch as torch
from tiny_torch import nn
from tiny_torch.nn import functional as F

STEPS = 20


class Convolutional(nn.Module):
    """The network of the MNIST example without dropout, whose numbers differ between devices, and narrower."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.fc1, self.fc2 = nn.Linear(8 * 5 * 5, 16), nn.Linear(16, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.conv2(F.relu(self.conv1(x))))), 2)
        return F.log_softmax(self.fc2(F.relu(self.fc1(torch.flatten(x, 1)))), dim=1)


class Transformer(nn.Module):
    """The model of the transformer example at a size that a stand-in runs."""

    def __init__(self, vocabulary=17, width=16, heads=2, length=12):
        super().__init__()
        self.token, self.place = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        # The derivative by a key's bias is zero but for rounding, which AdamW would blow up.
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.head = nn.Linear(width, vocabulary)
        self.heads = heads

    def forward(self, tokens):
        batch, length = tokens.shape
        x = self.token(tokens) + self.place(torch.arange(length, device=tokens.device))
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, -1))
        x = x + self.down(F.gelu(self.up(self.norm2(x))))
        return self.head(self.norm3(x))


def images():
    return torch.randn(4, 1, 14, 14), torch.randint(0, 10, (4,))


def text():
    tokens = torch.randint(0, 17, (2, 13))
    return tokens[:, :-1], tokens[:, 1:]


def perceptron():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def vectors():
    return torch.randn(5, 6), torch.randint(0, 3, (5,))


class Recurrent(nn.Module):
    """On the processor all steps of a layer are one kernel."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 5, bidirectional=True)
        self.gru = nn.GRU(10, 4, batch_first=True)
        self.tanh, self.relu = nn.RNN(4, 4), nn.RNN(4, 4, nonlinearity="relu")
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.gru(self.lstm(x)[0].transpose(0, 1))[0].transpose(0, 1)
        return self.head(self.tanh(x)[0][-1] + self.relu(x)[1][0])


def sequences():
    return torch.randn(7, 5, 6), torch.randint(0, 3, (5,))


CASES = {
    "MNIST network, SGD": (Convolutional, images, lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)),
    "transformer, AdamW": (Transformer, text, lambda p: torch.optim.AdamW(p, lr=3e-3)),
    "recurrent layers, SGD": (Recurrent, sequences, lambda p: torch.optim.SGD(p, lr=0.2)),
    "perceptron, RMSprop": (perceptron, vectors, lambda p: torch.optim.RMSprop(p, lr=1e-2)),
}


def train(case, device):
    make, data, optimizer = CASES[case]
    torch.manual_seed(1)
    model = make().to(device)
    x, y = (t.to(device) for t in data())
    optimizer = optimizer(model.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    losses, compiled = [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        out = model(x)
        loss = F.cross_entropy(out.reshape(-1, out.shape[-1]), y.reshape(-1))
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        compiled.append(torch._C._counters()["kernels_compiled"])
    assert all(p.device.type == device and p.grad.device.type == device for p in model.parameters())
    return losses, compiled, [p.detach().cpu() for p in model.parameters()]


@pytest.mark.parametrize("case", CASES)
def test_losses_are_those_of_the_processor(case):
    there, compiled, weights = train(case, "cuda")
    here, _, want = train(case, "cpu")
    assert here[-1] < here[0]
    for step, (a, b) in enumerate(zip(there, here)):
        assert abs(a - b) <= 1e-4 * abs(b), f"step {step}: {a} and {b}"
    for a, b in zip(weights, want):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    # The second step may differ from the first: momentum is born in it.
    assert compiled[3] == compiled[-1]


def test_the_example_network_in_evaluation():
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "..", "examples", "mnist"))
    sys.modules.setdefault("torch", torch)
    try:
        torch.install_as_torch()
        from model import Net
    finally:
        sys.path.pop(0)
    torch.manual_seed(0)
    model = Net().eval()
    x = torch.randn(2, 1, 28, 28)
    want = model(x)
    torch.testing.assert_close(model.to("cuda")(x.cuda()).cpu(), want, rtol=1e-4, atol=1e-5)
