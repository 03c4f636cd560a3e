"""`save` and `load`: PyTorch's checkpoint files, both ways.

A checkpoint is a zip archive: `data.pkl` describes the objects, `data/0`, `data/1`, ... hold the bytes of storages,
and tensors are views of storages. Reading runs no code that the file names; see `_pickle_globals` for what a file may
ask for. Files are written beside their place and then put there, so that a failed write leaves the old file.
"""
import collections
import io
import os
import pickle
import sys
import types

from . import _C, _pickling, _utils
from ._tensor import Tensor
from .storage import STORAGE_DTYPES, TypedStorage, UntypedStorage, storage_name, whole

__all__ = [
    "LoadEndianness",
    "add_safe_globals",
    "clear_safe_globals",
    "default_restore_location",
    "get_crc32_options",
    "get_safe_globals",
    "get_unsafe_globals_in_checkpoint",
    "load",
    "register_package",
    "safe_globals",
    "save",
    "set_crc32_options",
    "skip_data",
]

DEFAULT_PROTOCOL = 2
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_PACKAGE = __package__


# Names that the program trusts.


def add_safe_globals(safe_globals):
    """Allows `load` to use these classes and functions, by their own names or as pairs (object, name in the file)."""
    from ._pickle_globals import _name_in_files, _safe_globals

    for item in safe_globals:
        if isinstance(item, tuple):
            if len(item) != 2:
                raise ValueError(
                    f"Expected tuple of length 2 (global, str of callable full path), but got tuple of length: {len(item)}"
                )
            item, name = item
            if type(name) is not str:
                raise TypeError(f"Expected second item in tuple to be str of callable full path, but got: {type(name)}")
        else:
            name = _name_in_files(item)
        _safe_globals[name] = item


def get_safe_globals():
    """What `add_safe_globals` has allowed."""
    from ._pickle_globals import _safe_globals

    return list(_safe_globals.values())


def clear_safe_globals():
    """Forgets what `add_safe_globals` has allowed."""
    from ._pickle_globals import _safe_globals

    _safe_globals.clear()


class safe_globals:
    """`add_safe_globals` for the length of a block."""

    def __init__(self, safe_globals):
        self.names = safe_globals

    def __enter__(self):
        from ._pickle_globals import _safe_globals

        self.saved = dict(_safe_globals)
        add_safe_globals(self.names)

    def __exit__(self, exc_type, exc_value, traceback):
        from ._pickle_globals import _safe_globals

        _safe_globals.clear()
        _safe_globals.update(self.saved)


# Saving


class _StorageTypeName:
    """Written as the global `torch.FloatStorage` and so on."""

    def __init__(self, name):
        self.name = name


class _Pickler(pickle._Pickler):
    """Writes the names of this package as PyTorch's, and tensors as views of storages.

    The C pickler always writes an object's own module name, which is why this is the one written in Python.
    """

    def __init__(self, file, protocol):
        super().__init__(file, protocol)
        self.storages = {}  # storage key -> (number, base tensor)
        self._names = {}  # storage number -> _StorageTypeName, shared so that the pickle names each type once

    def persistent_id(self, obj):
        if isinstance(obj, (TypedStorage, UntypedStorage)):
            name = "UntypedStorage" if isinstance(obj, UntypedStorage) else storage_name(obj.dtype)
            return self._storage_id(obj._flat, name)
        if isinstance(obj, _StorageOf):
            return self._storage_id(obj.tensor, obj.name)
        return None

    def _storage_id(self, tensor, name):
        key = _C._storage_key(tensor)
        if key not in self.storages:
            self.storages[key] = (str(len(self.storages)), whole(tensor))
        number, base = self.storages[key]
        if name != "UntypedStorage" and base.dtype != tensor.dtype:
            raise RuntimeError(
                "Cannot save multiple tensors or storages that view the same data as different types"
            )
        count = base.numel() * (base.element_size() if name == "UntypedStorage" else 1)
        kind = self._names.setdefault(name, _StorageTypeName(name))
        return ("storage", kind, number, str(tensor.device), count)

    def reducer_override(self, obj):
        if isinstance(obj, Tensor):
            return _reduce_tensor(obj)
        if isinstance(obj, _StorageTypeName):
            return "torch.storage UntypedStorage" if obj.name == "UntypedStorage" else f"torch {obj.name}"
        if isinstance(obj, types.BuiltinFunctionType) and (module := _pickling._place_of_operator(obj)):
            return f"torch{module[len(_PACKAGE):]} {obj.__name__}"
        if isinstance(obj, (_C.dtype, _C.memory_format)):
            return "torch " + str(obj).rpartition(".")[2]
        if isinstance(obj, _C.layout):
            return _get_layout, (str(obj),)
        if isinstance(obj, _C.device):
            return _C.device, (obj.type,) if obj.index is None else (obj.type, obj.index)
        if isinstance(obj, _C.Size):
            return _C.Size, (tuple(obj),)
        return NotImplemented

    def save_global(self, obj, name=None):
        if name is not None and " " in name:
            module, name = name.split()
        elif obj is _C.Size or obj is _C.device or obj is Tensor:
            module, name = "torch", obj.__name__
        else:
            module = getattr(obj, "__module__", None)
            name = name or getattr(obj, "__qualname__", None)
            if not isinstance(module, str) or module.partition(".")[0] != _PACKAGE or "<locals>" in (name or ""):
                return super().save_global(obj, name)
            module = "torch" + module[len(_PACKAGE) :]
        if self.proto >= 4:
            self.save(module)
            self.save(name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        self.memoize(obj)

    def save_type(self, obj):
        if obj in (_C.Size, _C.device):
            return self.save_global(obj)
        return super().save_type(obj)

    dispatch = {**pickle._Pickler.dispatch, type: save_type, type(save_global): save_global}


class _StorageOf:
    """The storage behind a tensor, where a pickle refers to it."""

    def __init__(self, tensor, name):
        self.tensor = tensor
        self.name = name


def _reduce_tensor(tensor):
    """How a tensor is written: a rebuilding function and its arguments."""
    data = tensor.detach()
    name = storage_name(data.dtype)
    layout = (data.storage_offset(), tuple(data.shape), tuple(data.stride()))
    hooks = collections.OrderedDict()
    is_parameter = _is_parameter_class(type(tensor))
    requires_grad = tensor.requires_grad and not is_parameter
    if name == "UntypedStorage":
        built = _utils._rebuild_tensor_v3, (_StorageOf(data, name), *layout, requires_grad, hooks, data.dtype)
    else:
        built = _utils._rebuild_tensor_v2, (_StorageOf(data, name), *layout, requires_grad, hooks)
    state = dict(tensor.__dict__)
    if is_parameter:
        if type(tensor).__name__ == "Parameter" and type(tensor).__module__.partition(".")[0] == _PACKAGE:
            inner = _Reduced(built)
            if state:
                return _utils._rebuild_parameter_with_state, (inner, tensor.requires_grad, hooks, state)
            return _utils._rebuild_parameter, (inner, tensor.requires_grad, hooks)
    if type(tensor) is Tensor and not state:
        return built
    return _utils._rebuild_from_type_v2, (built[0], type(tensor), built[1], state)


class _Reduced:
    """Something written as a call that is already known."""

    def __init__(self, call):
        self.call = call

    def __reduce_ex__(self, protocol):
        return self.call


def _is_parameter_class(cls):
    return any(base.__name__ == "Parameter" and base.__module__.endswith("nn.parameter") for base in cls.__mro__)


def _get_layout(name):
    return getattr(_C, name.rpartition(".")[2])


def _is_path(f):
    return isinstance(f, (str, os.PathLike))


class _AtomicFile:
    """A file that takes its place only when all of it is written."""

    def __init__(self, path):
        # Through a symbolic link, so that the link stays one.
        self.path = os.path.realpath(os.fspath(path))
        folder, name = os.path.split(self.path)
        self.direct = os.path.exists(self.path) and not os.path.isfile(self.path)
        if self.direct:
            self.temporary = self.path
        else:
            self.temporary = os.path.join(folder, f".{name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")

    def __enter__(self):
        if not self.direct:
            folder = os.path.dirname(self.path)
            if not os.path.isdir(folder):
                raise RuntimeError(f"Parent directory {folder} does not exist.")
            if os.path.exists(self.path):
                # Renaming would replace a file that must not be written to.
                open(self.path, "r+b").close()
        self.file = open(self.temporary, "wb")
        return self.file

    def __exit__(self, exc_type, exc_value, traceback):
        if self.direct:
            self.file.close()
            return
        try:
            if exc_type is None:
                self.file.flush()
                os.fsync(self.file.fileno())
                self.file.close()
                if os.path.exists(self.path):
                    os.chmod(self.temporary, os.stat(self.path).st_mode & 0o7777)
                os.replace(self.temporary, self.path)
                self.temporary = None
        finally:
            if self.temporary is not None:
                try:
                    # What its buffer still holds may not fit on the disk.
                    self.file.close()
                except OSError:
                    pass
                os.unlink(self.temporary)


def save(obj, f, pickle_module=pickle, pickle_protocol=DEFAULT_PROTOCOL, _use_new_zipfile_serialization=True, _disable_byteorder_record=False):
    """Writes `obj` to a path or a binary file, in PyTorch's format.

    Tensors that share a storage share it in the file. A path is written atomically: until everything is on disk, what
    stood there before stays.
    """
    if not _is_path(f) and not hasattr(f, "write"):
        raise AttributeError("expected 'f' to be string, path, or a file-like object with a 'write' attribute")
    records = _records(obj, pickle_module, pickle_protocol)
    if _is_path(f):
        name = os.path.splitext(os.path.basename(os.fspath(f)))[0] or "archive"
        with _AtomicFile(f) as file:
            _write_archive(file, name, records)
    else:
        _write_archive(f, "archive", records)


def _records(obj, pickle_module, protocol):
    """The pickle, and the storages that it refers to."""
    buffer = io.BytesIO()
    if pickle_module is pickle:
        pickler = _Pickler(buffer, protocol)
    else:
        pickler = _foreign_pickler(pickle_module, buffer, protocol)
    pickler.dump(obj)
    return buffer.getvalue(), [base for _, base in pickler.storages.values()]


def _foreign_pickler(pickle_module, buffer, protocol):
    """Another module's pickler, taught about tensors. It writes this package's names as they are."""
    ids = _Pickler(io.BytesIO(), protocol)

    class Pickler(pickle_module.Pickler):
        storages = ids.storages

        def persistent_id(self, obj):
            found = ids.persistent_id(obj)
            return None if found is None else (*found[:1], found[1].name, *found[2:])

        def reducer_override(self, obj):
            if isinstance(obj, Tensor):
                return _reduce_tensor(obj)
            inherited = getattr(super(), "reducer_override", None)
            return NotImplemented if inherited is None else inherited(obj)

    return Pickler(buffer, protocol)


def _write_archive(file, name, records):
    from ._zip import ALIGNMENT, ArchiveWriter

    description, storages = records
    archive = ArchiveWriter(file, name)
    archive.write("data.pkl", description)
    archive.write(".format_version", b"1")
    archive.write(".storage_alignment", str(ALIGNMENT).encode())
    archive.write("byteorder", b"little")
    for number, storage in enumerate(storages):
        archive.write(f"data/{number}", _C._to_bytes(storage))
    archive.write("version", b"3\n")
    archive.close()


# Loading


def load(f, map_location=None, pickle_module=None, *, weights_only=None, mmap=None, **pickle_load_args):
    """Reads what `save`, here or in PyTorch, wrote to a path or a binary file.

    map_location: where tensors go: a device, its name, a dictionary from names to names, or a function
    (storage, name) -> storage.
    weights_only: True, the default, makes tensors and plain data only. False also makes whole modules: instances of
    this package's classes, of `nn.Module` subclasses that the program has imported, and of classes that its main file
    defines. Neither imports or calls what the file names; `add_safe_globals` allows more, name by name. Only an
    explicit `pickle_module=pickle` gives the file the powers of `pickle`.
    mmap: accepted; the file is mapped while it is read.
    """
    if weights_only is None:
        weights_only = pickle_module is None and os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "0") not in ("1", "y", "yes", "true")
    if weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    if mmap and not _is_path(f):
        raise ValueError("f must be a file name in order to use the mmap argument")
    encoding = pickle_load_args.pop("encoding", "utf-8")
    if _is_path(f):
        with open(f, "rb") as file:
            return _load(file, map_location, weights_only, pickle_module, encoding)
    if not hasattr(f, "read"):
        raise AttributeError(f"'{type(f).__name__}' object has no attribute 'read'. You can only torch.load from a file that is seekable. Please pre-load the data into a buffer like io.BytesIO and try to load from it instead.")
    return _load(f, map_location, weights_only, pickle_module, encoding)


def _load(file, map_location, weights_only, pickle_module, encoding):
    data, start = _contents(file)
    if not len(data):
        raise EOFError("Ran out of input")
    try:
        if bytes(data[:4]) == b"PK\3\4":
            return _load_archive(data, map_location, weights_only, pickle_module, encoding)
        value, length = _load_legacy(data, map_location, weights_only, encoding)
        if start is not None:
            file.seek(start + length)
        return value
    except pickle.UnpicklingError as error:
        if weights_only:
            raise pickle.UnpicklingError(
                f"Weights only load failed. {error}\n\nCheck the documentation of torch.load to learn more about types "
                "accepted by default with weights_only https://pytorch.org/docs/stable/generated/torch.load.html."
            ) from None
        raise
    except RecursionError:
        raise pickle.UnpicklingError("the file nests objects too deeply") from None


def _contents(file):
    """All of a file from where it stands: mapped where possible, and where it stood if it can be sought."""
    try:
        start = file.tell()
    except (OSError, AttributeError, io.UnsupportedOperation):
        return memoryview(file.read()), None
    if start == 0:
        try:
            import mmap

            # Private and writable: a tensor over it would be a copy in memory, not a write to the file.
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)), start
        except (OSError, ValueError, AttributeError, io.UnsupportedOperation):
            pass
    return memoryview(file.read()), start


def _load_archive(data, map_location, weights_only, pickle_module, encoding):
    from ._zip import ArchiveReader, BadArchive

    archive = ArchiveReader(data)
    roots = {name.partition("/")[0] for name in archive.names()}
    root = next((r for r in roots if f"{r}/data.pkl" in archive), None)
    if root is None:
        raise BadArchive("PytorchStreamReader failed locating file data.pkl: file not found")
    if f"{root}/constants.pkl" in archive:
        raise RuntimeError(
            "Cannot use ``weights_only=True`` with TorchScript archives passed to ``torch.load``; tiny_torch does not "
            "read TorchScript. Save the module's state_dict() instead, or trace it here with torch.jit.trace."
        )
    big = f"{root}/byteorder" in archive and bytes(archive.read(f"{root}/byteorder")) == b"big"
    restore = _restore_location(map_location)
    storages = {}

    def persistent_load(saved_id):
        name, key, location, count = _checked_id(saved_id)
        if key not in storages:
            kind = UntypedStorage if name == "UntypedStorage" else TypedStorage
            dtype = _storage_dtype(name)
            record = f"{root}/data/{key}"
            if record not in archive:
                raise BadArchive(f"PytorchStreamReader failed locating file {record}: file not found")
            size = count * _itemsize(dtype)

            def read():
                contents = archive.read(record)
                if len(contents) < size:
                    raise BadArchive(f"{record} holds {len(contents)} bytes, not the {size} that its tensors need")
                contents = contents[:size]
                return _swap(contents, _itemsize(dtype)) if big else contents

            storages[key] = restore(kind.from_bytes(dtype, count, read), location)
        return storages[key]

    description = archive.read(f"{root}/data.pkl")
    if pickle_module is not None:
        return _foreign_load(pickle_module, description, persistent_load)
    from ._pickle_globals import Globals
    from ._weights_only_unpickler import Unpickler

    names = Globals(weights_only)
    return Unpickler(description, names.find, persistent_load, names.set_state, encoding).load()


def _foreign_load(pickle_module, description, persistent_load):
    """Reads with the pickle module that the caller chose, and trusts the file with it."""

    class Unpickler(pickle_module.Unpickler):
        def persistent_load(self, saved_id):
            return persistent_load(saved_id)

        def find_class(self, module, name):
            if module == "torch" and name in (*STORAGE_DTYPES, "UntypedStorage") or (module, name) == ("torch.storage", "UntypedStorage"):
                return name
            if module.partition(".")[0] == "torch":
                module = _PACKAGE + module[len("torch") :]
            return super().find_class(module, name)

    return Unpickler(io.BytesIO(description)).load()


def _checked_id(saved_id):
    """The parts of a reference to a storage: name of its type, key, location, number of elements."""
    if isinstance(saved_id, tuple) and len(saved_id) >= 5 and saved_id[0] in ("storage", b"storage"):
        _, name, key, location, count = saved_id[:5]
        if isinstance(name, str) and isinstance(key, (str, int)) and isinstance(location, str) and type(count) is int and count >= 0:
            return name, str(key), location, count
    raise pickle.UnpicklingError("Only persistent_load of storage is allowed, but got a damaged reference to a storage")


def _storage_dtype(name):
    if name == "UntypedStorage":
        return _C.uint8
    dtype = getattr(_C, STORAGE_DTYPES.get(name, ""), None)
    if dtype is None:
        raise RuntimeError(f"torch.{name} holds a dtype that tiny_torch does not have")
    return dtype


def _itemsize(dtype):
    return _C.empty((0,), dtype=dtype).element_size()


def _swap(contents, size):
    """The bytes with each element's in the opposite order."""
    swapped = bytearray(len(contents))
    for i in range(size):
        swapped[i::size] = contents[size - 1 - i :: size]
    return swapped


def _restore_location(map_location):
    """A function (storage, saved location) -> storage on the device where it is to be."""

    def place(storage, location):
        if location == "cpu":
            return storage
        kind = location.partition(":")[0]
        if kind == "cuda":
            from . import cuda

            if not cuda.is_available():
                raise RuntimeError(
                    "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False. "
                    "If you are running on a CPU-only machine, please use torch.load with "
                    "map_location=torch.device('cpu') to map your storages to the CPU."
                )
        elif kind not in ("cpu", "meta"):
            raise RuntimeError(f"don't know how to restore data location of torch.storage.UntypedStorage (tagged with {location})")
        storage._device = location
        return storage

    if map_location is None:
        return place
    if isinstance(map_location, dict):
        return lambda storage, location: place(storage, map_location.get(location, location))
    if isinstance(map_location, (str, bytes)):
        where = map_location.decode() if isinstance(map_location, bytes) else map_location
        return lambda storage, location: place(storage, where)
    if isinstance(map_location, _C.device):
        return lambda storage, location: place(storage, str(map_location))

    def chosen(storage, location):
        result = map_location(storage, location)
        return place(storage, location) if result is None else result

    return chosen


def default_restore_location(storage, location):
    """The storage on the device that the file names."""
    return _restore_location(None)(storage, location)


# The format before PyTorch 1.6: four pickles, then the storages one after the other.


def _load_legacy(data, map_location, weights_only, encoding):
    """The object, and how many bytes it took."""
    from ._pickle_globals import Globals
    from ._weights_only_unpickler import Unpickler

    def plain(position):
        reader = Unpickler(data, _no_global, _no_storage, _no_state, encoding, position)
        return reader.load(), reader.position

    if bytes(data[257:262]) == b"ustar":
        raise RuntimeError("this is the tar format of PyTorch before 0.1.10, which tiny_torch does not read")
    magic, position = plain(0)
    if magic != _LEGACY_MAGIC:
        raise RuntimeError("Invalid magic number; corrupt file?")
    version, position = plain(position)
    if version != _LEGACY_PROTOCOL:
        raise RuntimeError(f"Invalid protocol version: {version}")
    system, position = plain(position)
    restore = _restore_location(map_location)
    storages, places = {}, {}

    def persistent_load(saved_id):
        if isinstance(saved_id, tuple) and saved_id[:1] in (("module",), (b"module",)):
            # (tag, class, source file, source text): the source is not looked at.
            return saved_id[1]
        name, key, location, count = _checked_id(saved_id)
        if len(saved_id) > 5 and saved_id[5] is not None:
            raise RuntimeError("a view of a storage as PyTorch 0.1 wrote it, which tiny_torch does not read")
        if key not in storages:
            dtype = _storage_dtype(name)
            size = count * _itemsize(dtype)

            def read():
                at = places[key]
                return data[at : at + size]

            kind = UntypedStorage if name == "UntypedStorage" else TypedStorage
            storages[key] = (restore(kind.from_bytes(dtype, count, read), location), size, count)
        return storages[key][0]

    # The storages come after the pickle that refers to them, so it is read twice: once to see where it ends.
    names = Globals(weights_only)
    skim = Unpickler(data, names.find, lambda saved_id: persistent_load(saved_id) and _Skimmed(), names.set_state, encoding, position)
    skim.load()
    keys, at = plain(skim.position)
    if not isinstance(keys, list) or {str(key) for key in keys} - set(storages):
        raise RuntimeError("the list of storages is damaged")
    for key in map(str, keys):
        count = int.from_bytes(data[at : at + 8], "little")
        if count != storages[key][2] or at + 8 + storages[key][1] > len(data):
            raise RuntimeError("unexpected EOF, the storages of the file are cut short or damaged. The file might be corrupted.")
        places[key] = at + 8
        at += 8 + storages[key][1]
    if set(storages) - set(places):
        raise RuntimeError("unexpected EOF, storages that the file refers to are not in it. The file might be corrupted.")
    value = Unpickler(data, names.find, persistent_load, names.set_state, encoding, position).load()
    return value, at


class _Skimmed:
    """Takes the place of a storage when a pickle is read only to find its end."""

    def view(self, size, stride, offset, dtype=None):
        return _C.empty((0,))


def _no_global(name):
    raise pickle.UnpicklingError(f"{name} where plain data is expected")


def _no_storage(saved_id):
    raise pickle.UnpicklingError("a storage where plain data is expected")


def _no_state(target, state):
    raise pickle.UnpicklingError("an object where plain data is expected")


def get_unsafe_globals_in_checkpoint(f):
    """The names in a checkpoint that `load` would refuse with `weights_only=True`."""
    from ._pickle_globals import Globals
    from ._zip import ArchiveReader

    import pickletools

    if _is_path(f):
        with open(f, "rb") as file:
            data = file.read()
    else:
        data = f.read()
    if data[:4] != b"PK\3\4":
        raise ValueError("Expected input to be a checkpoint returned by torch.save")
    archive = ArchiveReader(data)
    record = next((name for name in archive.names() if name.endswith("/data.pkl")), None)
    if record is None:
        raise ValueError("Expected input to be a checkpoint returned by torch.save")
    table, unsafe, strings = Globals(True), set(), []
    for code, argument, _ in pickletools.genops(bytes(archive.read(record))):
        if code.name in ("GLOBAL", "STACK_GLOBAL"):
            name = argument.replace(" ", ".") if code.name == "GLOBAL" else ".".join(strings[-2:])
            try:
                table.find(name)
            except pickle.UnpicklingError:
                unsafe.add(name)
        elif isinstance(argument, str):
            strings.append(argument)
    return sorted(unsafe)


# Settings kept for compatibility.


class LoadEndianness:
    """Byte orders. A file says its own, and is read in it."""

    NATIVE, LITTLE, BIG = 1, 2, 3


def get_default_load_endianness():
    return None


def set_default_load_endianness(endianness):
    """Accepted: a file says its own byte order."""


def get_crc32_options():
    return True


def set_crc32_options(compute_crc32):
    """Accepted: checksums are always written, and always checked."""


def register_package(priority, tagger, deserializer):
    """Accepted: there are no devices of other packages."""


class skip_data:
    """Accepted: `save` within it writes the data as well."""

    def __init__(self, materialize_fake_tensors=False):
        pass

    def __enter__(self):
        return None

    def __exit__(self, exc_type, exc_value, traceback):
        return None
