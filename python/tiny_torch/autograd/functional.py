"""Jacobians, Hessians and their products with vectors, for functions of tensors."""
from .. import _C
from . import grad as _grad
from .grad_mode import enable_grad

__all__ = ["vjp", "jvp", "jacobian", "hessian", "hvp", "vhp"]


def _as_tuple(value, what, function):
    from .._tensor import Tensor

    if isinstance(value, Tensor):
        return (value,), False
    if not isinstance(value, tuple):
        value = tuple(value) if isinstance(value, list) else value
    if not isinstance(value, tuple) or not all(isinstance(v, Tensor) for v in value):
        raise TypeError(
            f"The {what} given to {function} must be either a Tensor or a tuple of Tensors but the given "
            f"{what} has type {type(value)}."
        )
    return value, True


def _inputs(inputs, create_graph, function):
    inputs, is_tuple = _as_tuple(inputs, "inputs", function)
    if create_graph:
        ready = tuple(i.view_as(i) if i.requires_grad else i.detach().requires_grad_(True) for i in inputs)
    else:
        ready = tuple(i.detach().requires_grad_(True) for i in inputs)
    return ready, is_tuple


def _pack(values, is_tuple):
    return tuple(values) if is_tuple else values[0]


def _finish(values, create_graph):
    return tuple(v if create_graph else v.detach() for v in values)


def _cotangent(v, outputs, function):
    if v is None:
        if len(outputs) != 1 or outputs[0].numel() != 1:
            raise RuntimeError(
                f"The vector v can only be None if the user-provided function returns a single Tensor with a single element."
            )
        return (_C.ones_like(outputs[0].detach()),)
    v, _ = _as_tuple(v, "v", function)
    if len(v) != len(outputs):
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(outputs)} but got {len(v)}.")
    for position, (a, b) in enumerate(zip(v, outputs)):
        if tuple(a.shape) != tuple(b.shape):
            raise RuntimeError(f"Entry {position} in v has invalid size: should be {b.shape} but got {a.shape}.")
    return v


def _require(values, sources, strict, message):
    """None stands for zero, unless `strict`."""
    if strict and any(v is None for v in values):
        raise RuntimeError(message)
    return tuple(_C.zeros_like(s.detach()) if v is None else v for v, s in zip(values, sources))


_INDEPENDENT = (
    "Output {0} of the user-provided function is independent of input {1}. This is not allowed in strict mode."
)


def vjp(func, inputs, v=None, create_graph=False, strict=False):
    """The function's outputs, and the product of `v` with its Jacobian at `inputs`."""
    with enable_grad():
        ready, is_tuple = _inputs(inputs, create_graph, "vjp")
        outputs, outputs_tuple = _as_tuple(func(*ready), "outputs of the user-provided function", "vjp")
        weights = _cotangent(v, outputs, "vjp")
        result = _grad_or_none(outputs, ready, weights, create_graph)
        result = _require(result, ready, strict, "The output of the user-provided function is independent of an input.")
    return _pack(_finish(outputs, create_graph), outputs_tuple), _pack(_finish(result, create_graph), is_tuple)


def _grad_or_none(outputs, inputs, weights, create_graph, retain_graph=None):
    pairs = [(o, w) for o, w in zip(outputs, weights) if o.requires_grad]
    if not pairs:
        return (None,) * len(inputs)
    outs, cots = zip(*pairs)
    keep = create_graph if retain_graph is None else retain_graph
    return _grad(outs, inputs, cots, retain_graph=keep, create_graph=create_graph, allow_unused=True)


def jvp(func, inputs, v=None, create_graph=False, strict=False):
    """The function's outputs, and the product of its Jacobian at `inputs` with `v` (two backward passes)."""
    with enable_grad():
        ready, is_tuple = _inputs(inputs, create_graph, "jvp")
        if v is None:
            if len(ready) != 1 or ready[0].numel() != 1:
                raise RuntimeError(
                    "The vector v can only be None if the input to the user-provided function is a single Tensor "
                    "with a single element."
                )
            tangents = (_C.ones_like(ready[0].detach()),)
        else:
            tangents, _ = _as_tuple(v, "v", "jvp")
        outputs, outputs_tuple = _as_tuple(func(*ready), "outputs of the user-provided function", "jvp")
        dummies = tuple(_C.zeros_like(o.detach()).requires_grad_(True) for o in outputs)
        first = _grad_or_none(outputs, ready, dummies, True)
        first = _require(first, ready, strict, "The Jacobian is zero for an input.")
        second = _grad_or_none(first, dummies, tangents, create_graph)
        result = _require(second, outputs, strict, "An output is independent of the inputs.")
    return _pack(_finish(outputs, create_graph), outputs_tuple), _pack(_finish(result, create_graph), outputs_tuple)


def jacobian(func, inputs, create_graph=False, strict=False, vectorize=False, strategy="reverse-mode"):
    """The Jacobian: for output `o` and input `i` a tensor of shape `o.shape + i.shape`, nested as they are tuples."""
    with enable_grad():
        ready, is_tuple = _inputs(inputs, create_graph, "jacobian")
        outputs, outputs_tuple = _as_tuple(func(*ready), "outputs of the user-provided function", "jacobian")
        rows = []
        for number, output in enumerate(outputs):
            flat = output.reshape(-1)
            columns = [[] for _ in ready]
            for element in range(flat.numel()):
                grads = _grad_or_none((flat[element],), ready, (None,), create_graph, retain_graph=True)
                for position, (column, grad, source) in enumerate(zip(columns, grads, ready)):
                    if grad is None:
                        if strict:
                            raise RuntimeError(_INDEPENDENT.format(number, position))
                        grad = _C.zeros_like(source.detach())
                    column.append(grad)
            shape = tuple(output.shape)
            row = [
                _C.stack(column).reshape(shape + tuple(source.shape))
                if column
                else _C.zeros(shape + tuple(source.shape), dtype=source.dtype)
                for column, source in zip(columns, ready)
            ]
            rows.append(_pack(_finish(row, create_graph), is_tuple))
    return _pack(rows, outputs_tuple)


def _scalar(func):
    def checked(*args):
        out = func(*args)
        from .._tensor import Tensor

        if isinstance(out, tuple) and len(out) == 1:
            out = out[0]
        if not isinstance(out, Tensor):
            raise RuntimeError("The function given to hessian should return a single Tensor")
        if out.numel() != 1:
            raise RuntimeError(
                "The Tensor returned by the function given to hessian should contain a single element"
            )
        return out.reshape(())

    return checked


def hessian(func, inputs, create_graph=False, strict=False, vectorize=False, outer_jacobian_strategy="reverse-mode"):
    """The second derivatives of a function that returns one number."""
    _, is_tuple = _as_tuple(inputs, "inputs", "hessian")
    scalar = _scalar(func)

    def gradient(*args):
        result = jacobian(scalar, args if is_tuple else args[0], create_graph=True, strict=strict)
        return result

    return jacobian(gradient, inputs, create_graph=create_graph, strict=strict)


def vhp(func, inputs, v=None, create_graph=False, strict=False):
    """The function's value, and the product of `v` with its Hessian."""
    with enable_grad():
        ready, is_tuple = _inputs(inputs, create_graph, "vhp")
        output = _scalar(func)(*ready)
        first = _require(_grad_or_none((output,), ready, (None,), True), ready, strict, "Zero gradient.")
        weights = _cotangent(v, ready, "vhp")
        second = _grad_or_none(first, ready, weights, create_graph)
        result = _require(second, ready, strict, "Zero second derivative.")
    return _finish((output,), create_graph)[0], _pack(_finish(result, create_graph), is_tuple)


# A Hessian is symmetric wherever it is continuous, so the product is the same from either side.
hvp = vhp
