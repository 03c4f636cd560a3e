"""One model over sequences of a hundred lengths."""

import torch

from .compiled import compiled
from .kernels import sample, synchronize
from .training import example

# In an order without a pattern, from 16 to 115 tokens.
LENGTHS = [16 + i * 37 % 100 for i in range(100)]


def gpt_lengths(device):
    """A step is the forward pass of the next length; the result is scores of the last one."""
    torch.manual_seed(0)
    model = example("transformer").GPT(65, 128, 2, 4, 128, 0.0).to(device).eval()
    tokens = torch.randint(0, 65, (1, 128)).to(device)
    call, at, last = compiled(torch.no_grad()(lambda x: model(x)[0]), dynamic=True), [0], []

    def step():
        n = LENGTHS[at[0] % len(LENGTHS)]
        at[0] += 1
        last[:] = [call(tokens[:, :n])]
        synchronize(device)

    return step, lambda: sample(last[0])


# Named peers are the ones it is compared with: compiling is what is measured.
WORKLOADS = {"100 sequence lengths, compiles included": (gpt_lengths, 10, ("Inductor",))}
