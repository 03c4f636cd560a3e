"""The modules that `torch.nn` shows."""

from . import (
    activation,
    adaptive,
    batchnorm,
    channelshuffle,
    container,
    conv,
    distance,
    dropout,
    flatten,
    fold,
    instancenorm,
    linear,
    loss,
    normalization,
    padding,
    pixelshuffle,
    pooling,
    rnn,
    sparse,
    transformer,
    upsampling,
)
from .module import Module

__all__ = ["Module"]
for _part in (
    activation, adaptive, batchnorm, channelshuffle, container, conv, distance, dropout, flatten, fold, instancenorm,
    linear, loss, normalization, padding, pixelshuffle, pooling, rnn, sparse, transformer, upsampling,
):  # fmt: skip
    for _name in _part.__all__:
        globals()[_name] = getattr(_part, _name)
    __all__ += _part.__all__
__all__.sort()
del _part, _name
