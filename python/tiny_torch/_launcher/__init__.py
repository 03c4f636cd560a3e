"""Running programs that import `torch` on this package."""


def install_as_torch():
    """Makes `import torch`, in this process and from now on, give this package."""
    from .alias import install_as_torch

    install_as_torch()
