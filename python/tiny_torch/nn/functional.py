"""Functions on tensors for networks: `torch.nn.functional`.

Most names come from the native operator table: those of this namespace (`_C._nn`), and those that `torch` itself
shares with it. What the table lacks is a composition in `_functional`, which is imported when such a name is used.
"""

from __future__ import annotations

from tiny_torch import _C

# Python in shape (masks, deprecated arguments, warnings, sizes worked out from arguments): never native.
_PYTHON_SHAPED = frozenset(
    ("gumbel_softmax", "interpolate", "multi_head_attention_forward", "triplet_margin_with_distance_loss", "upsample",
     "upsample_bilinear", "upsample_nearest")
)  # fmt: skip

# The same functions in `torch` and here; their rows may stand in either namespace.
_SHARED = (
    "adaptive_avg_pool1d", "avg_pool1d", "bilinear", "celu_", "channel_shuffle", "conv1d", "conv2d", "conv3d",
    "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cosine_similarity", "hardshrink",
    "native_channel_shuffle", "pairwise_distance", "pdist", "pixel_shuffle", "pixel_unshuffle", "prelu", "relu_",
    "rrelu_", "selu_", "threshold_",
)  # fmt: skip

_COMPOSITES = (
    "activations", "attention", "convs", "ctc", "distances", "dropouts", "embeddings", "losses", "norms", "paddings",
    "resampling", "windows",
)  # fmt: skip

_native = {name: getattr(_C, name) for name in _SHARED if hasattr(_C, name)}
_native.update(
    (name, getattr(_C._nn, name)) for name in dir(_C._nn) if not name.startswith("_") and name not in _PYTHON_SHAPED
)
globals().update(_native)


def _load_composites() -> None:
    """Defines every function that is not native."""
    import importlib

    names = {}
    for part in _COMPOSITES:
        module = importlib.import_module(f"{__package__}._functional.{part}")
        names.update((n, v) for n, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__)
    globals().update((name, value) for name, value in names.items() if name not in _native)
    globals()["__all__"] = sorted(name for name in {*names, *_native} if not name.startswith("_"))


def __getattr__(name):
    if "__all__" not in globals():
        _load_composites()
        if name in globals():
            return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    if "__all__" not in globals():
        _load_composites()
    return sorted(globals())
