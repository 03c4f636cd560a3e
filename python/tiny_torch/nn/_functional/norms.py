"""Normalisations as compositions of plain operators."""

from __future__ import annotations

import math

import tiny_torch as torch

from .arguments import _under_autocast


def _verify_batch_size(size):
    """A batch with one value for each channel has no variance."""
    values = size[0] * math.prod(size[2:])
    if values == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {size}")


def _scaled(x, weight, bias, shape):
    if weight is not None:
        x = x * weight.reshape(shape)
    return x if bias is None else x + bias.reshape(shape)


def batch_norm(
    input, running_mean, running_var, weight=None, bias=None, training: bool = False, momentum: float = 0.1,
    eps: float = 1e-5,
):  # fmt: skip
    """(N, C, ...); the running statistics move towards the batch's by `momentum`, with the unbiased variance."""
    if training:
        _verify_batch_size(input.size())
    if input.numel() == 0 and input.dim() < 2:
        return input.clone()
    shape = [-1 if d == 1 else 1 for d in range(input.dim())]
    if training or running_mean is None:
        axes = [d for d in range(input.dim()) if d != 1]
        mean = input.mean(axes)
        var = (input - mean.reshape(shape)).pow(2).mean(axes)
        if running_mean is not None:
            count = input.numel() // input.size(1)
            with torch.no_grad():
                running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
                running_var.mul_(1 - momentum).add_(var * (count / max(count - 1, 1)), alpha=momentum)
    else:
        mean, var = running_mean, running_var
    out = (input - mean.reshape(shape)) * torch.rsqrt(var.reshape(shape) + eps)
    return _scaled(out, weight, bias, shape)


def _standardized(x, axes, eps):
    mean = x.mean(axes, keepdim=True)
    centred = x - mean
    return centred * torch.rsqrt(centred.pow(2).mean(axes, keepdim=True) + eps)


def layer_norm(input, normalized_shape, weight=None, bias=None, eps: float = 1e-5):
    n = len(normalized_shape)
    _check_trailing(input, normalized_shape)
    return _scaled(_standardized(input, list(range(-n, 0)), eps), weight, bias, tuple(normalized_shape))


def _check_trailing(input, normalized_shape):
    n = len(normalized_shape)
    if n < 1:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element"
        )
    if tuple(input.shape[-n:]) != tuple(normalized_shape):
        want = ", ".join(str(s) for s in normalized_shape)
        raise RuntimeError(
            f"Given normalized_shape={list(normalized_shape)}, expected input with shape [*, {want}], but got input of "
            f"size{list(input.shape)}"
        )


def rms_norm(input, normalized_shape, weight=None, eps: float | None = None):
    _check_trailing(input, normalized_shape)
    if eps is None:
        eps = torch.finfo(input.dtype).eps
    mean_square = input.pow(2).mean(list(range(-len(normalized_shape), 0)), keepdim=True)
    return _scaled(input * torch.rsqrt(mean_square + eps), weight, None, tuple(normalized_shape))


def group_norm(input, num_groups: int, weight=None, bias=None, eps: float = 1e-5):
    input, weight, bias = _under_autocast("group_norm", input, weight, bias)
    if input.dim() < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.dim()}")
    n, c, *rest = input.shape
    if num_groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if c % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(input.shape)} and num_groups={num_groups}"
        )
    _verify_batch_size([n * c // num_groups, num_groups, *rest])
    if c == 0:
        raise RuntimeError("Expected number of channels to be greater than 0, got 0")
    x = input.reshape(n, num_groups, c // num_groups * math.prod(rest))
    out = _standardized(x, [2], eps).reshape(input.shape)
    return _scaled(out, weight, bias, [1, c] + [1] * len(rest))


def instance_norm(
    input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats: bool = True,
    momentum: float = 0.1, eps: float = 1e-5,
):  # fmt: skip
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    spatial = math.prod(input.shape[2:])
    if spatial == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.size()}")
    axes = list(range(2, input.dim()))
    mean = input.mean(axes, keepdim=True)
    centred = input - mean
    var = centred.pow(2).mean(axes, keepdim=True)
    if running_mean is not None:
        with torch.no_grad():
            channels = input.size(1)
            unbiased = var.reshape(-1, channels).mean(0) * (spatial / max(spatial - 1, 1))
            running_mean.mul_(1 - momentum).add_(mean.reshape(-1, channels).mean(0), alpha=momentum)
            running_var.mul_(1 - momentum).add_(unbiased, alpha=momentum)
    shape = [-1 if d == 1 else 1 for d in range(input.dim())]
    return _scaled(centred * torch.rsqrt(var + eps), weight, bias, shape)


def local_response_norm(input, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
    if input.dim() < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {input.dim()} dimensions)")
    if input.numel() == 0:
        return input
    from .. import functional as F

    channels = input.size(1)
    edges = [0, 0] * (input.dim() - 2) + [size // 2, (size - 1) // 2]
    squares = F.pad(input * input, edges)
    total = squares[:, :channels]
    for i in range(1, size):
        total = total + squares[:, i : i + channels]
    return input / (total / size * alpha + k).pow(beta)
