"""How the native module's small objects are pickled and copied: by name, as this package's."""
import copyreg
import importlib
import types

from . import _C


def _named(name):
    return getattr(_C, name)


def _size(sizes):
    return _C.Size(sizes)


def _device(text):
    return _C.device(text)


def _generator(state, device="cpu"):
    generator = _C.Generator(device)
    generator._set_state_bytes(state)
    return generator


def _operator(module, name):
    return getattr(importlib.import_module(module), name)


def _place_of_operator(function):
    """The module of this package in which an operator's function is found under its name, or None for what else is built in."""
    module = getattr(function, "__module__", None)
    return module if isinstance(module, str) and module.partition(".")[0] == __package__ else None


def _reduce_builtin(function):
    # An operator's function is bound to its number, and would be pickled as that number's attribute.
    module = _place_of_operator(function)
    return function.__reduce_ex__(4) if module is None else (_operator, (module, function.__name__))


def _reduce_named(value):
    return _named, (str(value).rpartition(".")[2],)


for _kind in (_C.dtype, _C.layout, _C.memory_format):
    copyreg.pickle(_kind, _reduce_named)
copyreg.pickle(types.BuiltinFunctionType, _reduce_builtin)
copyreg.pickle(_C.Size, lambda value: (_size, (tuple(value),)))
copyreg.pickle(_C.device, lambda value: (_device, (str(value),)))
copyreg.pickle(_C.Generator, lambda value: (_generator, (value._state_bytes(), str(value.device))))
