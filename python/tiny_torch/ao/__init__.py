"""Quantisation and sparsity: names that libraries import."""


def __getattr__(name):
    if name in ("quantization",):
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
