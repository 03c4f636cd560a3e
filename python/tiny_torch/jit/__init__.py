"""Compiled artefacts: `trace` records a function once, `save` and `load` keep it as a `.ttk` file that runs anywhere,
without Python too."""
from ._annotations import (
    Attribute,
    Final,
    _overload,
    _overload_method,
    _script_if_tracing,
    annotate,
    export,
    ignore,
    interface,
    is_scripting,
    is_tracing,
    isinstance,
    script_if_tracing,
    unused,
)
from ._script import CompilationUnit, fork, freeze, optimize_for_inference, optimized_execution, script, script_method, set_fusion_strategy, wait
from ._trace import ScriptFunction, ScriptModule, TracerWarning, load, save, trace, trace_module

TopLevelTracedModule = TracedModule = RecursiveScriptModule = ScriptModule


class Error(RuntimeError):
    """An error of compilation."""


__all__ = [
    "Attribute",
    "CompilationUnit",
    "Error",
    "Final",
    "ScriptFunction",
    "ScriptModule",
    "TracerWarning",
    "annotate",
    "export",
    "fork",
    "freeze",
    "ignore",
    "interface",
    "is_scripting",
    "is_tracing",
    "isinstance",
    "load",
    "optimize_for_inference",
    "optimized_execution",
    "save",
    "script",
    "script_if_tracing",
    "script_method",
    "set_fusion_strategy",
    "trace",
    "trace_module",
    "unused",
    "wait",
]


def enable_onednn_fusion(enabled):
    """Accepted: fusion is the compiler's."""


def onednn_fusion_enabled():
    return False


def __getattr__(name):
    if name in ("annotations", "frontend"):
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
