"""Writes the type stubs of the package: `python python/stubs.py`, with the package installed.

What the operators take and return is read from the native module's table, and what else there is from the modules
themselves, so that each stands in one place only. `tests/test_stubs.py` fails when a stub on disk is another.
"""
import ast
import inspect
import keyword
import pathlib
import re
import sys
import types

PACKAGE = "tiny_torch"
FOLDER = pathlib.Path(__file__).parent / PACKAGE

HEADER = """# Made by python/stubs.py from the operator table. Not to be edited.
from typing import Any, Sequence, TypeAlias, overload

"""

# Attributes and functions of these modules have the names of types: `Tensor.dtype`, `torch.int`.
ALIASES = {name: f"_{name}" for name in ("int", "float", "bool", "dtype", "device", "layout", "memory_format")}

# The names by which other stubs know the types of `_C.pyi`.
TYPES = (*sorted(ALIASES.values()), "Generator", "Number", "Size")

CLASSES = """import builtins

from ._tensor import Tensor as Tensor

_int: TypeAlias = builtins.int
_float: TypeAlias = builtins.float
_bool: TypeAlias = builtins.bool
Number: TypeAlias = _int | _float | _bool

class Size(tuple[_int, ...]):
    def numel(self) -> _int: ...

class OutOfMemoryError(RuntimeError): ...
"""

RETURNS = {
    "Tensor": "Tensor",
    "Tensor[]": "tuple[Tensor, ...]",
    "bool": "_bool",
    "int": "_int",
    "dtype": "_dtype",
}

# Functions that take tensors one by one too.
SEVERAL = ("atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "broadcast_tensors", "cartesian_prod", "chain_matmul", "meshgrid")

ARITHMETIC = "add sub mul truediv floordiv mod matmul pow and or xor lshift rshift".split()
COMPARISONS = "eq ne lt le gt ge".split()


def _type(text):
    """A type of the table, with names that attributes do not hide."""
    return re.sub(r"\b(int|float|bool|dtype|device|layout|memory_format)\b", lambda m: ALIASES[m[0]], text)


def _returns(text):
    if text in RETURNS:
        return RETURNS[text]
    if text.startswith("("):
        return f"tuple[{', '.join(['Tensor'] * (text.count(',') + 1))}]"
    return "Any"


def _default(param):
    """The default as the stub shows it; `...` where it is no plain number or word."""
    text = param["default"]
    if text is None:
        return " = None"
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return " = ..."
    return " = ..." if text.startswith("[") else f" = {text}"


def _parameters(params):
    """The text of each parameter, `*` included."""
    parts, star, defaults = [], False, False
    for param in params:
        if param["keyword_only"] and not star:
            star = True
            parts.append("*")
        name = param["name"] + ("_" if keyword.iskeyword(param["name"]) else "")
        kind = _type(param["type"]) + (" | None" if param["optional"] else "")
        given = param["default"] is not None or star and param["optional"] or defaults and not star
        defaults = defaults or given
        if given and param["default"] == "None" and not param["optional"]:
            kind += " | None"
        parts.append(f"{name}: {kind}{_default(param) if given else ''}")
    return parts


def _forms(operator, method):
    """The parameter lists of each overload, with what may be given several times, and its result."""
    for params, returns in operator["overloads"]:
        own = params[1:] if method else params
        yield _parameters(own), returns
        if own and own[0]["type"] == "Sequence[int]":
            rest = _parameters([{**p, "keyword_only": True} for p in own[1:]])
            yield [f"*{own[0]['name']}: _int", *(p for p in rest if p != "*")], returns
    if operator["name"] in SEVERAL:
        yield ["*tensors: Tensor"], operator["overloads"][-1][1]
    if operator["name"] == "einsum":
        yield ["equation: str", "*operands: Tensor"], "Tensor"


def definitions(operator, name, method=False, out=False, indent=""):
    """The `def`s of an operator under a name."""
    lines = []
    forms = list(_forms(operator, method))
    for parts, returns in forms:
        if out and "Tensor" in returns:
            parts = [*parts, *([] if any(p.startswith("*") for p in parts) else ["*"]), "out: Any = None"]
        parts = ["self", *parts] if method else parts
        if len(forms) > 1:
            lines.append(f"{indent}@overload")
        lines.append(f"{indent}def {name}({', '.join(parts)}) -> {_returns(returns)}: ...")
    return lines


def _signature(value):
    """The parameters of something that is not in the table, by name."""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (ValueError, TypeError):
        return "*args: Any, **kwargs: Any"
    parts, star = [], False
    for p in parameters:
        if p.kind is p.KEYWORD_ONLY and not star:
            parts.append("*")
        star = star or p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        mark = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        name = "self" if p.name in ("self", "slf", "$self") else p.name + ("_" if keyword.iskeyword(p.name) else "")
        kind = "" if name == "self" else ": Any"
        parts.append(f"{mark}{name}{kind}{'' if p.default is p.empty else ' = ...'}")
    return ", ".join(parts)


def _class(cls, skip=()):
    """A native class by its attributes."""
    lines = [f"class {cls.__name__}:"]
    if cls.__name__ in MADE:
        lines.append("    def __init__(self, *args: Any, **kwargs: Any) -> None: ...")
    for name in sorted(set(vars(cls)) - set(skip)):
        value = vars(cls)[name]
        if name.startswith("_") and name not in ("__len__", "__getitem__", "__float__", "__int__", "__bool__", "__index__"):
            continue
        if isinstance(value, types.GetSetDescriptorType):
            lines += ["    @property", f"    def {name}(self) -> {PROPERTIES.get(name, 'Any')}: ..."]
            if name in SETTERS:
                lines += [f"    @{name}.setter", f"    def {name}(self, value: Any) -> None: ..."]
        elif callable(value):
            lines.append(f"    def {name}({_signature(value)}) -> {PROPERTIES.get(name, 'Any')}: ...")
    return lines if len(lines) > 1 else [f"{lines[0]} ..."]


PROPERTIES = {
    "shape": "Size", "dtype": "_dtype", "device": "_device", "layout": "_layout", "ndim": "_int", "itemsize": "_int",
    "nbytes": "_int", "data": "Tensor", "grad": "Tensor | None", "requires_grad": "_bool", "is_leaf": "_bool",
    "dim": "_int", "numel": "_int", "item": "Number", "detach": "Tensor", "is_contiguous": "_bool", "type": "str",
    "__len__": "_int", "__getitem__": "Tensor", "__float__": "_float", "__int__": "_int", "__bool__": "_bool",
    "__index__": "_int",
}  # fmt: skip
MADE = ("device", "Generator", "finfo", "iinfo")
SETTERS = ("data", "grad", "requires_grad")


def native(torch, table):
    """`_C.pyi`: the classes, the operators of `torch`, and the tensor's methods."""
    _C = torch._C
    lines = [HEADER + CLASSES]
    for cls in (_C.dtype, _C.device, _C.layout, _C.memory_format, _C.Generator, _C.finfo, _C.iinfo):
        lines += [*_class(cls), ""]
    for name in ("dtype", "device", "layout", "memory_format"):
        lines.append(f"_{name}: TypeAlias = {name}" + (" | str | _int | None" if name == "device" else ""))
    operators = {o["name"]: o for o in table if o["space"] == "torch"}
    methods = [(o, o["name"]) for o in table if o["method"]] + [(o, o["name"] + "_") for o in table if o["in_place"]]
    tensor = _class(_C.TensorBase, {name for _, name in methods})
    for operator, name in sorted(methods, key=lambda pair: pair[1]):
        tensor += definitions(operator, name, method=True, indent="    ")
    for name in ARITHMETIC:
        tensor += [f"    def __{form}{name}__(self, other: Any) -> Tensor: ..." for form in ("", "r", "i") if form != "i" or name != "matmul"]
    tensor += [f"    def __{name}__(self, other: Any) -> Tensor: ...  # type: ignore[override]" for name in COMPARISONS]
    tensor += [f"    def __{name}__(self) -> Tensor: ..." for name in ("neg", "pos", "abs", "invert")]
    tensor += ["    def __setitem__(self, key: Any, value: Any) -> None: ..."]
    lines += ["", *tensor, ""]
    classes = {"dtype": "dtype", "layout": "layout", "memory_format": "memory_format", "Generator": "Generator"}
    for name in sorted(vars(_C)):
        value = getattr(_C, name)
        base, in_place = (name[:-1], True) if name.endswith("_") and name not in operators else (name, False)
        if name.startswith("_") or isinstance(value, (type, types.ModuleType)):
            continue
        if base in operators:
            lines += definitions(operators[base], name, out=operators[base]["out"] and not in_place)
        elif type(value).__name__ in classes:
            lines.append(f"{name}: {'_' if type(value).__name__ != 'Generator' else ''}{type(value).__name__}")
        elif callable(value):
            lines.append(f"def {name}({_signature(value)}) -> Any: ...")
    return "\n".join(lines) + "\n"


def _public(module):
    """Every public name of a module with its value; `TypeAlias` and the like of its own imports left out."""
    for name in sorted(set(dir(module))):
        if not name.startswith("_") and name not in ("annotations", "TYPE_CHECKING"):
            yield name, getattr(module, name)


def _relative(module, target):
    """`target` as an import in `module` (a package when it is the root) writes it."""
    inside = target[len(PACKAGE) :]
    up = module[len(PACKAGE) :].count(".")
    return "." * max(1, up) + inside[1:] if inside else "." * max(1, up)


def of_module(torch, table, name, space):
    """The stub of a module whose functions come from the table's `space` and from Python."""
    import importlib

    module = importlib.import_module(name)
    operators = {o["name"]: o for o in table if o["space"] == space}
    shared = {o["name"]: o for o in table if o["space"] == "torch"}
    here = [HEADER.rstrip("\n"), f"from {_relative(name, PACKAGE + '._C')} import {', '.join(TYPES)}"]
    here.append(f"from {_relative(name, PACKAGE + '._tensor')} import Tensor as Tensor")
    imports, body = [], []
    for key, value in _public(module):
        base = key[:-1] if key.endswith("_") and key not in operators else key
        origin = getattr(value, "__module__", None)
        if isinstance(value, types.BuiltinFunctionType) and (base in operators or base in shared):
            row = operators.get(base) or shared[base]
            body += definitions(row, key, out=row["out"] and base == key)
        elif isinstance(value, (types.FunctionType, type)) and str(origin).startswith(PACKAGE + ".") and origin != name:
            if getattr(value, "__qualname__", None) == key and key != "Tensor":
                imports.append(f"from {_relative(name, origin)} import {key} as {key}")
        elif isinstance(value, types.FunctionType) and origin == name:
            body.append(f"def {key}({_signature(value)}) -> Any: ...")
    return "\n".join([*here, *imports, "", *body]) + "\n"


def root(torch, table):
    """`__init__.pyi`: which module each name of the package comes from."""
    lines = [HEADER + "from ._tensor import Tensor as Tensor"]
    # What has been imported by now must make no difference.
    modules = {"autograd", "random", "version", *torch._MODULES}
    names = {key for key, value in _public(torch) if not isinstance(value, types.ModuleType)}
    for key in sorted(names | set(torch.functional.__all__) | {name for name in modules if not name.startswith("_")}):
        value = getattr(torch, key)
        origin = str(getattr(value, "__module__", ""))
        if isinstance(value, types.ModuleType):
            lines.append(f"from . import {key} as {key}")
        elif getattr(torch._C, key, None) is value:
            lines.append(f"from ._C import {key} as {key}")
        elif isinstance(value, (types.FunctionType, type)) and origin.startswith(PACKAGE + ".") and key != "Tensor":
            if inspect.isclass(value) and value.__name__ != key:
                continue
            lines.append(f"from {_relative(PACKAGE, origin)} import {value.__name__} as {key}")
        elif isinstance(value, float):
            lines.append(f"{key}: {type(value).__name__}")
        elif key != "Tensor":
            lines.append(f"{key}: Any")
    return "\n".join(lines) + "\n"


def render():
    """The text of every stub, by its path inside the package."""
    import importlib

    torch = importlib.import_module(PACKAGE)
    table = torch._C._operators()
    stubs = {"_C.pyi": native(torch, table), "__init__.pyi": root(torch, table)}
    for space in ("nn.functional", "linalg", "special", "fft"):
        stubs[space.replace(".", "/") + ".pyi"] = of_module(torch, table, f"{PACKAGE}.{space}", space)
    return stubs


def main():
    for path, text in render().items():
        (FOLDER / path).write_text(text, encoding="utf-8")
        print(f"{path}: {text.count(chr(10))} lines")


if __name__ == "__main__":
    # The source folder beside this script has no native module in it; the installed package has.
    sys.path[:] = [p for p in sys.path if pathlib.Path(p or ".").resolve() != FOLDER.parent.resolve()]
    main()
