"""Exchange of memory with other libraries."""
from .. import _C

__all__ = ["from_dlpack", "to_dlpack"]


def from_dlpack(ext_tensor):
    """A tensor over the memory of anything that speaks DLPack. Through NumPy, so on the CPU."""
    native = getattr(_C, "from_dlpack", None)
    if native is not None:
        return native(ext_tensor)
    import numpy

    return _C._from_numpy(numpy.from_dlpack(ext_tensor))


def to_dlpack(tensor):
    """The tensor's memory as a DLPack capsule."""
    return tensor.detach().numpy().__dlpack__()
