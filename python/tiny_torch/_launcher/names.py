"""Which names PyTorch has, so that what is not here yet can be told from what never was."""

_table = None


def _load():
    """Reads `pytorch_names.txt`: `module: name name ...` a line; a module alone on its line has any name."""
    global _table
    if _table is None:
        import os

        table = {}
        path = os.path.join(os.path.dirname(__file__), "pytorch_names.txt")
        with open(path, encoding="utf-8") as file:
            for line in file:
                if not line.startswith("#"):
                    module, colon, names = line.partition(":")
                    table[module.strip()] = frozenset(names.split()) if colon else None
        _table = table
    return _table


def is_pytorch_module(name):
    """Whether PyTorch has a module of this dotted name (which begins with "torch").

    What is inside its private packages (`torch._inductor.config`) is not listed, and is taken to be there.
    """
    if name == "torch.Tensor":
        return False
    table = _load()
    if name in table:
        return True
    package = ".".join(name.split(".")[:2])
    return package.startswith("torch._") and name != package and package in table


def is_pytorch_package(name):
    """Whether PyTorch has modules inside the module of this name."""
    inside = name + "."
    return any(module.startswith(inside) for module in _load())


def pytorch_has(module, name):
    """Whether PyTorch's `module` (or the class `torch.Tensor`) has `name`."""
    if name.startswith("__"):
        return False
    table = _load()
    if f"{module}.{name}" in table:
        return True
    return module in table and (table[module] is None or name in table[module])
