"""What `torch.ops` is made of."""


class OpNamespace:
    """`torch.ops.namespace`: operators by attribute."""

    def __init__(self, name):
        self.name = name

    def __getattr__(self, op):
        if op.startswith("__"):
            raise AttributeError(op)
        from . import library

        found = library._operators.get(f"{self.name}::{op}")
        if found is not None:
            return found
        if self.name in ("aten", "prims", "prim"):
            from . import _C

            native = getattr(_C, op, None)
            if native is not None:
                return OpOverloadPacket(op, native)
        raise AttributeError(f"'_OpNamespace' '{self.name}' object has no attribute '{op}'")


class OpOverloadPacket:
    """An operator whose overloads are all the same function."""

    def __init__(self, name, function):
        self.__name__ = name
        self._function = function

    def __call__(self, *args, **kwargs):
        return self._function(*args, **kwargs)

    def __getattr__(self, overload):
        if overload.startswith("__"):
            raise AttributeError(overload)
        return self
