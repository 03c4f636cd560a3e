"""Dropout over elements and over whole channels, drawing as PyTorch draws."""

from __future__ import annotations

import tiny_torch as torch


def _check_probability(p):
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _drop(input, p, training, inplace, feature, alpha):
    """One draw for each element, or for each channel, of a factor with mean 1.

    Alpha dropout puts SELU's negative limit in place of zero, then restores mean 0 and variance 1.
    """
    if p == 0 or not training or input.numel() == 0:
        return input
    if p == 1 and not alpha:
        out = input * torch.zeros((), dtype=input.dtype, device=input.device)
        return input.copy_(out) if inplace else out
    if feature:
        if input.dim() < 2:
            raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
        noise = input.new_empty([*input.shape[:2], *([1] * (input.dim() - 2))])
    else:
        noise = torch.empty_like(input)
    noise = noise.detach().bernoulli_(1 - p)
    if alpha:
        limit = 1.7580993408473766
        a = 1.0 / ((limit * limit * p + 1) * (1 - p)) ** 0.5 if p < 1 else 0.0
        out = input * (noise * a) + ((noise - 1) * (limit * a) + limit * a * p)
    else:
        out = input * (noise / (1 - p))
    return input.copy_(out) if inplace else out


def dropout(input, p: float = 0.5, training: bool = True, inplace: bool = False):
    _check_probability(p)
    return _drop(input, p, training, inplace, False, False)


def alpha_dropout(input, p: float = 0.5, training: bool = False, inplace: bool = False):
    _check_probability(p)
    return _drop(input, p, training, inplace, False, True)


def feature_alpha_dropout(input, p: float = 0.5, training: bool = False, inplace: bool = False):
    _check_probability(p)
    return _drop(input, p, training, inplace, True, True)


def _batched_drop(input, p, training, inplace, batched):
    out = _drop(input if batched else input.unsqueeze(0), p, training, inplace and batched, True, False)
    if batched:
        return out
    out = out.squeeze(0)
    return input.copy_(out) if inplace else out


def dropout1d(input, p: float = 0.5, training: bool = True, inplace: bool = False):
    _check_probability(p)
    if input.dim() not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input. Note that dropout1d exists to "
            "provide channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, and an optional "
            "batch dimension (i.e. 2D or 3D inputs)."
        )
    return _batched_drop(input, p, training, inplace, input.dim() == 3)


def dropout2d(input, p: float = 0.5, training: bool = True, inplace: bool = False):
    _check_probability(p)
    if input.dim() not in (3, 4):
        import warnings

        warnings.warn(
            f"dropout2d: Received a {input.dim()}-D input to dropout2d, which is deprecated and will result in an "
            "error in a future release. To retain the behavior and silence this warning, please use dropout instead. "
            "Note that dropout2d exists to provide channel-wise dropout on inputs with 2 spatial dimensions, a channel "
            "dimension, and an optional batch dimension (i.e. 3D or 4D inputs).",
            stacklevel=2,
        )
    if input.dim() == 3:
        import warnings

        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is desired "
            "- input is interpreted as shape (N, C, L), where C is the channel dim. This behavior will change in a "
            "future release to interpret the input as one without a batch dimension, i.e. shape (C, H, W). To maintain "
            "the 1D channel-wise dropout behavior, please switch to using dropout1d instead.",
            stacklevel=2,
        )
    return _drop(input, p, training, inplace, True, False)


def dropout3d(input, p: float = 0.5, training: bool = True, inplace: bool = False):
    _check_probability(p)
    if input.dim() not in (4, 5):
        import warnings

        warnings.warn(
            f"dropout3d: Received a {input.dim()}-D input to dropout3d, which is deprecated and will result in an "
            "error in a future release. To retain the behavior and silence this warning, please use dropout instead. "
            "Note that dropout3d exists to provide channel-wise dropout on inputs with 3 spatial dimensions, a channel "
            "dimension, and an optional batch dimension (i.e. 4D or 5D inputs).",
            stacklevel=2,
        )
    return _batched_drop(input, p, training, inplace, input.dim() != 4)
