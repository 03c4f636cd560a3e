"""Names for annotations."""
from typing import Any, List, Optional, Sequence, Tuple, Union

from . import _C
from ._tensor import Tensor

Device = Optional[Union[_C.device, str, int]]
DeviceLikeType = Union[str, _C.device, int]
Number = Union[int, float, bool]
_dtype = _C.dtype
_device = _C.device
_layout = _C.layout
_size = Union[_C.Size, List[int], Tuple[int, ...]]
_int, _float, _bool = int, float, bool
_TensorOrTensors = Union[Tensor, Sequence[Tensor]]
FileLike = Any
Storage = Any

__all__ = ["Device", "Number", "FileLike", "Storage"]
