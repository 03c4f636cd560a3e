"""Losses as compositions of plain operators."""

from __future__ import annotations

import math

import tiny_torch as torch

from .. import _reduction as _Reduction
from .activations import logsigmoid
from .arguments import _under_autocast


def _reduction_of(size_average, reduce, reduction):
    if size_average is not None or reduce is not None:
        reduction = _Reduction.legacy_get_string(size_average, reduce)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def _reduced(loss, reduction):
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


def _warn_if_broadcast(input, target):
    if target.size() != input.size():
        import warnings

        warnings.warn(
            f"Using a target size ({target.size()}) that is different to the input size ({input.size()}). This will "
            "likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            stacklevel=3,
        )


def _pointwise(loss, weight, reduction):
    """A loss with one value for each element, and optionally one weight."""
    if weight is None:
        return _reduced(loss, reduction)
    weighted = loss * weight
    return weighted.sum() / weight.expand_as(loss).sum() if reduction == "mean" else _reduced(weighted, reduction)


def mse_loss(input, target, size_average=None, reduce=None, reduction: str = "mean", weight=None):
    input, target = _under_autocast("mse_loss", input, target)
    reduction = _reduction_of(size_average, reduce, reduction)
    _warn_if_broadcast(input, target)
    return _pointwise((input - target) ** 2, weight, reduction)


def l1_loss(input, target, size_average=None, reduce=None, reduction: str = "mean", weight=None):
    input, target = _under_autocast("l1_loss", input, target)
    reduction = _reduction_of(size_average, reduce, reduction)
    _warn_if_broadcast(input, target)
    return _pointwise((input - target).abs(), weight, reduction)


def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction: str = "mean", beta: float = 1.0):
    input, target = _under_autocast("smooth_l1_loss", input, target)
    reduction = _reduction_of(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    _warn_if_broadcast(input, target)
    error = (input - target).abs()
    if beta == 0.0:
        return _reduced(error, reduction)
    return _reduced(torch.where(error < beta, 0.5 * error * error / beta, error - 0.5 * beta), reduction)


def huber_loss(input, target, reduction: str = "mean", delta: float = 1.0, weight=None):
    input, target = _under_autocast("huber_loss", input, target)
    reduction = _reduction_of(None, None, reduction)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    _warn_if_broadcast(input, target)
    error = (input - target).abs()
    loss = torch.where(error <= delta, 0.5 * error * error, delta * (error - 0.5 * delta))
    return _pointwise(loss, weight, reduction)


def nll_loss(
    input, target, weight=None, size_average=None, ignore_index: int = -100, reduce=None, reduction: str = "mean"
):
    """Input (N, C, ...) or (C), target (N, ...) or ()."""
    reduction = _reduction_of(size_average, reduce, reduction)
    if input.dim() == 0:
        raise RuntimeError("input tensor should be at least 1D")
    class_dim = 0 if input.dim() == 1 else 1
    if input.dim() > 1 and input.size(0) != target.size(0):
        raise ValueError(f"Expected input batch_size ({input.size(0)}) to match target batch_size ({target.size(0)}).")
    kept = target != ignore_index
    index = torch.where(kept, target, 0)
    picked = -input.gather(class_dim, index.unsqueeze(class_dim)).squeeze(class_dim)
    scale = kept.to(input.dtype) if weight is None else weight[index] * kept
    loss = torch.where(kept, picked * scale, 0.0).to(input.dtype)
    return loss.sum() / scale.sum() if reduction == "mean" else _reduced(loss, reduction)


def cross_entropy(
    input, target, weight=None, size_average=None, ignore_index: int = -100, reduce=None, reduction: str = "mean",
    label_smoothing: float = 0.0,
):  # fmt: skip
    """Input (N, C, ...) or (C); target class numbers (N, ...) or probabilities of the input's shape."""
    reduction = _reduction_of(size_average, reduce, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    class_dim = 0 if input.dim() == 1 else 1
    n_classes = input.size(class_dim)
    log_prob = input.log_softmax(class_dim)
    along = [-1 if d == class_dim else 1 for d in range(input.dim())]
    if target.shape == input.shape:
        if not target.is_floating_point():
            raise RuntimeError(
                "Expected floating point type for target with class probabilities, got " + str(target.dtype)
            )
        if label_smoothing > 0:
            target = target * (1 - label_smoothing) + label_smoothing / n_classes
        loss = log_prob * target if weight is None else log_prob * target * weight.view(along)
        if reduction == "mean":
            return -loss.sum() / (input.numel() // n_classes)
        return -loss.sum(class_dim) if reduction == "none" else -loss.sum()
    loss = nll_loss(log_prob, target, weight, None, ignore_index, None, reduction)
    if label_smoothing == 0:
        return loss
    kept = target != ignore_index
    smooth = -(log_prob if weight is None else log_prob * weight.view(along)).sum(class_dim)
    smooth = torch.where(kept, smooth, 0.0)
    if reduction == "mean":
        count = kept.sum() if weight is None else (weight[torch.where(kept, target, 0)] * kept).sum()
        smooth = smooth.sum() / count
    elif reduction == "sum":
        smooth = smooth.sum()
    return (1 - label_smoothing) * loss + (label_smoothing / n_classes) * smooth


def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction: str = "mean"):
    reduction = _reduction_of(size_average, reduce, reduction)
    if target.size() != input.size():
        raise ValueError(
            f"Using a target size ({target.size()}) that is different to the input size ({input.size()}) is deprecated."
            " Please ensure they have the same size."
        )
    loss = -(target * input.log().clamp(min=-100) + (1 - target) * torch.log1p(-input).clamp(min=-100))
    return _reduced(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce=None, reduction: str = "mean", pos_weight=None
):
    reduction = _reduction_of(size_average, reduce, reduction)
    if target.size() != input.size():
        raise ValueError(f"Target size ({target.size()}) must be the same as input size ({input.size()})")
    log_p = logsigmoid(input)
    if pos_weight is None:
        loss = (1 - target) * input - log_p
    else:
        loss = (1 - target) * input - ((pos_weight - 1) * target + 1) * log_p
    return _reduced(loss if weight is None else loss * weight, reduction)


def kl_div(input, target, size_average=None, reduce=None, reduction: str = "mean", log_target: bool = False):
    input, target = _under_autocast("kl_div", input, target)
    import warnings

    if size_average is not None or reduce is not None:
        reduction = _Reduction.legacy_get_string(size_average, reduce)
    elif reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    batchmean = reduction == "batchmean"
    if batchmean:
        reduction = "sum"
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if log_target:
        loss = target.exp() * (target - input)
    else:
        # 0 log 0 is 0, and its gradient no NaN.
        loss = target * torch.where(target == 0, 1.0, target).log() - target * input
    out = _reduced(loss, reduction)
    return out / input.size(0) if batchmean and input.dim() != 0 else out


def poisson_nll_loss(
    input, target, log_input: bool = True, full: bool = False, size_average=None, eps: float = 1e-8, reduce=None,
    reduction: str = "mean",
):  # fmt: skip
    input, target = _under_autocast("poisson_nll_loss", input, target)
    reduction = _reduction_of(size_average, reduce, reduction)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        safe = torch.where(target > 1, target, 1.0)
        stirling = target * safe.log() - target + 0.5 * (2 * math.pi * safe).log()
        loss = loss + torch.where(target > 1, stirling, 0.0)
    return _reduced(loss, reduction)


def gaussian_nll_loss(input, target, var, full: bool = False, eps: float = 1e-6, reduction: str = "mean"):
    if isinstance(var, float):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = var * torch.ones_like(input)
    elif torch.any(var < 0):
        raise ValueError("var has negative entry/entries")
    if var.size() != input.size():
        if input.size()[:-1] == var.size():
            var = var.unsqueeze(-1)
        elif input.ndim != var.ndim or any(y not in (1, x) for x, y in zip(input.size(), var.size())):
            raise ValueError("var is of incorrect size")
    reduction = _reduction_of(None, None, reduction)
    # Clamped in value only: the gradient of var passes as if it were not.
    var = var + (var.detach().clamp(min=eps) - var.detach())
    loss = 0.5 * (var.log() + (input - target) ** 2 / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _reduced(loss, reduction)


def hinge_embedding_loss(input, target, margin: float = 1.0, size_average=None, reduce=None, reduction: str = "mean"):
    input, target = _under_autocast("hinge_embedding_loss", input, target)
    reduction = _reduction_of(size_average, reduce, reduction)
    far = torch.where(target != 1, (margin - input).clamp_min(0), 0.0)
    near = torch.where(target != -1, input, 0.0)
    return _reduced(far + near, reduction)


def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction: str = "mean"):
    input, target = _under_autocast("multilabel_margin_loss", input, target)
    reduction = _reduction_of(size_average, reduce, reduction)
    if input.shape != target.shape:
        raise RuntimeError(f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}")
    if input.dim() > 2 or 0 in input.shape[1:] or input.shape == (0,):
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(input.shape)}"
        )
    single = input.dim() <= 1
    x = input.reshape(1, -1) if single else input
    y = target.reshape(1, -1) if single else target
    # Targets end at the first -1.
    valid = (y >= 0).to(torch.long).cumprod(1).to(x.dtype)
    index = y.clamp(min=0)
    is_target = torch.zeros_like(x).scatter_add(1, index, valid) > 0
    margins = (1 - x.gather(1, index).unsqueeze(2) + x.unsqueeze(1)).clamp_min(0)
    counted = margins * valid.unsqueeze(2) * (~is_target).unsqueeze(1)
    loss = counted.sum((1, 2)) / x.size(1)
    return _reduced(loss.reshape(()) if single else loss, reduction)


def soft_margin_loss(input, target, size_average=None, reduce=None, reduction: str = "mean"):
    input, target = _under_autocast("soft_margin_loss", input, target)
    reduction = _reduction_of(size_average, reduce, reduction)
    return _reduced((-target * input).exp().log1p(), reduction)


def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None, reduction: str = "mean"):
    reduction = _reduction_of(size_average, reduce, reduction)
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return _reduced(loss.sum(-1) / input.size(-1), reduction)


def cosine_embedding_loss(
    input1, input2, target, margin: float = 0, size_average=None, reduce=None, reduction: str = "mean"
):
    input1, input2, target = _under_autocast("cosine_embedding_loss", input1, input2, target)
    reduction = _reduction_of(size_average, reduce, reduction)
    if target.dim() > 1:
        raise RuntimeError(
            f"0D or 1D target tensor expected, multi-target not supported. Got {target.dim()}D target tensor."
        )
    if target.dim() + 1 != input1.dim() or input1.dim() != input2.dim():
        raise RuntimeError(
            f"{target.dim()}D target tensor expects {target.dim() + 1}D input tensors, but found inputs with sizes "
            f"{list(input1.shape)} and {list(input2.shape)}."
        )
    dot = (input1 * input2).sum(-1)
    norms = ((input1 * input1).sum(-1) + 1e-12) * ((input2 * input2).sum(-1) + 1e-12)
    cos = dot / norms.sqrt()
    loss = torch.where(target == 1, 1 - cos, 0.0) + torch.where(target == -1, (cos - margin).clamp_min(0), 0.0)
    return _reduced(loss, reduction)


def margin_ranking_loss(
    input1, input2, target, margin: float = 0, size_average=None, reduce=None, reduction: str = "mean"
):
    input1, input2, target = _under_autocast("margin_ranking_loss", input1, input2, target)
    reduction = _reduction_of(size_average, reduce, reduction)
    if not input1.dim() == input2.dim() == target.dim():
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.size()}, input2: {input2.size()}, target: {target.size()} "
        )
    return _reduced((-target * (input1 - input2) + margin).clamp_min(0), reduction)


def multi_margin_loss(
    input, target, p: int = 1, margin: float = 1.0, weight=None, size_average=None, reduce=None,
    reduction: str = "mean",
):  # fmt: skip
    input, target = _under_autocast("multi_margin_loss", input, target)
    reduction = _reduction_of(size_average, reduce, reduction)
    if p != 1 and p != 2:
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    single = input.dim() <= 1
    x = input.reshape(1, -1) if single else input
    index = target.reshape(-1, 1)
    if index.size(0) != x.size(0):
        raise RuntimeError(f"inconsistent target size, expected {x.size(0)} but got {list(target.shape)}")
    margins = (margin - x.gather(1, index) + x).clamp_min(0)
    if p == 2:
        margins = margins * margins
    if weight is not None:
        margins = margins * weight[index]
    others = torch.ones_like(x).scatter(1, index, 0.0)
    loss = (margins * others).sum(1) / x.size(1)
    return _reduced(loss.reshape(()) if target.dim() == 0 else loss, reduction)


def _check_triplet(anchor, positive, negative, name):
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            f"The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor.dim()}D, positive {positive.dim()}D, and negative {negative.dim()}D inputs"
        )


def triplet_margin_loss(
    anchor, positive, negative, margin: float = 1.0, p: float = 2, eps: float = 1e-6, swap: bool = False,
    size_average=None, reduce=None, reduction: str = "mean",
):  # fmt: skip
    anchor, positive, negative = _under_autocast("triplet_margin_loss", anchor, positive, negative)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    reduction = _reduction_of(size_average, reduce, reduction)
    _check_triplet(anchor, positive, negative, "triplet_margin_loss")
    from .distances import pairwise_distance

    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = torch.minimum(far, pairwise_distance(positive, negative, p, eps))
    return _reduced((margin + near - far).clamp_min(0), reduction)


def triplet_margin_with_distance_loss(
    anchor, positive, negative, *, distance_function=None, margin: float = 1.0, swap: bool = False,
    reduction: str = "mean",
):  # fmt: skip
    reduction = _reduction_of(None, None, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if distance_function is None:
        from .distances import pairwise_distance as distance_function
    _check_triplet(anchor, positive, negative, "triplet_margin_with_distance_loss")
    near = distance_function(anchor, positive)
    far = distance_function(anchor, negative)
    if swap:
        far = torch.minimum(far, distance_function(positive, negative))
    return _reduced((margin + near - far).clamp_min(0), reduction)


def linear_cross_entropy(
    input, linear_weight, target, *, linear_bias=None, weight=None, reduction: str = "mean",
    ignore_index: int | None = None, label_smoothing: float = 0.0, options=None,
):  # fmt: skip
    """`cross_entropy` of `linear`. `options`, which would split the work, has no effect: the compiler fuses it."""
    from .. import functional as F

    classes, *outs, features = linear_weight.shape
    if outs and input.dim() < 2:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} requires batched input, "
            f"(N, {features}), got unbatched input with shape {tuple(input.shape)}"
        )
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = F.linear(input, linear_weight.reshape(-1, features), bias)
    logits = logits.reshape(*input.shape[:-1], classes, *outs)
    if ignore_index is None:
        ignore_index = -100
    elif target.is_floating_point():
        raise ValueError("ignore_index cannot be specified when target contains probabilities")
    return F.cross_entropy(
        logits, target, weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )
