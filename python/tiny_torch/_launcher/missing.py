"""Stand-ins for names that PyTorch has and this package does not: they import, and fail when used."""


class MissingName:
    """A name of PyTorch that is not here. Reading attributes of it gives more of the same; calling it raises."""

    def __init__(self, dotted):
        self.__dict__["__name__"] = dotted.rpartition(".")[2]
        self.__dict__["__qualname__"] = self.__name__
        self.__dict__["__module__"] = dotted.rpartition(".")[0]
        self.__dict__["_dotted"] = dotted

    def _fail(self, *args, **kwargs):
        raise NotImplementedError(f"{self._dotted} is part of PyTorch, but tiny_torch does not have it yet")

    __call__ = __iter__ = __len__ = __bool__ = __enter__ = __exit__ = __add__ = __mul__ = __int__ = __float__ = _fail

    def __getattr__(self, name):
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(f"{self._dotted} has no attribute '{name}'")
        return MissingName(f"{self._dotted}.{name}")

    def __getitem__(self, key):
        return self

    # Annotations and `isinstance` with a missing class are harmless: nothing is an instance of it.

    def __instancecheck__(self, instance):
        return False

    def __subclasscheck__(self, cls):
        return False

    def __or__(self, other):
        from typing import Any, Union

        return Union[Any, other] if not isinstance(other, MissingName) else Any

    __ror__ = __or__

    def __mro_entries__(self, bases):
        dotted, fail = self._dotted, self._fail
        return (type(self.__name__, (), {"__init__": lambda self, *args, **kwargs: fail(), "_missing": dotted}),)

    def __repr__(self):
        return f"<{self._dotted}: not in tiny_torch>"
