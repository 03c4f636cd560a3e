"""Which names a checkpoint may use, and what each does.

Two tables. The first is for `weights_only=True`, the default: tensors and plain data. The second adds what
`weights_only=False` is mostly asked for: whole modules, as instances of classes that this program already has,
made without calling their constructors. Neither imports or calls anything because a file says so. What else a
program trusts it names itself, by `torch.serialization.add_safe_globals`.
"""
import collections
import sys
import types

from . import _C, _utils
from ._weights_only_unpickler import Builder, UnpicklingError
from .storage import STORAGE_DTYPES

_PACKAGE = __package__
# By their names in files: those of this package are PyTorch's there.
_safe_globals = {}


def _name_in_files(obj):
    """The dotted name that a checkpoint has for a class or a function."""
    # The function of an operator is bound to its number, and named as that number's attribute.
    is_operator = isinstance(obj, types.BuiltinFunctionType)
    name = f"{obj.__module__}.{obj.__name__ if is_operator else obj.__qualname__}"
    return "torch" + name[len(_PACKAGE) :] if name.startswith(f"{_PACKAGE}.") else name


def _encode(text, encoding="latin1"):
    """`_codecs.encode` for the encodings that pickles of bytes use."""
    if type(text) is not str or encoding not in ("latin1", "latin-1", "ascii", "utf-8"):
        raise UnpicklingError("only plain text encodings may be used")
    return text.encode(encoding)


def _list_of(value):
    if type(value) not in (list, tuple, dict, str, bytes, set, frozenset):
        raise UnpicklingError("not plain data")
    return value


def _mapping(cls):
    """A dictionary type, from nothing, a dictionary or a list of pairs."""

    def call(items=()):
        made = cls()
        for key, value in items.items() if type(items) is dict else items:
            dict.__setitem__(made, key, value)
        return made

    def ordered(items=()):
        return cls(items.items() if isinstance(items, dict) else [tuple(pair) for pair in items])

    return ordered if cls is collections.OrderedDict else call


# NumPy's arrays and scalars, which old checkpoints are full of. NumPy checks the bytes against shape and dtype.


def _numpy_dtype(text, align=False, copy=False):
    import re

    import numpy

    if type(text) is not str or not re.fullmatch(r"[<>=|]?[biufcSUV?][0-9]{0,4}", text):
        raise UnpicklingError(f"a NumPy dtype that is not a plain one: {text!r}")
    return numpy.dtype(text, False, True)


def _numpy_array(cls, shape=(0,), typecode=b"b"):
    import numpy

    return numpy.ndarray.__new__(numpy.ndarray, (0,), numpy.int8)


def _numpy_scalar(dtype, data):
    import numpy

    if not isinstance(dtype, numpy.dtype) or dtype.hasobject or type(data) is not bytes or len(data) != dtype.itemsize:
        raise UnpicklingError("a NumPy scalar that is not plain data")
    return numpy.frombuffer(data, dtype)[0]


def _numpy_frombuffer(data, dtype, shape, order):
    import numpy

    if dtype.hasobject:
        raise UnpicklingError("a NumPy array of objects")
    return numpy.frombuffer(bytearray(data), dtype).reshape(shape, order=order)


def _set_numpy_state(target, state):
    """`__setstate__` of a NumPy array or dtype, for plain numeric contents only."""
    import numpy

    if isinstance(target, numpy.dtype):
        version, order, subdtype, names, fields = state[:5]
        if order not in ("<", ">", "=", "|") or any(part is not None for part in (subdtype, names, fields)):
            raise UnpicklingError("a NumPy dtype that is not a plain one")
        target.__setstate__((3, order, None, None, None, -1, -1, 0))
        return
    version, shape, dtype, fortran, data = state
    if not isinstance(dtype, numpy.dtype) or dtype.hasobject or type(data) is not bytes:
        raise UnpicklingError("a NumPy array that is not plain data")
    target.__setstate__((1, tuple(shape), dtype, bool(fortran), data))


def _table_of_data():
    from ._tensor import Tensor

    table = {
        "collections.OrderedDict": Builder(
            "collections.OrderedDict", call=_mapping(collections.OrderedDict), new=lambda: collections.OrderedDict(), value=collections.OrderedDict
        ),
        "collections.Counter": Builder("collections.Counter", call=_mapping(collections.Counter), value=collections.Counter),
        "_codecs.encode": Builder("_codecs.encode", call=_encode),
        "builtins.bytearray": Builder("builtins.bytearray", call=_bytearray, value=bytearray),
        "builtins.set": Builder("builtins.set", call=lambda items=(): set(_list_of(items)), value=set),
        "builtins.frozenset": Builder("builtins.frozenset", call=lambda items=(): frozenset(_list_of(items)), value=frozenset),
        "builtins.complex": Builder("builtins.complex", call=complex, value=complex),
        "torch.Size": Builder("torch.Size", call=_size, new=_size, value=_C.Size),
        "torch.device": Builder("torch.device", call=_device, value=_C.device),
        "torch.Tensor": Builder("torch.Tensor", value=Tensor),
        "torch.nn.parameter.Parameter": Builder("torch.nn.parameter.Parameter", call=_parameter, value=_LazyParameter),
        "torch.serialization._get_layout": Builder("torch.serialization._get_layout", call=_layout),
        "torch._tensor._rebuild_from_type_v2": Builder("torch._tensor._rebuild_from_type_v2", call=_rebuild_from_type),
        "torch.storage.UntypedStorage": Builder("torch.storage.UntypedStorage", value="UntypedStorage"),
    }
    for name in (
        "_rebuild_tensor",
        "_rebuild_tensor_v2",
        "_rebuild_tensor_v3",
        "_rebuild_parameter",
        "_rebuild_parameter_with_state",
    ):
        function = getattr(_utils, name)
        table[f"torch._utils.{name}"] = Builder(f"torch._utils.{name}", call=function, value=_Rebuild(function))
    for name in STORAGE_DTYPES:
        table[f"torch.{name}"] = table[f"torch.storage.{name}"] = Builder(f"torch.{name}", value=name)
    for name in dir(_C):
        if isinstance(getattr(_C, name), (_C.dtype, _C.memory_format)):
            table[f"torch.{name}"] = getattr(_C, name)
    for package in ("numpy.core.multiarray", "numpy._core.multiarray"):
        table[f"{package}._reconstruct"] = Builder(f"{package}._reconstruct", call=_numpy_array)
        table[f"{package}.scalar"] = Builder(f"{package}.scalar", call=_numpy_scalar)
    for package in ("numpy.core.numeric", "numpy._core.numeric"):
        table[f"{package}._frombuffer"] = Builder(f"{package}._frombuffer", call=_numpy_frombuffer)
    table["numpy.dtype"] = Builder("numpy.dtype", call=_numpy_dtype)
    table["numpy.ndarray"] = Builder("numpy.ndarray", value="numpy.ndarray")
    return table


class _Rebuild:
    """A rebuilding function mentioned as data, which `_rebuild_from_type_v2` is given."""

    def __init__(self, function):
        self.function = function


class _LazyParameter:
    """Stands for the class `Parameter` as data, so that reading a state_dict does not import `nn`."""


def _bytearray(*arguments):
    if arguments and type(arguments[0]) is str:
        return bytearray(_encode(*arguments))
    if arguments and type(arguments[0]) not in (bytes, list):
        raise UnpicklingError("bytearray of something that is not bytes")
    return bytearray(*arguments[:1])


def _size(sizes=()):
    return _C.Size(tuple(sizes))


def _device(kind, index=None):
    return _C.device(kind) if index is None else _C.device(kind, index)


def _layout(name):
    layout = getattr(_C, name.rpartition(".")[2], None)
    if layout is None:
        raise UnpicklingError(f"no layout {name!r}")
    return layout


def _parameter(data=None, requires_grad=True):
    return _utils._rebuild_parameter(data, requires_grad, None)


def _rebuild_from_type(function, kind, arguments, state):
    if not isinstance(function, _Rebuild):
        raise UnpicklingError("_rebuild_from_type_v2 of a function that does not make tensors")
    if kind is _LazyParameter:
        from .nn.parameter import Parameter as kind
    return _utils._rebuild_from_type_v2(function.function, kind, arguments, state)


# Whole modules.


def _state_of_slots(target, state):
    """What `pickle` does to an object that has no `__setstate__` of its own."""
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    if state:
        target.__dict__.update(state)
    for name, value in (slots or {}).items():
        object.__setattr__(target, name, value)


def _table_of_objects():
    """What `weights_only=False` allows besides: plain containers and records of the standard library."""
    import argparse
    import datetime
    import pathlib
    import types

    factories = {"list": list, "dict": dict, "int": int, "float": float, "str": str, "bool": bool, "tuple": tuple, "object": None}
    table = {f"builtins.{name}": Builder(f"builtins.{name}", value=kind) for name, kind in factories.items() if kind}
    table["builtins.slice"] = Builder("builtins.slice", call=slice, value=slice)
    table["builtins.range"] = Builder("builtins.range", call=range, value=range)
    table["builtins.object"] = Builder("builtins.object", value=object)
    table["collections.deque"] = Builder("collections.deque", call=lambda items=(), limit=None: collections.deque(items, limit), value=collections.deque)
    table["collections.defaultdict"] = Builder("collections.defaultdict", call=_defaultdict, value=collections.defaultdict)
    for kind in (argparse.Namespace, types.SimpleNamespace):
        name = f"{kind.__module__}.{kind.__name__}"
        table[name] = Builder(name, call=lambda kind=kind, **values: kind(**values), new=lambda kind=kind: kind(), value=kind)
    for name in ("date", "time", "datetime", "timedelta", "timezone"):
        kind = getattr(datetime, name)
        table[f"datetime.{name}"] = Builder(f"datetime.{name}", call=kind, value=kind)
    for name in ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"):
        # Paths of another system are kept as this system's.
        kind = pathlib.PurePath if name.startswith("Pure") else pathlib.Path
        for module in ("pathlib", "pathlib._local"):
            table[f"{module}.{name}"] = Builder(f"{module}.{name}", call=lambda *parts, kind=kind: kind(*parts), value=kind)
    return table


def _defaultdict(factory=None, items=()):
    if factory not in (None, list, dict, int, float, str, bool, tuple, set, frozenset, collections.OrderedDict):
        raise UnpicklingError("a defaultdict with a factory that is not a plain type")
    return collections.defaultdict(factory, items)


def _resolve(name):
    """The object that a dotted name means in what is loaded already, with `torch` meaning this package."""
    if name == "torch" or name.startswith("torch."):
        name = _PACKAGE + name[len("torch") :]
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:cut]))
        if module is None and parts[0] == _PACKAGE and parts[1:2] in (["nn"], ["optim"]):
            module = _own_module(".".join(parts[:cut]))
        if module is not None:
            found = module
            for part in parts[cut:]:
                found = getattr(found, part, None)
            return found
    return None


def _own_module(name):
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _class_of_program(name):
    """The class or function of that name which a checkpoint of whole objects may use, or None.

    It is a module, optimizer, schedule, dataset, sampler or tensor of this package, or a subclass of one that the
    program has imported; or a class that the main program itself defines. Functions are this package's.
    """
    import enum
    import types

    found = _resolve(name)
    own = name.startswith(("torch.", _PACKAGE + "."))
    if isinstance(found, (types.FunctionType, types.BuiltinFunctionType)):
        # A function may be mentioned (an activation kept by a layer), and is not called.
        return Builder(name, value=found) if own or found.__module__ == "__main__" else None
    if not isinstance(found, type) or issubclass(found, BaseException):
        return None
    from ._tensor import Tensor
    from .nn import Module
    from .optim import Optimizer
    from .optim.lr_scheduler import LRScheduler
    from .utils.data import Dataset, Sampler

    kinds = (Module, Tensor, Optimizer, LRScheduler, Dataset, Sampler)
    if not (issubclass(found, kinds) or found.__module__ == "__main__"):
        return None
    if issubclass(found, enum.Enum):
        return Builder(name, call=found, value=found)
    return Builder(name, new=lambda *arguments: found.__new__(found, *arguments), value=found)


def _reconstructor(table):
    """`copyreg._reconstructor`, which protocols 0 and 1 make objects with."""

    def call(cls, base, state):
        if not isinstance(cls, type):
            raise UnpicklingError("an object without a class")
        entry = _class_of_program(f"{cls.__module__}.{cls.__qualname__}")
        if entry is None or entry.new is None or state is not None:
            raise UnpicklingError(f"an object of the class {cls.__module__}.{cls.__qualname__}")
        return entry.new()

    return Builder("copyreg._reconstructor", call=call)


class Globals:
    """Looks names up for one `load`."""

    def __init__(self, weights_only):
        self.weights_only = weights_only
        self.table = _table_of_data()
        if not weights_only:
            self.table = {**_table_of_objects(), **self.table}
            self.table["copyreg._reconstructor"] = _reconstructor(self.table)

    def find(self, name):
        """The table's entry for a dotted name. Raises UnpicklingError for a name that is not allowed."""
        entry = self.table.get(name)
        if entry is not None:
            return entry
        if name in _safe_globals:
            trusted = _safe_globals[name]
            new = (lambda *arguments, **keywords: trusted.__new__(trusted, *arguments, **keywords)) if isinstance(trusted, type) else None
            return Builder(name, call=trusted if callable(trusted) else None, new=new, value=trusted)
        if self.weights_only:
            raise UnpicklingError(
                f"Unsupported global: GLOBAL {name} was not an allowed global by default. Please use "
                f"`torch.serialization.add_safe_globals([{name.rpartition('.')[2]}])` or the "
                f"`torch.serialization.safe_globals([{name.rpartition('.')[2]}])` context manager to allowlist this "
                "global if you trust this class/function."
            )
        entry = _class_of_program(name)
        if entry is None:
            raise UnpicklingError(
                f"Unsupported global: GLOBAL {name}. tiny_torch does not import or call what a file names, with "
                "weights_only=False either: it makes modules of this package, and classes that the program has defined "
                "or imported. If you trust the file, import what it needs and allow it by "
                f"`torch.serialization.add_safe_globals([{name.rpartition('.')[2]}])`, or pass `pickle_module=pickle`."
            )
        self.table[name] = entry
        return entry

    def set_state(self, target, state):
        """What BUILD does to `target`."""
        from ._tensor import Tensor

        if isinstance(target, Builder):
            raise UnpicklingError(f"Can only build Tensor, Parameter, OrderedDict or types allowlisted via `add_safe_globals`, but got {target.name}")
        kind = type(target)
        if kind is collections.OrderedDict:
            target.__dict__.update(state)
        elif isinstance(target, Tensor):
            _utils._with_attributes(target, state)
        elif kind.__module__.partition(".")[0] == "numpy":
            _set_numpy_state(target, state)
        elif _name_in_files(kind) in _safe_globals or not self.weights_only and _may_have_state(kind):
            # The class is the program's own, and so is its code.
            setter = getattr(kind, "__setstate__", None)
            if setter is not None:
                setter(target, state)
            else:
                _state_of_slots(target, state)
        else:
            raise UnpicklingError(
                "Can only build Tensor, Parameter, OrderedDict or types allowlisted via `add_safe_globals`, but got "
                f"{kind}"
            )


def _may_have_state(kind):
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name in ("argparse.Namespace", "types.SimpleNamespace", "collections.deque", "collections.defaultdict", "collections.Counter"):
        return True
    return _class_of_program(name) is not None
