# Made by python/stubs.py from the operator table. Not to be edited.
from typing import Any, Sequence, TypeAlias, overload
from ._C import _bool, _device, _dtype, _float, _int, _layout, _memory_format, Generator, Number, Size
from ._tensor import Tensor as Tensor

