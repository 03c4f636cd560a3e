"""Which version of PyTorch's interface this is, and which version of tiny_torch."""

__version__ = "2.15.0+tiny"
tiny_torch = "0.1.0"
debug = False
cuda = None
hip = None
xpu = None
rocm = None
git_version = "unknown"
