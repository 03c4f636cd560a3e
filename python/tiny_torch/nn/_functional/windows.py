"""Pooling, unfolding and folding by gathering the positions that each window covers.

Positions depend on shapes alone, so they are plain numbers, made into an index when the operation is recorded.
"""

from __future__ import annotations

import math
from functools import partial

import tiny_torch as torch

from .arguments import _each


def _pooled_size(size, kernel, stride, padding, dilation, ceil_mode):
    """How many windows fit; in ceil mode the last may overhang, but must start inside the padded input."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    out = (span + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (out - 1) * stride >= size + padding:
        out -= 1
    return out


def _gather(x, axis, table, fill=None):
    """Replaces `axis` by two: window and position. `table` holds positions, outside ones where `fill` is to be read."""
    size = x.size(axis)
    outs, taps = len(table), len(table[0]) if table else 0
    flat = [i if 0 <= i < size else 0 for row in table for i in row]
    index = torch.tensor(flat, dtype=torch.long, device=x.device)
    shape = [*x.shape[:axis], outs, taps, *x.shape[axis + 1 :]]
    out = x.index_select(axis, index).reshape(shape)
    if fill is not None and any(not 0 <= i < size for row in table for i in row):
        inside = torch.tensor([0 <= i < size for row in table for i in row], device=x.device)
        inside = inside.reshape([outs, taps] + [1] * (x.dim() - axis - 1))
        out = torch.where(inside, out, fill)
    return out


def _windows(x, tables, fill=None):
    """(..., sizes) -> (..., windows of each dimension, positions of each dimension)."""
    n = len(tables)
    lead = x.dim() - n
    for d, table in enumerate(tables):
        # Each dimension treated so far became two.
        x = _gather(x, lead + 2 * d, table, fill)
    order = [*range(lead), *range(lead, lead + 2 * n, 2), *range(lead + 1, lead + 2 * n, 2)]
    return x.permute(order)


def _strided_tables(sizes, kernel, stride, padding, dilation, ceil_mode):
    return [
        [[o * s - p + k * d for k in range(w)] for o in range(_pooled_size(n, w, s, p, d, ceil_mode))]
        for n, w, s, p, d in zip(sizes, kernel, stride, padding, dilation)
    ]


def _adaptive_bounds(size, out):
    return [((i * size) // out, -((-(i + 1) * size) // out)) for i in range(out)]


def _adaptive_tables(sizes, outs):
    """Windows of unequal length, filled up with -1."""
    tables = []
    for n, o in zip(sizes, outs):
        bounds = _adaptive_bounds(n, o)
        width = max((b - a for a, b in bounds), default=1)
        tables.append([[a + k if a + k < b else -1 for k in range(width)] for a, b in bounds])
    return tables


def _check_pool(name, input, n, kernel, stride, padding, dilation=(1,)):
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(f"{name}: Expected {n + 1}D or {n + 2}D input tensor, but got {list(input.shape)}")
    if any(s <= 0 for s in stride):
        raise RuntimeError("stride must be greater than zero")
    if any(k <= 0 for k in kernel):
        raise RuntimeError("kernel size should be greater than zero")
    if any(d <= 0 for d in dilation):
        raise RuntimeError(f"dilation must be greater than zero, but got {min(dilation)}")
    for p, k in zip(padding, kernel):
        if p < 0:
            raise RuntimeError("pad must be non-negative")
        if 2 * p > k:
            raise RuntimeError(f"pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k}")


def _max_over(x, tables, sizes, return_indices):
    """Maxima of windows and, if asked for, where in the flattened input they stand."""
    n = len(tables)
    windows = _windows(x, tables, float("-inf") if x.is_floating_point() else torch.iinfo(x.dtype).min)
    lead = windows.dim() - 2 * n
    flat = windows.reshape(*windows.shape[: lead + n], -1)
    values, which = flat.max(-1)
    if not return_indices:
        return values
    positions = torch.zeros([1] * (2 * n), dtype=torch.long, device=x.device)
    for d, table in enumerate(tables):
        shape = [1] * (2 * n)
        shape[d], shape[n + d] = len(table), len(table[0])
        at = torch.tensor(table, dtype=torch.long, device=x.device).clamp(min=0)
        positions = positions * sizes[d] + at.reshape(shape)
    positions = positions.reshape(*positions.shape[:n], -1).expand_as(flat)
    return values, positions.gather(-1, which.unsqueeze(-1)).squeeze(-1)


def _max_pool(n, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    each = partial(_each, n)
    kernel = each(kernel_size)
    stride = each(stride) if stride is not None and stride != () and stride != [] else kernel
    padding, dilation = each(padding), each(dilation)
    _check_pool(f"max_pool{n}d", input, n, kernel, stride, padding, dilation)
    sizes = input.shape[-n:]
    tables = _strided_tables(sizes, kernel, stride, padding, dilation, ceil_mode)
    if any(not t for t in tables):
        raise RuntimeError(f"Given input size: {list(sizes)}. Calculated output size is too small")
    return _max_over(input, tables, sizes, return_indices)


def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool1d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool3d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def _avg_pool(n, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    each = partial(_each, n)
    kernel = each(kernel_size)
    stride = each(stride) if stride is not None and stride != () and stride != [] else kernel
    padding = each(padding)
    _check_pool(f"avg_pool{n}d", input, n, kernel, stride, padding)
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    sizes = input.shape[-n:]
    tables = _strided_tables(sizes, kernel, stride, padding, (1,) * n, ceil_mode)
    total = _windows(input, tables, 0.0).sum(tuple(range(-n, 0)))
    if divisor_override is not None:
        return total / divisor_override
    # A window that overhangs in ceil mode counts only its part inside the (padded) input.
    counts = torch.ones([1] * n, dtype=input.dtype, device=input.device)
    for d, (table, size, p) in enumerate(zip(tables, sizes, padding)):
        low, high = (-p, size + p) if count_include_pad else (0, size)
        shape = [1] * n
        shape[d] = len(table)
        inside = [float(sum(low <= i < high for i in row)) for row in table]
        counts = counts * torch.tensor(inside, dtype=input.dtype, device=input.device).reshape(shape)
    return total / counts


def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _adaptive_sizes(name, n, input, output_size):
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(f"{name}: Expected {n + 1}D or {n + 2}D tensor, but got {list(input.shape)}")
    outs = _each(n, output_size)
    if len(outs) != n:
        raise RuntimeError(f"{name}: output_size must be {n}")
    if any(o is not None and o < 0 for o in outs):
        raise RuntimeError("elements of output_size must be greater than or equal to 0")
    return tuple(s if o is None else o for o, s in zip(outs, input.shape[-n:]))


def _adaptive_avg(n, input, output_size):
    outs = _adaptive_sizes(f"adaptive_avg_pool{n}d", n, input, output_size)
    sizes = input.shape[-n:]
    total = _windows(input, _adaptive_tables(sizes, outs), 0.0).sum(tuple(range(-n, 0)))
    for d, (size, out) in enumerate(zip(sizes, outs)):
        counts = torch.tensor([float(b - a) for a, b in _adaptive_bounds(size, out)], device=input.device)
        total = total / counts.to(input.dtype).reshape([-1 if i == d else 1 for i in range(n)])
    return total


def adaptive_avg_pool1d(input, output_size):
    return _adaptive_avg(1, input, output_size)


def adaptive_avg_pool2d(input, output_size):
    return _adaptive_avg(2, input, output_size)


def adaptive_avg_pool3d(input, output_size):
    return _adaptive_avg(3, input, output_size)


def _adaptive_max(n, input, output_size, return_indices):
    outs = _adaptive_sizes(f"adaptive_max_pool{n}d", n, input, output_size)
    sizes = input.shape[-n:]
    return _max_over(input, _adaptive_tables(sizes, outs), sizes, return_indices)


def adaptive_max_pool1d(input, output_size, return_indices: bool = False):
    return _adaptive_max(1, input, output_size, return_indices)


def adaptive_max_pool2d(input, output_size, return_indices: bool = False):
    return _adaptive_max(2, input, output_size, return_indices)


def adaptive_max_pool3d(input, output_size, return_indices: bool = False):
    return _adaptive_max(3, input, output_size, return_indices)


def adaptive_max_pool1d_with_indices(input, output_size, return_indices: bool = False):
    return _adaptive_max(1, input, output_size, True)


def adaptive_max_pool2d_with_indices(input, output_size, return_indices: bool = False):
    return _adaptive_max(2, input, output_size, True)


def adaptive_max_pool3d_with_indices(input, output_size, return_indices: bool = False):
    return _adaptive_max(3, input, output_size, True)


def _lp_pool(n, input, norm_type, kernel_size, stride, ceil_mode):
    from .. import functional as F

    kernel = _each(n, kernel_size)
    pool = getattr(F, f"avg_pool{n}d")
    out = pool(input.pow(norm_type), kernel, stride if stride is not None else kernel, 0, ceil_mode)
    return (torch.sign(out) * F.relu(torch.abs(out))).mul(math.prod(kernel)).pow(1.0 / norm_type)


def lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode: bool = False):
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode: bool = False):
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input, norm_type, kernel_size, stride=None, ceil_mode: bool = False):
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def _fractional(n, input, kernel_size, output_size, output_ratio, return_indices, samples):
    """Graham (2014): the windows start at pseudo-random steps, one sequence for each channel and dimension."""
    if output_size is None and output_ratio is None:
        raise ValueError(f"fractional_max_pool{n}d requires specifying either an output_size or an output_ratio")
    each = partial(_each, n)
    kernel = each(kernel_size)
    sizes = input.shape[-n:]
    if output_size is None:
        outs = tuple(int(s * r) for s, r in zip(sizes, each(output_ratio)))
    else:
        outs = each(output_size)
    x = input if input.dim() == n + 2 else input.unsqueeze(0)
    batch, channels = x.shape[:2]
    if samples is None:
        samples = torch.rand(batch, channels, n, dtype=input.dtype, device=input.device)
    flat = x.reshape(batch, channels, -1)
    index = torch.zeros([1] * (2 + 2 * n), dtype=torch.long, device=x.device)
    for d in range(n):
        # The samples are given from the last dimension to the first in two dimensions, and in order in three.
        u = samples[..., n - 1 - d] if n == 2 else samples[..., d]
        size, out, k = sizes[d], outs[d], kernel[d]
        last = size - k
        if out > 1:
            step = last / (out - 1)
            i = torch.arange(out - 1, dtype=x.dtype, device=x.device)
            starts = ((i + u.unsqueeze(-1)) * step).to(torch.long) - (u.unsqueeze(-1) * step).to(torch.long)
            end = torch.full((batch, channels, 1), last, dtype=torch.long, device=x.device)
            starts = torch.cat([starts, end], -1)
        else:
            starts = torch.full((batch, channels, 1), last, dtype=torch.long, device=x.device)
        at = starts.unsqueeze(-1) + torch.arange(k, device=x.device)
        shape = [batch, channels] + [1] * (2 * n)
        shape[2 + d], shape[2 + n + d] = out, k
        index = index * size + at.reshape(shape)
    windows = index.reshape(batch, channels, math.prod(outs), -1)
    values, which = flat.gather(2, windows.reshape(batch, channels, -1)).reshape(windows.shape).max(-1)
    where = windows.gather(-1, which.unsqueeze(-1)).squeeze(-1)
    values, where = values.reshape(batch, channels, *outs), where.reshape(batch, channels, *outs)
    if input.dim() == n + 1:
        values, where = values.squeeze(0), where.squeeze(0)
    return (values, where) if return_indices else values


def fractional_max_pool2d(
    input, kernel_size, output_size=None, output_ratio=None, return_indices: bool = False, _random_samples=None
):
    return _fractional(2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool3d(
    input, kernel_size, output_size=None, output_ratio=None, return_indices: bool = False, _random_samples=None
):
    return _fractional(3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool2d_with_indices(
    input, kernel_size, output_size=None, output_ratio=None, return_indices: bool = False, _random_samples=None
):
    return _fractional(2, input, kernel_size, output_size, output_ratio, True, _random_samples)


def fractional_max_pool3d_with_indices(
    input, kernel_size, output_size=None, output_ratio=None, return_indices: bool = False, _random_samples=None
):
    return _fractional(3, input, kernel_size, output_size, output_ratio, True, _random_samples)


def _unpool_output_size(input, kernel_size, stride, padding, output_size):
    n = len(kernel_size)
    default = [(input.size(-n + d) - 1) * stride[d] + kernel_size[d] - 2 * padding[d] for d in range(n)]
    if output_size is None:
        return default
    output_size = list(output_size)
    if len(output_size) == n + 2:
        output_size = output_size[2:]
    if len(output_size) != n:
        raise ValueError(
            f"output_size should be a sequence containing {n} or {n + 2} elements, but it has a length of "
            f"'{len(output_size)}'"
        )
    for d in range(n):
        low, high = default[d] - stride[d], default[d] + stride[d]
        if not low < output_size[d] < high:
            raise ValueError(f"invalid output_size {output_size} (dim {d} must be between {low} and {high})")
    return output_size


def _max_unpool(n, input, indices, kernel_size, stride, padding, output_size):
    each = partial(_each, n)
    kernel = each(kernel_size)
    stride = each(stride) if stride is not None else kernel
    if any(step <= 0 for step in stride):
        raise RuntimeError(f"strides should be greater than zero, but got stride: {stride}")
    outs = _unpool_output_size(input, kernel, stride, each(padding), output_size)
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(
            f"Input to max_unpooling{n}d should be a {n + 1}d or {n + 2}d Tensor, but got a tensor with dim {input.dim()}"
        )
    if indices.dtype != torch.int64:
        raise RuntimeError(f"elements in indices should be type int64 but got: {indices.dtype}")
    if input.shape != indices.shape:
        raise RuntimeError(
            f"Expected shape of indices to be same as that of the input tensor ({list(input.shape)}) but got indices "
            f"tensor with shape: {list(indices.shape)}"
        )
    lead = input.shape[: input.dim() - n]
    flat = torch.zeros([*lead, math.prod(outs)], dtype=input.dtype, device=input.device)
    out = flat.scatter(-1, indices.reshape(*lead, -1), input.reshape(*lead, -1))
    return out.reshape(*lead, *outs)


def max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


def _fold_tables(sizes, kernel, dilation, padding, stride):
    return _strided_tables(sizes, kernel, stride, padding, dilation, False)


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """(N, C, H, W) -> (N, C*kh*kw, L), the L windows in reading order."""
    pair = partial(_each, 2)
    if input.dim() not in (3, 4):
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for "
            f"input, but got: {list(input.shape)}"
        )
    x = input if input.dim() == 4 else input.unsqueeze(0)
    tables = _fold_tables(x.shape[2:], pair(kernel_size), pair(dilation), pair(padding), pair(stride))
    if any(not t for t in tables):
        raise RuntimeError(
            f"Given input with spatial size {tuple(x.shape[2:])}, kernel_size={pair(kernel_size)}, the calculated "
            "shape of the array of sliding blocks is too small (non-positive)"
        )
    windows = _windows(x, tables, 0.0)
    taps = len(tables[0][0]) * len(tables[1][0])
    out = windows.permute(0, 1, 4, 5, 2, 3).reshape(x.size(0), x.size(1) * taps, len(tables[0]) * len(tables[1]))
    return out if input.dim() == 4 else out.squeeze(0)


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """(N, C*kh*kw, L) -> (N, C, H, W): windows summed back to where `unfold` takes them from."""
    pair = partial(_each, 2)
    outs, kernel = pair(output_size), pair(kernel_size)
    if input.dim() not in (2, 3):
        raise RuntimeError(
            f"Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for "
            f"input, but got: {list(input.shape)}"
        )
    x = input if input.dim() == 3 else input.unsqueeze(0)
    rows, cols = _fold_tables(outs, kernel, pair(dilation), pair(padding), pair(stride))
    if x.size(1) % (kernel[0] * kernel[1]):
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size(1)={x.size(1)} and kernel_size={kernel}."
        )
    if x.size(2) != len(rows) * len(cols):
        raise RuntimeError(
            f"Given output_size={outs}, kernel_size={kernel}, expected size of input's dimension 2 to match the "
            f"calculated number of sliding blocks {len(rows)} * {len(cols)} = {len(rows) * len(cols)}, but got "
            f"input.size(2)={x.size(2)}."
        )
    batch, channels = x.size(0), x.size(1) // (kernel[0] * kernel[1])
    # One place past the end takes what falls into the padding.
    height, width = outs
    place = [
        r * width + c if 0 <= r < height and 0 <= c < width else height * width
        for kr in range(kernel[0])
        for kc in range(kernel[1])
        for r in (row[kr] for row in rows)
        for c in (col[kc] for col in cols)
    ]
    index = torch.tensor(place, dtype=torch.long, device=x.device)
    flat = torch.zeros(batch, channels, height * width + 1, dtype=x.dtype, device=x.device)
    out = flat.index_add(2, index, x.reshape(batch, channels, len(place)))[..., : height * width]
    out = out.reshape(batch, channels, height, width)
    return out if input.dim() == 3 else out.squeeze(0)


def pixel_shuffle(input, upscale_factor: int):
    """(*, C*r*r, H, W) -> (*, C, H*r, W*r)."""
    r = upscale_factor
    if input.dim() < 3:
        raise RuntimeError(
            f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {input.dim()} dimension(s)"
        )
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, but "
            f"input.size(-3)={c} is not divisible by {r * r}"
        )
    n = len(lead)
    x = input.reshape(*lead, c // (r * r), r, r, h, w)
    x = x.permute(*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return x.reshape(*lead, c // (r * r), h * r, w * r)


def pixel_unshuffle(input, downscale_factor: int):
    """(*, C, H*r, W*r) -> (*, C*r*r, H, W)."""
    r = downscale_factor
    if input.dim() < 3:
        raise RuntimeError(
            f"pixel_unshuffle expects input to have at least 3 dimensions, but got input with {input.dim()} dimension(s)"
        )
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, c, h, w = input.shape
    if h % r:
        raise RuntimeError(
            f"pixel_unshuffle expects height to be divisible by downscale_factor, but input.size(-2)={h} is not divisible by {r}"
        )
    if w % r:
        raise RuntimeError(
            f"pixel_unshuffle expects width to be divisible by downscale_factor, but input.size(-1)={w} is not divisible by {r}"
        )
    n = len(lead)
    x = input.reshape(*lead, c, h // r, r, w // r, r)
    x = x.permute(*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return x.reshape(*lead, c * r * r, h // r, w // r)


def channel_shuffle(input, groups: int):
    """Splits the channels of (N, C, ...) into groups and interleaves them."""
    if input.dim() <= 2:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(input.shape)}")
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    n, c, *rest = input.shape
    if c % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {c} channels and {groups} groups.")
    return input.reshape(n, groups, c // groups, *rest).transpose(1, 2).reshape(n, c, *rest)
