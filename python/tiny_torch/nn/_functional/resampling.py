"""Resampling images: to another size, and along a grid of points."""

from __future__ import annotations

import itertools
import math
import struct

import tiny_torch as torch


def _f32(x: float) -> float:
    """Rounded to float32: PyTorch finds the nearest pixel in that precision."""
    return struct.unpack("f", struct.pack("f", x))[0]


def _scale(size, out, align_corners, factor):
    """How far apart in the input two neighbouring outputs stand."""
    if align_corners:
        return (size - 1) / (out - 1) if out > 1 else 0.0
    return 1.0 / factor if factor else size / out


def _nearest_index(size, out, factor, exact):
    scale = _f32(1.0 / factor) if factor else _f32(_f32(size) / _f32(out))
    shift = 0.5 if exact else 0.0
    return [min(math.floor(_f32((i + shift) * scale)), size - 1) for i in range(out)]


def _cubic_weights(t, a=-0.75):
    def near(x):
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x):
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _taps(mode, size, out, align_corners, factor):
    """For each output position the input positions that it mixes, and their weights."""
    scale = _scale(size, out, align_corners, factor)
    index, weight = [], []
    for i in range(out):
        at = scale * i if align_corners else scale * (i + 0.5) - 0.5
        if mode == "cubic":
            base = math.floor(at)
            index.append([min(max(base + k, 0), size - 1) for k in (-1, 0, 1, 2)])
            weight.append(_cubic_weights(at - base))
        else:
            at = max(at, 0.0)
            base = min(int(at), size - 1)
            t = min(max(at - base, 0.0), 1.0)
            index.append([base, min(base + 1, size - 1)])
            weight.append([1.0 - t, t])
    return index, weight


def _antialias_taps(mode, size, out, align_corners, factor):
    """The same with the filter stretched when shrinking, so that every input counts (Pillow's method)."""
    scale = _scale(size, out, align_corners, factor)
    support = (2.0 if mode == "cubic" else 1.0) * max(scale, 1.0)
    invert = 1.0 / scale if scale >= 1.0 else 1.0

    def kernel(x):
        x = abs(x)
        if mode != "cubic":
            return max(1.0 - x, 0.0)
        a = -0.5
        if x < 1:
            return ((a + 2) * x - (a + 3)) * x * x + 1
        return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0

    rows = []
    for i in range(out):
        centre = scale * (i + 0.5)
        low = max(int(centre - support + 0.5), 0)
        high = min(int(centre + support + 0.5), size)
        w = [kernel((j - centre + 0.5) * invert) for j in range(low, high)]
        total = sum(w)
        rows.append((low, [x / total if total else x for x in w]))
    width = max(len(w) for _, w in rows)
    index = [[min(low + k, size - 1) for k in range(width)] for low, _ in rows]
    weight = [w + [0.0] * (width - len(w)) for _, w in rows]
    return index, weight


def _mix(x, axis, index, weight):
    shape = [1] * x.dim()
    shape[axis] = len(index)
    out = None
    for k in range(len(index[0])):
        at = torch.tensor([row[k] for row in index], dtype=torch.long, device=x.device)
        w = torch.tensor([row[k] for row in weight], dtype=x.dtype, device=x.device).reshape(shape)
        term = x.index_select(axis, at) * w
        out = term if out is None else out + term
    return out


def _target_sizes(input, size, scale_factor, recompute_scale_factor):
    """The output's spatial sizes, and the scale factors that the positions are to be computed with (or None)."""
    n = input.dim() - 2
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        if isinstance(size, (list, tuple)):
            if len(size) != n:
                raise ValueError(
                    "Input and output must have the same number of spatial dimensions, but got input with spatial "
                    f"dimensions of {list(input.shape[2:])} and output size of {size}. Please provide input tensor in "
                    "(N, C, d1, d2, ...,dK) format and output size in (o1, o2, ...,oK) format."
                )
            if not all(isinstance(s, int) for s in size):
                raise TypeError("expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int], "
                                f"but got size with types {[type(s) for s in size]}")  # fmt: skip
            sizes = list(size)
        else:
            sizes = [int(size)] * n
        if recompute_scale_factor:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        return sizes, [None] * n
    if scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if isinstance(scale_factor, (list, tuple)):
        if len(scale_factor) != n:
            raise ValueError(
                "Input and scale_factor must have the same number of spatial dimensions, but got input with spatial "
                f"dimensions of {list(input.shape[2:])} and scale_factor of shape {scale_factor}. Please provide input "
                "tensor in (N, C, d1, d2, ...,dK) format and scale_factor in (s1, s2, ...,sK) format."
            )
        factors = [float(f) for f in scale_factor]
    else:
        factors = [float(scale_factor)] * n
    sizes = [math.floor(s * f) for s, f in zip(input.shape[2:], factors)]
    return sizes, [None] * n if recompute_scale_factor else factors


_MODE_DIMS = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5}


def interpolate(
    input, size=None, scale_factor=None, mode: str = "nearest", align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None, antialias: bool = False,
):  # fmt: skip
    """Resamples (N, C, [D, [H,]] W) to `size`, or by `scale_factor`."""
    if mode in ("nearest", "area", "nearest-exact"):
        if align_corners is not None:
            raise ValueError(
                "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | "
                "trilinear"
            )
    elif align_corners is None:
        align_corners = False
    sizes, factors = _target_sizes(input, size, scale_factor, recompute_scale_factor)
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and input.dim() == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D tensor as input"
        )
    if any(s <= 0 for s in sizes):
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input ({', '.join(map(str, input.shape[2:]))}) "
            f"output ({', '.join(map(str, sizes))})"
        )
    if mode in ("nearest", "nearest-exact"):
        out = input
        for d, (o, f) in enumerate(zip(sizes, factors)):
            index = _nearest_index(input.size(2 + d), o, f, mode == "nearest-exact")
            out = out.index_select(2 + d, torch.tensor(index, dtype=torch.long, device=input.device))
        return out
    if mode == "area":
        from .. import functional as F

        if input.dim() not in (3, 4, 5):
            raise NotImplementedError(
                f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.dim()}D) for the modes: nearest | "
                f"linear | bilinear | bicubic | trilinear | area | nearest-exact (got {mode})"
            )
        return getattr(F, f"adaptive_avg_pool{input.dim() - 2}d")(input, sizes)
    if _MODE_DIMS.get(mode) != input.dim():
        if mode in _MODE_DIMS and input.dim() in (3, 4, 5):
            raise NotImplementedError(f"Got {input.dim()}D input, but {mode} mode needs {_MODE_DIMS[mode]}D input")
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.dim()}D) for the modes: nearest | "
            f"linear | bilinear | bicubic | trilinear | area | nearest-exact (got {mode})"
        )
    kind = "cubic" if mode == "bicubic" else "linear"
    taps = _antialias_taps if antialias else _taps
    out = input
    # The last dimension first, which leaves less to do for the others when shrinking.
    for d in reversed(range(len(sizes))):
        index, weight = taps(kind, input.size(2 + d), sizes[d], align_corners, factors[d])
        out = _mix(out, 2 + d, index, weight)
    return out


def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    import warnings

    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input, size=None, scale_factor=None):
    import warnings

    warnings.warn(
        "`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2
    )
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input, size=None, scale_factor=None):
    import warnings

    warnings.warn(
        "`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2
    )
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


def affine_grid(theta, size, align_corners: bool | None = None):
    """The points in [-1, 1] where `grid_sample` must look to apply the affine maps `theta` (N, n, n+1)."""
    if align_corners is None:
        _warn_align_corners("affine_grid")
        align_corners = False
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    n = len(size) - 2
    if n not in (2, 3) or theta.dim() != 3 or theta.shape[-2] != n or theta.shape[-1] != n + 1:
        if len(size) in (4, 5):
            raise ValueError(
                f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {size}. Got {theta.shape}."
            )
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. "
            f"Got size {size}."
        )
    spatial = list(size)[2:]
    coords = []
    for d in reversed(range(n)):
        s = spatial[d]
        if align_corners:
            line = [-1.0 + 2.0 * i / (s - 1) if s > 1 else 0.0 for i in range(s)]
        else:
            line = [(2.0 * i + 1.0) / s - 1.0 for i in range(s)]
        shape = [1] * n
        shape[d] = s
        coords.append(torch.tensor(line, dtype=theta.dtype, device=theta.device).reshape(shape).expand(spatial))
    coords.append(torch.ones(spatial, dtype=theta.dtype, device=theta.device))
    base = torch.stack(coords, -1).reshape(1, -1, n + 1).expand(size[0], -1, -1)
    return base.matmul(theta.transpose(1, 2)).reshape(size[0], *spatial, n)


def _warn_align_corners(name):
    import warnings

    warnings.warn(
        "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
        "align_corners=True if the old behavior is desired. See the documentation of grid_sample for details.",
        stacklevel=4,
    )


def _unnormalized(x, size, align_corners):
    return (x + 1) / 2 * (size - 1) if align_corners else ((x + 1) * size - 1) / 2


def _reflected(x, low, high):
    """Folded back into [low, high], both given doubled so that half pixels are whole numbers."""
    if low == high:
        return x * 0
    start, span = low / 2, (high - low) / 2
    x = (x - start).abs()
    flips = torch.floor(x / span)
    extra = x - flips * span
    return torch.where(flips.detach() % 2 == 0, extra + start, span - extra + start)


def _source_position(x, size, padding_mode, align_corners):
    x = _unnormalized(x, size, align_corners)
    if padding_mode == "reflection":
        x = _reflected(x, 0, 2 * (size - 1)) if align_corners else _reflected(x, -1, 2 * size - 1)
    if padding_mode != "zeros":
        x = x.clamp(0, size - 1)
    return x


def _read(flat, sizes, at):
    """Values at whole positions (tensors of one shape, one for each dimension), 0 outside."""
    batch, channels = flat.shape[:2]
    index, inside = None, None
    for p, s in zip(at, sizes):
        ok = (p >= 0) & (p <= s - 1)
        inside = ok if inside is None else inside & ok
        p = p.clamp(0, s - 1).to(torch.long)
        index = p if index is None else index * s + p
    shape = index.shape[1:]
    picked = flat.gather(2, index.reshape(batch, 1, -1).expand(-1, channels, -1)).reshape(batch, channels, *shape)
    return picked * inside.unsqueeze(1).to(flat.dtype)


def grid_sample(input, grid, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None):
    """Reads (N, C, [D,] H, W) at the points of `grid` (N, ..., n), whose coordinates run from -1 to 1."""
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"'{padding_mode}'"
        )
    if align_corners is None:
        _warn_align_corners("grid_sample")
        align_corners = False
    n = input.dim() - 2
    if n not in (2, 3) or grid.dim() != input.dim():
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got input with sizes "
            f"{list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if grid.size(-1) != n:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {n} in last dimension, but got grid with sizes {list(grid.shape)}"
        )
    if input.size(0) != grid.size(0):
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with sizes "
            f"{list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    sizes = list(input.shape[2:])
    flat = input.reshape(input.size(0), input.size(1), -1)
    # The grid names the last dimension first.
    raw = [grid[..., n - 1 - d] for d in range(n)]
    if mode == "bicubic":
        return _grid_bicubic(flat, sizes, raw, padding_mode, align_corners)
    at = [_source_position(x, s, padding_mode, align_corners) for x, s in zip(raw, sizes)]
    if mode == "nearest":
        return _read(flat, sizes, [torch.round(x.detach()) for x in at])
    out = None
    low = [torch.floor(x.detach()) for x in at]
    for corner in range(2**n):
        weight, place = None, []
        for d in range(n):
            upper = (corner >> d) & 1
            w = at[d] - low[d] if upper else low[d] + 1 - at[d]
            weight = w if weight is None else weight * w
            place.append(low[d] + upper)
        term = _read(flat, sizes, place) * weight.unsqueeze(1)
        out = term if out is None else out + term
    return out


def _grid_bicubic(flat, sizes, raw, padding_mode, align_corners):
    at = [_unnormalized(x, s, align_corners) for x, s in zip(raw, sizes)]
    low = [torch.floor(x.detach()) for x in at]
    weights = [_cubic_weights(x - lo) for x, lo in zip(at, low)]

    def bounded(p, s):
        if padding_mode == "border":
            return p.clamp(0, s - 1)
        if padding_mode == "reflection":
            p = _reflected(p, 0, 2 * (s - 1)) if align_corners else _reflected(p, -1, 2 * s - 1)
            return p.clamp(0, s - 1)
        return p

    out = None
    for steps in itertools.product(range(4), repeat=len(sizes)):
        place, weight = [], None
        for lo, size, w, i in zip(low, sizes, weights, steps):
            place.append(bounded(lo + (i - 1), size))
            weight = w[i] if weight is None else weight * w[i]
        term = _read(flat, sizes, place) * weight.unsqueeze(1)
        out = term if out is None else out + term
    return out
