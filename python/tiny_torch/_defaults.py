"""Settings of the process: default dtype and device, and switches kept for compatibility."""
from . import _C

__all__ = [
    "get_default_dtype",
    "set_default_dtype",
    "set_default_tensor_type",
    "get_default_device",
    "set_default_device",
    "set_float32_matmul_precision",
    "get_float32_matmul_precision",
    "use_deterministic_algorithms",
    "are_deterministic_algorithms_enabled",
    "is_deterministic_algorithms_warn_only_enabled",
    "set_deterministic_debug_mode",
    "get_deterministic_debug_mode",
    "set_warn_always",
    "is_warn_always_enabled",
    "set_flush_denormal",
    "get_num_interop_threads",
    "set_num_interop_threads",
]

_state = {
    "matmul_precision": "highest",
    "deterministic": False,
    "deterministic_warn_only": False,
    "warn_always": False,
    "device": None,
    "anomaly": False,
}


def get_default_dtype():
    """The dtype of floating-point results that nothing else determines."""
    return _C.get_default_dtype()


def set_default_dtype(d, /):
    """Sets the dtype of floating-point results that nothing else determines. Only floating dtypes are allowed."""
    _C._set_default_dtype(d)


def set_default_tensor_type(t, /):
    """Older spelling of `set_default_dtype`: takes a type such as `torch.DoubleTensor`, or its name."""
    from . import _legacy

    kind = _legacy.tensor_type(t)
    if not kind.dtype.is_floating_point:
        raise TypeError(
            "only floating-point types are supported as the default type"
            if isinstance(t, (type, str))
            else f"invalid type object: {t!r}"
        )
    set_default_dtype(kind.dtype)


def get_default_device():
    """The device on which tensors are made when none is named."""
    return _C.device("cpu") if _state["device"] is None else _state["device"]


def set_default_device(device):
    """Sets the device on which tensors are made when none is named."""
    chosen = None if device is None else _C.device(device)
    if chosen is not None and chosen.type == "cuda":
        from . import cuda

        cuda._libraries()
    _C._set_default_device(chosen)
    _state["device"] = chosen


def set_float32_matmul_precision(precision):
    """How exact float32 matrix products must be. On a GPU all but "highest" allow tf32; a CPU computes in float32."""
    if precision not in ("highest", "high", "medium"):
        import warnings

        warnings.warn(f"{precision} is not one of 'highest', 'high', or 'medium'; the current setting is kept", stacklevel=2)
        return
    _state["matmul_precision"] = precision
    _C._cuda_allow_tf32(precision != "highest")


def get_float32_matmul_precision():
    """What `set_float32_matmul_precision` last set."""
    return _state["matmul_precision"]


def use_deterministic_algorithms(mode, *, warn_only=False):
    """Noted and reported. Results are deterministic, whatever the number of threads, with or without it."""
    _state["deterministic"] = mode and True or False
    _state["deterministic_warn_only"] = warn_only


def are_deterministic_algorithms_enabled():
    return _state["deterministic"]


def is_deterministic_algorithms_warn_only_enabled():
    return _state["deterministic_warn_only"]


def set_deterministic_debug_mode(debug_mode):
    """0 or "default", 1 or "warn", 2 or "error"."""
    levels = {"default": 0, "warn": 1, "error": 2}
    level = levels.get(debug_mode, debug_mode)
    if level not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}")
    use_deterministic_algorithms(level > 0, warn_only=level == 1)


def get_deterministic_debug_mode():
    if not _state["deterministic"]:
        return 0
    return 1 if _state["deterministic_warn_only"] else 2


def set_warn_always(b, /):
    _state["warn_always"] = b


def is_warn_always_enabled():
    return _state["warn_always"]


def set_flush_denormal(mode, /):
    """Denormal numbers are always kept; the answer False says that the mode was not changed."""
    return False


def get_num_interop_threads():
    return 1


def set_num_interop_threads(n, /):
    """Accepted: the order of operations is compiled, not scheduled over threads."""
