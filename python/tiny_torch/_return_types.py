"""Named tuples that operators return, such as `torch.return_types.max(values=..., indices=...)`."""
import operator

_made = {}


class _Named(tuple):
    """A tuple whose items have names too."""

    __slots__ = ()
    _fields = ()

    def __new__(cls, *items):
        return tuple.__new__(cls, items[0] if len(items) == 1 and isinstance(items[0], (tuple, list)) else items)

    def __repr__(self):
        lines = ",\n".join(f"{name}={value!r}" for name, value in zip(self._fields, self))
        return f"torch.return_types.{type(self).__name__}(\n{lines})"

    def __reduce__(self):
        return _from_pickle, (type(self).__name__, self._fields, tuple(self))


def make(name, fields):
    """The class of the results of the operator `name`, made once."""
    if name not in _made:
        namespace = {"__slots__": (), "_fields": tuple(fields), "__module__": "torch.return_types"}
        namespace["n_fields"] = namespace["n_sequence_fields"] = len(fields)
        for position, field in enumerate(fields):
            namespace[field] = property(operator.itemgetter(position))
        _made[name] = type(name, (_Named,), namespace)
    return _made[name]


def _from_pickle(name, fields, items):
    return make(name, fields)(*items)
