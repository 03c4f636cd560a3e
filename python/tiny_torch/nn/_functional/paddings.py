"""Padding: constant, and the modes that repeat the input itself."""

from __future__ import annotations

import tiny_torch as torch


def _source(position, size, mode):
    """The position inside 0..size that a position outside stands for."""
    if mode == "replicate":
        return min(max(position, 0), size - 1)
    if position < 0:
        return -position
    return position if position < size else 2 * (size - 1) - position


def _constant(input, pad, value):
    out = input
    # Negative padding cuts.
    for d, (before, after) in enumerate(zip(pad[::2], pad[1::2])):
        axis = input.dim() - 1 - d
        size = out.size(axis)
        start, stop = max(-before, 0), size - max(-after, 0)
        if stop - start + max(before, 0) + max(after, 0) < 0 or stop < start:
            raise RuntimeError(
                f"The input size {size}, plus negative padding {before} and {after} resulted in a negative output size, "
                f"which is invalid. Check dimension {axis} of your input."
            )
        if start or stop != size:
            out = out.narrow(axis, start, stop - start)
        parts = [out]
        for n, front in ((before, True), (after, False)):
            if n > 0:
                shape = [*out.shape[:axis], n, *out.shape[axis + 1 :]]
                block = torch.full(shape, value, dtype=out.dtype, device=out.device)
                parts.insert(0, block) if front else parts.append(block)
        if len(parts) > 1:
            out = torch.cat(parts, axis)
    return out.clone() if out is input else out


def pad(input, pad, mode: str = "constant", value: float | None = None):
    """`pad` holds (before, after) for the last dimension, then for the one before it, and so on."""
    pad = [int(p) for p in pad]
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pad) // 2 > input.dim():
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(pad)} and input of dimension {input.dim()}"
        )
    if mode == "constant":
        return _constant(input, pad, 0 if value is None else value)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    n = len(pad) // 2
    if n not in (1, 2, 3) or input.dim() not in (n + 1, n + 2):
        raise NotImplementedError("Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now")
    out = input
    for d in range(n):
        before, after = pad[2 * d], pad[2 * d + 1]
        axis = input.dim() - 1 - d
        size = input.size(axis)
        if mode == "reflect" and (before >= size or after >= size):
            raise RuntimeError(
                "Argument #4: Padding size should be less than the corresponding input dimension, but got: padding "
                f"({before}, {after}) at dimension {axis} of input {list(input.shape)}"
            )
        if mode == "circular" and (before > size or after > size):
            raise RuntimeError("Padding value causes wrapping around more than once.")
        if before == 0 and after == 0:
            continue
        if mode == "circular":
            # Cut first, then wrapped around what is left.
            kept = list(range(max(-before, 0), size - max(-after, 0)))
            places = range(-max(before, 0), len(kept) + max(after, 0))
            index = [kept[i % len(kept)] for i in places]
        else:
            index = [_source(i, size, mode) for i in range(-before, size + after)]
        out = out.index_select(axis, torch.tensor(index, dtype=torch.long, device=input.device))
    return out
