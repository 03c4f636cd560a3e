"""`autocast`: which device types ask for lower precision, and which dtype they ask for.

Which operators follow, and which compute in float32 instead, stands in the native table (`frontend/src/autocast.rs`). The
state is a thread's own, as in PyTorch.
"""

from __future__ import annotations

import functools
import threading

import tiny_torch as torch

__all__ = [
    "autocast", "clear_autocast_cache", "custom_bwd", "custom_fwd", "get_autocast_cpu_dtype", "get_autocast_dtype",
    "get_autocast_gpu_dtype", "is_autocast_available", "is_autocast_cache_enabled", "is_autocast_cpu_enabled",
    "is_autocast_enabled", "set_autocast_cache_enabled", "set_autocast_dtype", "set_autocast_enabled",
]  # fmt: skip

class _State(threading.local):
    def __init__(self) -> None:
        self.enabled: dict = {}
        self.dtypes: dict = {}
        self.cache_enabled = True


_state = _State()


def _tell(device_type: str) -> None:
    """Tells the operators what to compute in."""
    if is_autocast_available(device_type):
        dtype = get_autocast_dtype(device_type) if is_autocast_enabled(device_type) else None
        torch._C._set_autocast(device_type == "cuda", dtype)


def is_autocast_available(device_type: str) -> bool:
    """Whether `autocast` knows the device type."""
    return device_type in ("cpu", "cuda")


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether an enabled `autocast` of the device type is in force."""
    return _state.enabled.get(device_type, False)


def set_autocast_enabled(device_type, enabled: bool | None = None) -> None:
    """Enables or disables it; one argument alone means CUDA."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    _state.enabled[device_type] = bool(enabled)
    _tell(device_type)


def is_autocast_cpu_enabled() -> bool:
    return is_autocast_enabled("cpu")


def get_autocast_dtype(device_type: str):
    """The dtype that `autocast` of the device type asks for."""
    return _state.dtypes.get(device_type, torch.float16 if device_type == "cuda" else torch.bfloat16)


def set_autocast_dtype(device_type: str, dtype) -> None:
    _state.dtypes[device_type] = dtype
    _tell(device_type)


def get_autocast_gpu_dtype():
    return get_autocast_dtype("cuda")


def get_autocast_cpu_dtype():
    return get_autocast_dtype("cpu")


def is_autocast_cache_enabled() -> bool:
    return _state.cache_enabled


def set_autocast_cache_enabled(enabled: bool) -> None:
    _state.cache_enabled = bool(enabled)


def clear_autocast_cache() -> None:
    """Accepted and ignored: casts of one tensor are one in the graph."""


class autocast:
    """A context manager, and a decorator, that asks for a lower precision on `device_type`."""

    def __init__(self, device_type: str, dtype=None, enabled: bool = True, cache_enabled: bool | None = None) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        if not is_autocast_available(device_type):
            raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
        self.device = device_type
        self.fast_dtype = dtype if dtype is not None else get_autocast_dtype(device_type)
        self._cache_enabled = is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        if device_type == "cuda" and enabled and not torch.cuda.is_available():
            import warnings

            warnings.warn("User provided device_type of 'cuda', but CUDA is not available. Disabling", stacklevel=2)
            enabled = False
        if device_type == "cpu" and enabled and self.fast_dtype not in (torch.bfloat16, torch.float16):
            import warnings

            warnings.warn(
                "In CPU autocast, but the target dtype is not supported. Disabling autocast.\n"
                "CPU Autocast only supports dtype of torch.bfloat16, torch.float16 currently.",
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled

    def __enter__(self):
        self.prev = (is_autocast_enabled(self.device), _state.dtypes.get(self.device), is_autocast_cache_enabled())
        set_autocast_enabled(self.device, self._enabled)
        set_autocast_dtype(self.device, self.fast_dtype)
        set_autocast_cache_enabled(self._cache_enabled)
        return self

    def __exit__(self, *exc):
        enabled, dtype, cache = self.prev
        set_autocast_enabled(self.device, enabled)
        if dtype is None:
            _state.dtypes.pop(self.device, None)
            _tell(self.device)
        else:
            set_autocast_dtype(self.device, dtype)
        set_autocast_cache_enabled(cache)
        return False

    def __call__(self, func):
        @functools.wraps(func)
        def decorated(*args, **kwargs):
            # A fresh one for each call: the same function may call itself.
            with autocast(self.device, self.fast_dtype, self._enabled, self._cache_enabled):
                return func(*args, **kwargs)

        return decorated


def custom_fwd(fwd=None, *, device_type: str = "cuda", cast_inputs=None):
    """Decorates the forward of an `autograd.Function` so that it computes outside `autocast` when asked to cast."""
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorated(*args, **kwargs):
        args[0]._dtype = get_autocast_dtype(device_type)
        args[0]._fwd_used_autocast = is_autocast_enabled(device_type)
        if cast_inputs is None or not args[0]._fwd_used_autocast:
            return fwd(*args, **kwargs)

        def cast(x):
            return x.to(cast_inputs) if isinstance(x, torch.Tensor) and x.is_floating_point() else x

        with autocast(device_type, enabled=False):
            return fwd(args[0], *map(cast, args[1:]), **{k: cast(v) for k, v in kwargs.items()})

    return decorated


def custom_bwd(bwd=None, *, device_type: str = "cuda"):
    """Decorates the backward of an `autograd.Function` so that it computes under the forward's `autocast`."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorated(*args, **kwargs):
        with autocast(device_type, dtype=args[0]._dtype, enabled=args[0]._fwd_used_autocast):
            return bwd(*args, **kwargs)

    return decorated
