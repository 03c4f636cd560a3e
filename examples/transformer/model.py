"""A GPT: decoder-only transformer with learned positions and pre-normalisation (Radford et al., 2019)."""

import torch
from torch import nn
import torch.nn.functional as F


class Attention(nn.Module):
    """Causal self-attention of several heads."""

    def __init__(self, heads, width, dropout):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout = dropout
        self.residual_dropout = nn.Dropout(dropout)

    def forward(self, x):
        n, t, width = x.shape
        q, k, v = self.qkv(x).split(width, dim=2)
        split = lambda y: y.view(n, t, self.heads, width // self.heads).transpose(1, 2)
        p = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(split(q), split(k), split(v), dropout_p=p, is_causal=True)
        y = y.transpose(1, 2).contiguous().view(n, t, width)
        return self.residual_dropout(self.out(y))


class Block(nn.Module):
    """Attention, then a network on each position; each added to what comes in."""

    def __init__(self, heads, width, dropout):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(heads, width, dropout)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """Scores of the next character at every position."""

    def __init__(self, characters, context, layers, heads, width, dropout):
        super().__init__()
        self.context = context
        self.tokens = nn.Embedding(characters, width)
        self.positions = nn.Embedding(context, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList([Block(heads, width, dropout) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, characters, bias=False)
        self.apply(self.initialise)

    @staticmethod
    def initialise(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, mean=0.0, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, x, target=None):
        x = self.dropout(self.tokens(x) + self.positions(torch.arange(x.shape[1], device=x.device)))
        for block in self.blocks:
            x = block(x)
        scores = self.head(self.norm(x))
        if target is None:
            return scores, None
        return scores, F.cross_entropy(scores.view(-1, scores.shape[-1]), target.view(-1))

    @torch.no_grad()
    def generate(self, x, count):
        """`x` `[n, t]` with `count` more characters drawn after it."""
        for _ in range(count):
            scores, _ = self(x[:, -self.context :])
            probabilities = F.softmax(scores[:, -1], dim=-1)
            x = torch.cat([x, torch.multinomial(probabilities, num_samples=1)], dim=1)
        return x
