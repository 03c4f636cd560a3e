"""Comparing derivatives with finite differences."""
from .. import _C

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """A derivative that disagrees with finite differences, or an input that cannot be checked."""


def _leaves(value):
    from .._tensor import Tensor

    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _leaves(item)]
    return []


def _differentiable(outputs):
    return [t for t in _leaves(outputs) if t.dtype.is_floating_point and t.requires_grad]


def _numerical(evaluate, tensor, eps):
    """For each output its Jacobian with respect to `tensor`, as a list of columns: central differences."""
    original = tensor.detach().clone()
    flat = original.reshape(-1).tolist()
    shape = tuple(tensor.shape)
    columns = []
    for index, value in enumerate(flat):
        sides = []
        for sign in (1, -1):
            moved = list(flat)
            moved[index] = value + sign * eps
            _set(tensor, _C.tensor(moved, dtype=tensor.dtype).reshape(shape))
            sides.append([o.detach().reshape(-1).tolist() for o in evaluate()])
        columns.append([[(a - b) / (2 * eps) for a, b in zip(x, y)] for x, y in zip(*sides)])
    _set(tensor, original)
    return columns


def _set(tensor, value):
    from .grad_mode import no_grad

    with no_grad():
        tensor.copy_(value)


def _analytical(output, tensors, evaluate_index):
    """For each element of `output` its gradients with respect to each of `tensors`, flattened."""
    from . import grad

    rows = []
    for index in range(output.numel()):
        seed = [0.0] * output.numel()
        seed[index] = 1.0
        weights = _C.tensor(seed, dtype=output.dtype).reshape(tuple(output.shape))
        grads = grad([output], tensors, [weights], retain_graph=True, allow_unused=True)
        rows.append([[0.0] * t.numel() if g is None else g.detach().reshape(-1).tolist() for g, t in zip(grads, tensors)])
    return rows


def gradcheck(
    func,
    inputs,
    *,
    eps=1e-6,
    atol=1e-5,
    rtol=1e-3,
    raise_exception=True,
    nondet_tol=0.0,
    check_undefined_grad=True,
    check_grad_dtypes=False,
    check_batched_grad=False,
    check_batched_forward_grad=False,
    check_forward_ad=False,
    check_backward_ad=True,
    fast_mode=False,
    masked=None,
):
    """Whether the gradients of `func` at `inputs` agree with central differences. Inputs should be float64."""
    try:
        return _gradcheck(func, inputs, eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False


def _gradcheck(func, inputs, eps, atol, rtol):
    from .._tensor import Tensor

    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    tensors = [t for t in _leaves(inputs) if t.requires_grad]
    if not tensors:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of the them have requires_grad=True."
        )
    for position, tensor in enumerate(tensors):
        if tensor.dtype not in (_C.float64,):
            import warnings

            warnings.warn(
                f"Input #{position} requires gradient and is not a double precision floating point or complex. "
                "This check will likely fail if all the inputs are not of double precision floating point or complex. ",
                stacklevel=3,
            )

    def evaluate():
        return _differentiable(func(*inputs))

    if not evaluate():
        return True
    numerical = [_numerical(evaluate, tensor, eps) for tensor in tensors]
    # Made after the inputs have been moved and put back, which counts as modifying them.
    outputs = evaluate()
    for number, output in enumerate(outputs):
        rows = _analytical(output, tensors, number)
        for which, columns in enumerate(numerical):
            for row, gradients in enumerate(rows):
                for column, derivative in enumerate(gradients[which]):
                    expected = columns[column][number][row]
                    close = abs(derivative - expected) <= atol + rtol * abs(expected)
                    if not (close or (derivative != derivative and expected != expected)):
                        raise GradcheckError(
                            f"Jacobian mismatch for output {number} with respect to input {which},\n"
                            f"numerical:{expected}\nanalytical:{derivative}\nat element {row} of the output and "
                            f"element {column} of the input\n"
                        )
    return True


def gradgradcheck(func, inputs, grad_outputs=None, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True, **options):
    """`gradcheck` of the gradient of `func`: its second derivatives."""
    from .._tensor import Tensor
    from . import grad

    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    outputs = _differentiable(func(*inputs))
    if grad_outputs is None:
        weights = [_C.randn(tuple(o.shape), dtype=o.dtype).requires_grad_(True) for o in outputs]
    else:
        weights = _leaves(grad_outputs)

    def gradient(*args):
        values, cotangents = args[: len(inputs)], args[len(inputs) :]
        outs = _differentiable(func(*values))
        watched = [t for t in _leaves(values) if t.requires_grad]
        grads = grad(outs, watched, list(cotangents), create_graph=True, allow_unused=True)
        return tuple(g for g in grads if g is not None and g.requires_grad)

    return gradcheck(gradient, (*inputs, *weights), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception, **options)

