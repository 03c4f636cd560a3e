"""Page-locked memory for batches on their way to an accelerator."""
from collections.abc import Mapping, Sequence

from ...._tensor import Tensor
from .collate import _rebuild_mapping, _rebuild_sequence


def pin_memory(data, device=None):
    """`data` with every tensor in it, and everything that has a `pin_memory` method, pinned."""
    if isinstance(data, Tensor) or hasattr(data, "pin_memory"):
        return data.pin_memory()
    if isinstance(data, (str, bytes)):
        return data
    if isinstance(data, Mapping):
        return _rebuild_mapping(data, {key: pin_memory(value, device) for key, value in data.items()})
    if isinstance(data, tuple):
        values = [pin_memory(value, device) for value in data]
        return type(data)(*values) if hasattr(data, "_fields") else type(data)(values)
    if isinstance(data, Sequence):
        return _rebuild_sequence(data, [pin_memory(value, device) for value in data])
    return data
