"""Activations as compositions of plain operators.

Where a formula could overflow on the side that `where` does not choose, the argument is clamped first: a gradient of
0 times infinity would be not-a-number.
"""

from __future__ import annotations

import tiny_torch as torch


def _maybe_inplace(input, out, inplace):
    return input.copy_(out) if inplace else out


def threshold(input, threshold: float, value: float, inplace: bool = False):
    return _maybe_inplace(input, torch.where(input <= threshold, value, input), inplace)


def relu(input, inplace: bool = False):
    return input.relu_() if inplace else input.relu()


def hardtanh(input, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False):
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    out = torch.where(input <= min_val, min_val, torch.where(input >= max_val, max_val, input))
    return _maybe_inplace(input, out.to(input.dtype), inplace)


def relu6(input, inplace: bool = False):
    return hardtanh(input, 0.0, 6.0, inplace)


def hardsigmoid(input, inplace: bool = False):
    return _maybe_inplace(input, hardtanh(input + 3.0, 0.0, 6.0) / 6.0, inplace)


def hardswish(input, inplace: bool = False):
    return _maybe_inplace(input, input * hardtanh(input + 3.0, 0.0, 6.0) / 6.0, inplace)


def elu(input, alpha: float = 1.0, inplace: bool = False):
    below = torch.expm1(input.clamp(max=0.0)) * alpha
    return _maybe_inplace(input, torch.where(input <= 0, below, input), inplace)


def selu(input, inplace: bool = False):
    alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    below = torch.expm1(input.clamp(max=0.0)) * alpha
    return _maybe_inplace(input, torch.where(input <= 0, below, input) * scale, inplace)


def celu(input, alpha: float = 1.0, inplace: bool = False):
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    below = torch.expm1(input.clamp(max=0.0) / alpha) * alpha
    return _maybe_inplace(input, torch.where(input <= 0, below, input), inplace)


def leaky_relu(input, negative_slope: float = 0.01, inplace: bool = False):
    return _maybe_inplace(input, torch.where(input > 0, input, input * negative_slope), inplace)


def prelu(input, weight):
    if weight.dim() > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.dim()}")
    if weight.numel() != 1:
        channels = input.size(1) if input.dim() >= 2 else 1
        if channels != weight.numel():
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{weight.numel()} and channel size = {channels}."
            )
        weight = weight.reshape([-1 if d == 1 else 1 for d in range(input.dim())])
    else:
        weight = weight.reshape(())
    return torch.where(input > 0, input, input * weight)


def rrelu(input, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False):
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    slope = torch.empty_like(input).uniform_(lower, upper) if training else (lower + upper) / 2
    return _maybe_inplace(input, torch.where(input > 0, input, input * slope), inplace)


def logsigmoid(input):
    return input.clamp(max=0.0) - torch.log1p(torch.exp(-input.abs()))


def softplus(input, beta: float = 1.0, threshold: float = 20.0):
    scaled = input * beta
    return torch.where(scaled > threshold, input, torch.log1p(torch.exp(scaled.clamp(max=threshold))) / beta)


def softsign(input):
    return input / (input.abs() + 1)


def tanhshrink(input):
    return input - input.tanh()


def hardshrink(input, lambd: float = 0.5):
    return torch.where((input >= -lambd) & (input <= lambd), 0.0, input).to(input.dtype)


def softshrink(input, lambd: float = 0.5):
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd:g}.")
    return torch.where(input > lambd, input - lambd, torch.where(input < -lambd, input + lambd, input * 0))


def glu(input, dim: int = -1):
    if input.dim() == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    size = input.size(dim)
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim % input.dim()} is size {size}")
    first, second = input.chunk(2, dim)
    return first * torch.sigmoid(second)


def silu(input, inplace: bool = False):
    return _maybe_inplace(input, input * torch.sigmoid(input), inplace)


def mish(input, inplace: bool = False):
    return _maybe_inplace(input, input * torch.tanh(softplus(input)), inplace)


def sigmoid(input):
    return input.sigmoid()


def tanh(input):
    return input.tanh()


def _get_softmax_dim(name: str, ndim: int, stacklevel: int) -> int:
    """The dimension that old calls without one meant."""
    import warnings

    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=stacklevel,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input, dim: int | None = None, _stacklevel: int = 3, dtype=None):
    if dim is None:
        dim = _get_softmax_dim("softmax", input.dim(), _stacklevel)
    return input.softmax(dim) if dtype is None else input.softmax(dim, dtype=dtype)


def softmin(input, dim: int | None = None, _stacklevel: int = 3, dtype=None):
    if dim is None:
        dim = _get_softmax_dim("softmin", input.dim(), _stacklevel)
    return (-input).softmax(dim) if dtype is None else (-input).softmax(dim, dtype=dtype)


def log_softmax(input, dim: int | None = None, _stacklevel: int = 3, dtype=None):
    if dim is None:
        dim = _get_softmax_dim("log_softmax", input.dim(), _stacklevel)
    return input.log_softmax(dim) if dtype is None else input.log_softmax(dim, dtype=dtype)


def gumbel_softmax(logits, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1):
    """A sample from the Gumbel-softmax distribution; with `hard` one-hot forward and soft backward."""
    if eps != 1e-10:
        import warnings

        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    noise = -torch.empty_like(logits, memory_format=torch.legacy_contiguous_format).exponential_().log()
    soft = ((logits + noise) / tau).softmax(dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    one_hot = torch.zeros_like(logits, memory_format=torch.legacy_contiguous_format).scatter_(dim, index, 1.0)
    return one_hot - soft.detach() + soft


def normalize(input, p: float = 2.0, dim=1, eps: float = 1e-12, out=None):
    """`input` over its p-norm along `dim`, which counts as at least `eps`."""
    denom = input.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(input)
    return input / denom if out is None else torch.div(input, denom, out=out)


def relu_(input):
    return input.relu_()


def threshold_(input, threshold: float, value: float):
    return _maybe_inplace(input, torch.where(input <= threshold, value, input), True)


def hardtanh_(input, min_val: float = -1.0, max_val: float = 1.0):
    return hardtanh(input, min_val, max_val, True)


def elu_(input, alpha: float = 1.0):
    return elu(input, alpha, True)


def selu_(input):
    return selu(input, True)


def celu_(input, alpha: float = 1.0):
    return celu(input, alpha, True)


def leaky_relu_(input, negative_slope: float = 0.01):
    return leaky_relu(input, negative_slope, True)


def rrelu_(input, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False):
    return rrelu(input, lower, upper, training, True)
