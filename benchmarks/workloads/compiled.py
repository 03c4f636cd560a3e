"""Whether the functions of a workload go through PyTorch's own compiler, which is one of the peers."""

import torch

# Set by the worker that stands for it, before a workload is made.
on = False


def compiled(function, **options):
    """`function`, or what `torch.compile` makes of it where that is the peer."""
    return torch.compile(function, **options) if on else function
