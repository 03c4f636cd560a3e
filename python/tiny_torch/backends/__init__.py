"""Switches of PyTorch's back ends. Programs set them; here there is one back end, which has none of them."""

from . import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp, opt_einsum, quantized

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum", "quantized"]

fp32_precision = "ieee"


def disable_global_flags():
    """Accepted."""
