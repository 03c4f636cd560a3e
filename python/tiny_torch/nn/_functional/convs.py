"""Convolutions in one and three dimensions, and transposed ones, over the two-dimensional operator."""

from __future__ import annotations

import tiny_torch as torch

from .arguments import _each


def _conv2d(*args):
    from .. import functional as F

    return F.conv2d(*args)


def _same_padding(input, kernel, dilation):
    """(before, after) for each dimension so that the output has the input's size, and the input ready for it."""
    from .. import functional as F

    edges = []
    for k, d in zip(reversed(kernel), reversed(dilation)):
        total = d * (k - 1)
        edges += [total // 2, total - total // 2]
    return F.pad(input, edges)


def _check_conv(name, n, input, weight):
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of size: "
            f"{list(input.shape)}"
        )
    if input.dtype != weight.dtype:
        raise RuntimeError(f"Input type ({input.dtype}) and weight type ({weight.dtype}) should be the same")


def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    _check_conv("conv1d", 1, input, weight)
    (s,), (d,) = _each(1, stride), _each(1, dilation)
    if isinstance(padding, str):
        if padding == "same":
            input = _same_padding(input, weight.shape[2:], (d,))
        p = 0
    else:
        (p,) = _each(1, padding)
    out = _conv2d(input.unsqueeze(-2), weight.unsqueeze(-2), bias, (1, s), (0, p), (1, d), groups)
    return out.squeeze(-2)


def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """One two-dimensional convolution for each slice of the kernel, over all depths at once, then summed."""
    _check_conv("conv3d", 3, input, weight)
    stride, dilation = _each(3, stride), _each(3, dilation)
    batched = input.dim() == 5
    x = input if batched else input.unsqueeze(0)
    if isinstance(padding, str):
        if padding == "same":
            x = _same_padding(x, weight.shape[2:], dilation)
        padding = (0, 0, 0)
    padding = _each(3, padding)
    from .. import functional as F

    x = F.pad(x, (0, 0, 0, 0, padding[0], padding[0]))
    n, c, depth, h, w = x.shape
    out_depth = (depth - dilation[0] * (weight.size(2) - 1) - 1) // stride[0] + 1
    total = None
    for k in range(weight.size(2)):
        start = k * dilation[0]
        index = torch.arange(out_depth, device=x.device) * stride[0] + start
        frames = x.index_select(2, index).transpose(1, 2).reshape(n * out_depth, c, h, w)
        term = _conv2d(frames, weight[:, :, k], None, stride[1:], padding[1:], dilation[1:], groups)
        total = term if total is None else total + term
    out = total.reshape(n, out_depth, *total.shape[1:]).transpose(1, 2)
    if bias is not None:
        out = out + bias.reshape(1, -1, 1, 1, 1)
    return out if batched else out.squeeze(0)


def _spread(x, axis, stride):
    """`stride - 1` zeros between neighbours along `axis`."""
    if stride == 1 or x.size(axis) == 0:
        return x
    parts = [x.unsqueeze(axis + 1)]
    shape = [*x.shape[: axis + 1], stride - 1, *x.shape[axis + 1 :]]
    parts.append(torch.zeros(shape, dtype=x.dtype, device=x.device))
    size = x.size(axis)
    spread = torch.cat(parts, axis + 1).reshape(*x.shape[:axis], size * stride, *x.shape[axis + 1 :])
    return spread.narrow(axis, 0, (size - 1) * stride + 1)


def _conv_transpose(n, input, weight, bias, stride, padding, output_padding, groups, dilation):
    """The input spread by the stride, padded, and convolved with the mirrored kernel."""
    from .. import functional as F

    stride, padding, output_padding, dilation = (_each(n, a) for a in (stride, padding, output_padding, dilation))
    _check_conv(f"conv_transpose{n}d", n, input, weight)
    for p, s, d in zip(output_padding, stride, dilation):
        if p >= max(s, d):
            raise RuntimeError(
                f"output padding must be smaller than either stride or dilation, but got output_padding: "
                f"{list(output_padding)}, stride: {list(stride)}, dilation: {list(dilation)}"
            )
    batched = input.dim() == n + 2
    x = input if batched else input.unsqueeze(0)
    if x.size(1) != weight.size(0):
        raise RuntimeError(
            f"Given transposed={1}, weight of size {list(weight.shape)}, expected input{list(x.shape)} to have "
            f"{weight.size(0)} channels, but got {x.size(1)} channels instead"
        )
    for d in range(n):
        x = _spread(x, 2 + d, stride[d])
    edges = []
    for d in reversed(range(n)):
        reach = dilation[d] * (weight.size(2 + d) - 1) - padding[d]
        edges += [reach, reach + output_padding[d]]
    x = F.pad(x, edges)
    # (C_in, C_out/g, k) -> (C_out, C_in/g, k), mirrored.
    c_in, c_out, *k = weight.shape
    kernel = weight.reshape(groups, c_in // groups, c_out, *k).transpose(1, 2)
    kernel = kernel.reshape(groups * c_out, c_in // groups, *k).flip(list(range(2, 2 + n)))
    out = getattr(F, f"conv{n}d")(x, kernel, bias, 1, 0, dilation, groups)
    return out if batched else out.squeeze(0)


def conv_transpose1d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    return _conv_transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    return _conv_transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    return _conv_transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)
