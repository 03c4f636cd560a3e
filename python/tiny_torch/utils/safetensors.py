"""Files of the safetensors format: a JSON header, then the tensors' bytes. https://github.com/huggingface/safetensors

The functions are those of `safetensors.torch`.
"""
import json
import os

from .. import _C
from .._tensor import Tensor

__all__ = ["load", "load_file", "load_model", "save", "save_file", "save_model", "safe_open"]

_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_MAX_HEADER = 100_000_000


class SafetensorError(ValueError):
    """The bytes are not a valid safetensors file."""


def _header(tensors, metadata):
    """The header's bytes, and the tensors in the order of their bytes."""
    kinds = {value: key for key, value in _NAMES.items()}
    header = {"__metadata__": dict(metadata)} if metadata else {}
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    offset = 0
    for name in names:
        tensor = tensors[name]
        kind = kinds.get(str(tensor.dtype).rpartition(".")[2])
        if kind is None:
            raise SafetensorError(f"{name}: safetensors has no dtype {tensor.dtype}")
        end = offset + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, names


def _checked(tensors, metadata):
    seen = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"Key `{name}` is invalid, expected torch.Tensor but received {type(tensor)}")
        if tensor.numel():
            other = seen.setdefault(_C._storage_key(tensor.detach()), name)
            if other != name:
                raise RuntimeError(
                    f"Some tensors share memory, this will lead to duplicate memory on disk: {{{other!r}, {name!r}}}. "
                    "A potential way to correctly save your model is to use `save_model`."
                )
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise SafetensorError("metadata must map strings to strings")


def save(tensors, metadata=None):
    """The file's bytes."""
    _checked(tensors, metadata)
    header, names = _header(tensors, metadata)
    return b"".join([header, *(_C._to_bytes(tensors[name].detach()) for name in names)])


def save_file(tensors, filename, metadata=None):
    """Writes a file, atomically."""
    from ..serialization import _AtomicFile

    _checked(tensors, metadata)
    header, names = _header(tensors, metadata)
    with _AtomicFile(filename) as file:
        file.write(header)
        for name in names:
            file.write(_C._to_bytes(tensors[name].detach()))


def _entries(data):
    """Name, dtype, shape and bytes of each tensor, checked against one another; and the metadata."""
    if len(data) < 8:
        raise SafetensorError("Error while deserializing header: HeaderTooSmall")
    length = int.from_bytes(data[:8], "little")
    if length > _MAX_HEADER or 8 + length > len(data):
        raise SafetensorError("Error while deserializing header: HeaderTooLarge")
    try:
        header = json.loads(bytes(data[8 : 8 + length]))
    except (ValueError, RecursionError) as error:
        raise SafetensorError(f"Error while deserializing header: {error}") from None
    if not isinstance(header, dict):
        raise SafetensorError("Error while deserializing header: not an object")
    body = data[8 + length :]
    metadata = header.pop("__metadata__", None) or {}
    entries, position = {}, 0
    try:
        for name, info in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            kind, shape, (start, end) = info["dtype"], info["shape"], info["data_offsets"]
            size = _SIZES[kind]
            for extent in shape:
                if type(extent) is not int or extent < 0:
                    raise SafetensorError(f"{name}: invalid shape")
                size *= extent
            # No gaps and no overlaps: every byte belongs to one tensor.
            if start != position or end - start != size or end > len(body):
                raise SafetensorError(f"Error while deserializing header: InvalidOffset({name!r})")
            position = end
            entries[name] = (getattr(_C, _NAMES[kind]), tuple(shape), body[start:end])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, SafetensorError):
            raise
        raise SafetensorError(f"Error while deserializing header: {type(error).__name__} {error}") from None
    if position != len(body):
        raise SafetensorError("Error while deserializing header: MetadataIncompleteBuffer")
    return entries, metadata


def _tensors(entries, device):
    made = {name: _C._from_bytes(data, dtype, shape) for name, (dtype, shape, data) in entries.items()}
    return made if str(device) == "cpu" else {name: tensor.to(device) for name, tensor in made.items()}


def load(data):
    """The tensors in the bytes of a file."""
    return _tensors(_entries(memoryview(data))[0], "cpu")


def load_file(filename, device="cpu"):
    """The tensors in a file."""
    with _mapped(filename) as data:
        return _tensors(_entries(data)[0], device)


class _mapped:
    """A file's bytes, mapped."""

    def __init__(self, filename):
        self.filename = filename

    def __enter__(self):
        import mmap

        with open(self.filename, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                self.map = None
                return memoryview(b"")
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return memoryview(self.map)

    def __exit__(self, exc_type, exc_value, traceback):
        # Left to the collector: views of it may still be alive in a traceback.
        self.map = None


class safe_open:
    """Reads tensors of a file one by one: `with safe_open(path, framework="pt") as f: f.get_tensor(name)`."""

    def __init__(self, filename, framework="pt", device="cpu"):
        self.device = device
        self._mapped = _mapped(filename)
        self._entries, self._metadata = _entries(self._mapped.__enter__())

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        self._entries = {}

    def keys(self):
        return list(self._entries)

    offset_keys = keys

    def metadata(self):
        return self._metadata or None

    def get_tensor(self, name):
        if name not in self._entries:
            raise SafetensorError(f"File does not contain tensor {name}")
        return _tensors({name: self._entries[name]}, self.device)[name]


def save_model(model, filename, metadata=None, force_contiguous=True):
    """A module's state_dict; of tensors that share memory one is written, and the others' names noted."""
    metadata = dict(metadata or {})
    tensors, first = {}, {}
    for name, tensor in model.state_dict().items():
        key = (_C._storage_key(tensor), tensor.storage_offset(), tuple(tensor.shape)) if tensor.numel() else name
        if key in first:
            metadata[name] = first[key]
        else:
            first[key] = name
            tensors[name] = tensor
    save_file(tensors, filename, metadata)


def load_model(model, filename, strict=True, device="cpu"):
    """Loads what `save_model` wrote. Returns missing and unexpected names."""
    with _mapped(filename) as data:
        entries, metadata = _entries(data)
        state = _tensors(entries, device)
    for name, other in metadata.items():
        if other in state and name not in state:
            state[name] = state[other]
    missing, unexpected = model.load_state_dict(state, strict=strict)
    return set(missing), list(unexpected)
