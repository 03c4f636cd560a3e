"""How the native module's small objects are pickled and copied: by name, as this package's."""
import copyreg

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


def _reduce_named(value):
    return _named, (str(value).rpartition(".")[2],)


for _kind in (_C.dtype, _C.layout, _C.memory_format):
    copyreg.pickle(_kind, _reduce_named)
copyreg.pickle(_C.Size, lambda value: (_size, (tuple(value),)))
copyreg.pickle(_C.device, lambda value: (_device, (str(value),)))
copyreg.pickle(_C.Generator, lambda value: (_generator, (value._state_bytes(), str(value.device))))
