"""The name `torch` bound to this package, for the length of the process.

Nothing here is installed: a real PyTorch on the machine is found again by the next interpreter that is
started without it.
"""
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types

from . import internals
from .missing import MissingName
from .names import is_pytorch_module, is_pytorch_package, pytorch_has

_PACKAGE = __name__.partition(".")[0]


def _ours(name):
    """The name in this package of the module that PyTorch calls `name`."""
    return _PACKAGE + name[len("torch") :]


def _theirs(name):
    """The name in PyTorch of the module that is called `name` here."""
    return "torch" + name[len(_PACKAGE) :]


def _complete(module):
    """Lets a module answer for the names that PyTorch's module of that name has and it does not."""
    namespace = module.__dict__
    if namespace.get("_completed_for_torch"):
        return
    namespace["_completed_for_torch"] = True
    own = namespace.get("__getattr__")
    dotted = _theirs(module.__name__)
    if "__path__" not in namespace and is_pytorch_package(dotted):
        # One file here, a package there: its submodules may be imported, and are stand-ins.
        namespace["__path__"] = []

    def __getattr__(name):
        if own is not None:
            try:
                return own(name)
            except AttributeError:
                if not pytorch_has(dotted, name):
                    raise
        elif not pytorch_has(dotted, name):
            raise AttributeError(f"module '{dotted}' has no attribute '{name}'")
        full = f"{dotted}.{name}"
        if is_pytorch_module(full):
            return importlib.import_module(full)
        value = namespace[name] = MissingName(full)
        return value

    namespace["__getattr__"] = __getattr__


class _CompletingLoader(importlib.abc.Loader):
    """Loads a module of this package as usual, then completes it."""

    def __init__(self, loader):
        self._loader = loader

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        _complete(module)

    def __getattr__(self, name):
        return getattr(self._loader, name)


class _AliasLoader(importlib.abc.Loader):
    """Loads `torch.x` by handing out the module `tiny_torch.x` itself."""

    def __init__(self, real_name):
        self._real_name = real_name

    def create_module(self, spec):
        module = importlib.import_module(self._real_name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module):
        # The import system has just put the alias's spec on the module.
        module.__spec__ = self._spec


class _MissingLoader(importlib.abc.Loader):
    """Makes a module of which every name is a stand-in."""

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        dotted = module.__name__
        module.__path__ = []
        module.__file__ = f"<{dotted}: not in tiny_torch>"

        def __getattr__(name):
            if not pytorch_has(dotted, name):
                raise AttributeError(f"module '{dotted}' has no attribute '{name}'")
            full = f"{dotted}.{name}"
            if is_pytorch_module(full):
                return importlib.import_module(full)
            return MissingName(full)

        module.__dict__["__getattr__"] = __getattr__


class _TorchFinder(importlib.abc.MetaPathFinder):
    """Finds `torch` and `torch.*` in this package, and the distribution `torch` in its own name."""

    def find_spec(self, name, path=None, target=None):
        if name == "torch" or name.startswith("torch."):
            return self._find_alias(name)
        if name.startswith(_PACKAGE + ".") and "._" not in name:
            spec = importlib.machinery.PathFinder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _CompletingLoader(spec.loader)
            return spec
        return None

    def _find_alias(self, name):
        real = _ours(name)
        if real in sys.modules or _exists(real):
            package = name == "torch" or hasattr(importlib.import_module(real), "__path__")
            return importlib.machinery.ModuleSpec(name, _AliasLoader(real), is_package=package)
        if is_pytorch_module(name):
            return importlib.machinery.ModuleSpec(name, _MissingLoader(), is_package=True)
        return None

    def find_distributions(self, context=None):
        wanted = getattr(context, "name", None)
        if wanted is None or wanted.replace("_", "-").lower() == "torch":
            return [_distribution()]
        return []


def _exists(name):
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, AttributeError, ValueError):
        return False


def _distribution():
    """What `importlib.metadata.version("torch")` and its like see."""
    from importlib import metadata

    class TorchDistribution(metadata.Distribution):
        def read_text(self, filename):
            if filename == "METADATA":
                from .. import version

                return f"Metadata-Version: 2.1\nName: torch\nVersion: {version.__version__}\n"
            return None

        def locate_file(self, path):
            import pathlib

            return pathlib.Path(__file__).parent / path

    return TorchDistribution()


_finder = _TorchFinder()


def install_as_torch():
    """Makes `import torch`, in this process and from now on, give this package.

    Raises RuntimeError when PyTorch itself has been imported already. Calling it again does nothing.
    """
    package = sys.modules[_PACKAGE]
    loaded = sys.modules.get("torch")
    if loaded is package:
        return
    if loaded is not None:
        raise RuntimeError("install_as_torch: PyTorch has been imported already in this process; call it before `import torch`")
    sys.meta_path.insert(0, _finder)
    package.Tensor.__module__ = "torch"
    internals.install(package._C)
    for name, module in list(sys.modules.items()):
        if isinstance(module, types.ModuleType) and "._" not in name:
            if name == _PACKAGE or name.startswith(_PACKAGE + "."):
                sys.modules[_theirs(name)] = module
                _complete(module)
