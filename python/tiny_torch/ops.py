"""Operators by namespace: `torch.ops.aten.add`, and those registered by `torch.library`."""
from ._ops_namespace import OpNamespace

loaded_libraries = set()


def load_library(path):
    """Compiled libraries of operators need PyTorch's C++ library."""
    raise OSError(f"{path}: tiny_torch cannot load operators that are compiled against PyTorch")


def import_module(module):
    import importlib

    importlib.import_module(module)


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    value = globals()[name] = OpNamespace(name)
    return value
