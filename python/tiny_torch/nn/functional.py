"""Functions on tensors for networks: `torch.nn.functional`.

Most names come from the native operator table (`_C._nn`). Those that it lacks are compositions from `_functional`.
"""

from __future__ import annotations

from tiny_torch import _C

from ._functional import (
    activations,
    attention,
    convs,
    ctc,
    distances,
    dropouts,
    embeddings,
    losses,
    norms,
    paddings,
    resampling,
    windows,
)

_MODULES = (
    activations,
    attention,
    convs,
    ctc,
    distances,
    dropouts,
    embeddings,
    losses,
    norms,
    paddings,
    resampling,
    windows,
)
# Python in shape (masks, deprecated arguments, warnings, sizes worked out from arguments): never native.
_PYTHON_SHAPED = frozenset(
    ("multi_head_attention_forward", "gumbel_softmax", "interpolate", "upsample", "upsample_nearest",
     "upsample_bilinear", "triplet_margin_with_distance_loss")
)  # fmt: skip


def _gather_names():
    names = {}
    for module in _MODULES:
        for name, value in vars(module).items():
            if getattr(value, "__module__", None) == module.__name__ and not isinstance(value, type):
                names[name] = value
    public = [name for name in names if not name.startswith("_")]
    native = _C._nn
    for name in dir(native):
        if not name.startswith("_") and name not in _PYTHON_SHAPED:
            names[name] = getattr(native, name)
            public.append(name)
    return names, sorted(set(public))


_names, __all__ = _gather_names()
globals().update(_names)
del _names
