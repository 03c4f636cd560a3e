"""The type stubs: what is on disk is what the operator table gives. `TTK_BLESS=1` writes them anew."""
import ast
import importlib.util
import os
import pathlib

import pytest
import tiny_torch as torch

SOURCE = pathlib.Path(__file__).parent.parent


def stubs():
    spec = importlib.util.spec_from_file_location("stubs", SOURCE / "stubs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rendered():
    return stubs().render()


def test_the_stubs_on_disk_are_those_of_the_table(rendered):
    for path, text in rendered.items():
        place = SOURCE / "tiny_torch" / path
        if os.environ.get("TTK_BLESS") == "1":
            place.write_text(text, encoding="utf-8")
        found = place.read_text(encoding="utf-8") if place.exists() else ""
        assert found == text, f"{path} is not what the operator table gives: run with TTK_BLESS=1"


def names_of(text, cls=None):
    """The functions, imports and variables that a stub declares."""
    body = ast.parse(text).body
    if cls is not None:
        (body,) = (node.body for node in body if isinstance(node, ast.ClassDef) and node.name == cls)
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.AnnAssign):
            yield node.target.id


def test_every_operator_has_its_stub(rendered):
    table = torch._C._operators()
    assert len(table) > 300
    methods = set(names_of(rendered["_C.pyi"], "TensorBase"))
    assert {"shape", "dtype", "view", "add_", "__add__", "__getitem__", "__rsub__", "backward"} - methods == {"backward"}
    places = {"torch": "_C.pyi", "nn.functional": "nn/functional.pyi", "linalg": "linalg.pyi", "special": "special.pyi", "fft": "fft.pyi"}
    functions = {space: set(names_of(rendered[path])) for space, path in places.items()}
    for operator in table:
        name = operator["name"]
        assert operator["doc"] and operator["overloads"], name
        assert not operator["function"] or name.startswith("_") or name in functions[operator["space"]] or hasattr(torch.nn.functional, name)
        assert not operator["method"] or name in methods
        assert not operator["in_place"] or name + "_" in methods


def test_every_public_name_has_its_stub(rendered):
    declared = set(names_of(rendered["__init__.pyi"]))
    public = {name for name in dir(torch) if not name.startswith("_")}
    assert public - declared <= {name for name in public if type(getattr(torch, name)).__name__ == "module"}
    assert {"add", "Tensor", "nn", "float32", "no_grad", "manual_seed", "save", "einsum"} <= declared


def test_signatures(rendered):
    assert "def add(input: Tensor, other: Tensor | Number, *, alpha: Number = 1, out: Any = None) -> Tensor: ..." in rendered["_C.pyi"]
    assert "    def view(self, *size: _int) -> Tensor: ..." in rendered["_C.pyi"]
    assert "def max(input: Tensor, dim: _int, keepdim: _bool = False" in rendered["_C.pyi"]


def test_the_package_says_that_it_is_typed():
    folder = pathlib.Path(torch.__file__).parent
    assert (folder / "py.typed").exists() and (folder / "__init__.pyi").exists()
