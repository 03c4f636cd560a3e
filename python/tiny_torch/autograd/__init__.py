"""Automatic differentiation: `backward`, `grad`, custom functions and gradient modes."""
from .. import _C
from . import function, grad_mode
from .function import Function
from .grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled, set_multithreading_enabled

__all__ = [
    "Variable",
    "Function",
    "backward",
    "grad_mode",
    "NestedIOFunction",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
    "set_multithreading_enabled",
    "variable",
]

_LAZY = {
    "Variable": ("variable", "Variable"),
    "NestedIOFunction": ("function", "NestedIOFunction"),
    "gradcheck": ("gradcheck", "gradcheck"),
    "gradgradcheck": ("gradcheck", "gradgradcheck"),
    "detect_anomaly": ("anomaly_mode", "detect_anomaly"),
    "set_detect_anomaly": ("anomaly_mode", "set_detect_anomaly"),
}
_MODULES = ("variable", "functional", "graph", "profiler", "anomaly_mode", "forward_ad")


def __getattr__(name):
    import importlib

    if name in _LAZY:
        module, attribute = _LAZY[name]
        value = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name.startswith("Profiler") or name == "kineto_available":
        return getattr(importlib.import_module(f"{__name__}.profiler"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def _tensors(value, what):
    from .._tensor import Tensor

    if isinstance(value, Tensor):
        return (value,)
    value = tuple(value)
    if not value:
        raise RuntimeError(f"{what} argument cannot be an empty sequence" if what == "inputs" else f"{what} is empty")
    return value


def _cotangents(outputs, grads):
    """One gradient for each output; a scalar output that has none gets 1."""
    if len(grads) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(grads)} gradients")
    made = []
    for position, (output, grad) in enumerate(zip(outputs, grads)):
        if not isinstance(output, _C.TensorBase):
            raise AssertionError("Expected output to be a torch.Tensor")
        if grad is not None:
            if not isinstance(grad, _C.TensorBase):
                raise TypeError(f"gradients can be either Tensors or None, but got {type(grad).__name__}")
            if tuple(grad.shape) != tuple(output.shape):
                raise RuntimeError(
                    f"Mismatch in shape: grad_output[{position}] has a shape of {grad.shape} and "
                    f"output[{position}] has a shape of {output.shape}."
                )
            made.append(grad)
        elif not output.requires_grad:
            made.append(None)
        elif output.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        elif not output.dtype.is_floating_point:
            raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {output.dtype}")
        else:
            made.append(_C.ones_like(output.detach()))
    return tuple(made)


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False, grad_variables=None, inputs=None):
    """Adds to `.grad` of the leaves (or of `inputs`) the gradients of the sum of `tensors`, weighted by `grad_tensors`."""
    if grad_variables is not None:
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. "
                "Please only use `grad_tensors`."
            )
        grad_tensors = grad_variables
    if inputs is not None:
        inputs = _tensors(inputs, "inputs")
    tensors = _tensors(tensors, "tensors")
    grads = (None,) * len(tensors) if grad_tensors is None else _grad_list(grad_tensors)
    if retain_graph is None:
        retain_graph = create_graph
    _C._autograd_backward(tensors, _cotangents(tensors, grads), retain_graph, create_graph, inputs)


def _grad_list(grads):
    from .._tensor import Tensor

    return (grads,) if isinstance(grads, (Tensor, str)) else tuple(grads)


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph=None,
    create_graph=False,
    allow_unused=None,
    is_grads_batched=False,
    materialize_grads=False,
):
    """The gradients of the sum of `outputs`, weighted by `grad_outputs`, with respect to each of `inputs`.

    An input that no output depends on is an error, unless `allow_unused` (it gives None) or
    `materialize_grads` (it gives zeros). `create_graph` lets the result be differentiated again.
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    if allow_unused is None:
        allow_unused = materialize_grads
    outputs = _tensors(outputs, "outputs")
    inputs = _tensors(inputs, "inputs")
    grads = (None,) * len(outputs) if grad_outputs is None else _grad_list(grad_outputs)
    if retain_graph is None:
        retain_graph = create_graph
    if is_grads_batched:
        return _grad_of_batch(outputs, inputs, grads, retain_graph, create_graph, allow_unused, materialize_grads)
    result = _C._autograd_grad(outputs, inputs, _cotangents(outputs, grads), retain_graph, create_graph, allow_unused)
    if materialize_grads:
        result = tuple(_C.zeros_like(i.detach()) if g is None else g for g, i in zip(result, inputs))
    return tuple(result)


def _grad_of_batch(outputs, inputs, grads, retain_graph, create_graph, allow_unused, materialize_grads):
    """One `grad` for each slice of the gradients along their first dimension, stacked."""
    count = next(g.shape[0] for g in grads if g is not None)
    rows = [
        grad(
            outputs,
            inputs,
            [None if g is None else g[i] for g in grads],
            retain_graph or i + 1 < count,
            create_graph,
            allow_unused,
            materialize_grads=materialize_grads,
        )
        for i in range(count)
    ]
    return tuple(None if column[0] is None else _C.stack(column) for column in zip(*rows))


def is_checkpoint_valid():
    return True


def _is_checkpoint_valid():
    return True
