"""Utilities: data loading, checkpointing, trees, file formats."""

__all__ = ["data", "checkpoint", "generate_methods_for_privateuse1_backend", "rename_privateuse1_backend"]

_MODULES = frozenset(
    "_pytree benchmark checkpoint collect_env cpp_extension data deterministic dlpack hooks model_zoo safetensors "
    "tensorboard".split()
)


def __getattr__(name):
    if name in _MODULES:
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def rename_privateuse1_backend(backend_name):
    raise NotImplementedError("rename_privateuse1_backend: tiny_torch has no third-party devices")


def generate_methods_for_privateuse1_backend(*args, **kwargs):
    raise NotImplementedError("generate_methods_for_privateuse1_backend: tiny_torch has no third-party devices")


def set_module(obj, mod):
    """Sets the module that an object says it comes from."""
    if not isinstance(mod, str):
        raise TypeError("The mod argument should be a string")
    obj.__module__ = mod
