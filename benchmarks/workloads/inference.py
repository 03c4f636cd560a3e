"""Trained networks at work, without derivatives."""

import functools

import torch
import torch.nn.functional as F
from torch import nn

from .compiled import compiled
from .kernels import repeated
from .resnet import resnet18
from .training import example


def resnet_parts(batch, device):
    torch.manual_seed(0)
    model = resnet18().to(device).eval()
    return model, torch.randn(batch, 3, 224, 224).to(device)


class Scores(nn.Module):
    """The scores of a GPT, without the loss."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)[0]


def gpt2_parts(device):
    torch.manual_seed(0)
    model = example("transformer").GPT(50257, 1024, 12, 12, 768, 0.0).to(device).eval()
    return Scores(model), torch.randint(0, 50257, (1, 128)).to(device)


def forward(parts, device):
    model, x = parts(device)
    compute = compiled(torch.no_grad()(lambda: model(x)))
    return repeated(device, compute)


class Decoder(nn.Module):
    """GPT-2 small, one token at a time: keys and values of earlier tokens are kept."""

    def __init__(self, layers=12, heads=12, width=768, vocabulary=50257, context=256):
        super().__init__()
        self.heads, self.context = heads, context
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        norm, linear = (lambda: nn.LayerNorm(width)), nn.Linear
        self.norm1 = nn.ModuleList([norm() for _ in range(layers)])
        self.norm2 = nn.ModuleList([norm() for _ in range(layers)])
        self.qkv = nn.ModuleList([linear(width, 3 * width) for _ in range(layers)])
        self.out = nn.ModuleList([linear(width, width) for _ in range(layers)])
        self.up = nn.ModuleList([linear(width, 4 * width) for _ in range(layers)])
        self.down = nn.ModuleList([linear(4 * width, width) for _ in range(layers)])
        self.norm = norm()

    def cache(self):
        width = self.tokens.weight.shape[1] // self.heads
        shape = (1, self.heads, self.context, width)
        empty = lambda: torch.zeros(shape, device=self.tokens.weight.device)
        return [(empty(), empty()) for _ in self.qkv]

    def forward(self, token, place, mask, cache):
        """Scores `[1, vocabulary]` of the token after `token` `[1]`, which stands at `place` `[1]`."""
        x = self.tokens(token) + self.places(place)
        for i, (keys, values) in enumerate(cache):
            q, k, v = (t.view(1, self.heads, 1, -1) for t in self.qkv[i](self.norm1[i](x)).chunk(3, dim=-1))
            keys.index_copy_(2, place, k)
            values.index_copy_(2, place, v)
            mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
            x = x + self.out[i](mixed.reshape(1, -1))
            x = x + self.down[i](F.gelu(self.up[i](self.norm2[i](x))))
        return self.norm(x) @ self.tokens.weight.T


def decode(device, count=64):
    torch.manual_seed(0)
    model = Decoder().to(device).eval()
    next_scores = compiled(model)
    positions = torch.arange(model.context).to(device)

    @torch.no_grad()
    def compute():
        token, cache, chosen = torch.zeros(1, dtype=torch.long, device=device), model.cache(), []
        for at in range(count):
            place = positions[at : at + 1]
            token = next_scores(token, place, (positions <= place).view(1, 1, 1, -1), cache).argmax(-1)
            chosen.append(token)
        return torch.cat(chosen)

    return repeated(device, compute)


def resnet(batch, device):
    return forward(functools.partial(resnet_parts, batch), device)


WORKLOADS = {
    "ResNet-18 224x224 inference, batch 1": (functools.partial(resnet, 1), 1.1, ("ONNX Runtime",)),
    "ResNet-18 224x224 inference, batch 8": (functools.partial(resnet, 8), 1.1, ("ONNX Runtime",)),
    "GPT-2 small, 128 tokens forward": (functools.partial(forward, gpt2_parts), 1.1, ("Inductor", "ONNX Runtime"), 5e-3),
    "GPT-2 small, decoding 64 tokens": (decode, 1.3, ("Inductor", "ONNX Runtime")),
}
