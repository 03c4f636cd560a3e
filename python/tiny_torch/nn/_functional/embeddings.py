"""Look-ups of rows, and one-hot vectors."""

from __future__ import annotations

import tiny_torch as torch


def _no_grad_embedding_renorm_(weight, input, max_norm: float, norm_type: float):
    """Scales the rows that are looked up down to `max_norm`, in place."""
    with torch.no_grad():
        norms = weight.norm(norm_type, 1, keepdim=True)
        used = torch.zeros_like(norms).index_fill(0, input.reshape(-1), 1.0) > 0
        weight.copy_(torch.where(used & (norms > max_norm), weight * (max_norm / (norms + 1e-7)), weight))


def _scaled_by_frequency(rows, input, count):
    """The same values, with gradients divided by how often each index occurs."""
    share = torch.zeros(count, dtype=rows.dtype, device=rows.device)
    share = share.index_add(0, input.reshape(-1), torch.ones_like(input, dtype=rows.dtype).reshape(-1))
    factor = (1.0 / share[input]).unsqueeze(-1)
    return rows * factor + (rows * (1 - factor)).detach()


def embedding(
    input, weight, padding_idx: int | None = None, max_norm: float | None = None, norm_type: float = 2.0,
    scale_grad_by_freq: bool = False, sparse: bool = False,
):  # fmt: skip
    """Rows of `weight`: (*) -> (*, D). The row `padding_idx` gets no gradient."""
    if weight.dim() != 2:
        raise RuntimeError("'weight' must be 2-D")
    if padding_idx is not None:
        if padding_idx >= weight.size(0) or padding_idx < -weight.size(0):
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= weight.size(0)
    if max_norm is not None:
        input = input.contiguous()
        _no_grad_embedding_renorm_(weight, input, max_norm, norm_type)
    rows = weight.index_select(0, input.reshape(-1)).reshape(*input.shape, weight.size(1))
    if scale_grad_by_freq:
        rows = _scaled_by_frequency(rows, input, weight.size(0))
    if padding_idx is not None:
        rows = torch.where((input == padding_idx).unsqueeze(-1), rows.detach(), rows)
    return rows


def embedding_bag(
    input, weight, offsets=None, max_norm: float | None = None, norm_type: float = 2, scale_grad_by_freq: bool = False,
    mode: str = "mean", sparse: bool = False, per_sample_weights=None, include_last_offset: bool = False,
    padding_idx: int | None = None,
):  # fmt: skip
    """Sums, means or maxima over bags of rows: the rows of a matrix of indices, or the stretches between offsets."""
    if weight.dtype == torch.long and input.is_floating_point():
        import warnings

        warnings.warn("Argument order of nn.functional.embedding_bag was changed. Usage `embedding_bag(weight, input, ...)` "
                      "is deprecated, and should now be `embedding_bag(input, weight, ...)`.", stacklevel=2)  # fmt: skip
        weight, input = input, weight
    if per_sample_weights is not None and input.size() != per_sample_weights.size():
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, then it must have the same "
            f"shape as the input ({input.shape})"
        )
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' "
            f"(got mode='{mode}'). Please open a feature request on GitHub."
        )
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
                f"sequences. However, found offsets of type {type(offsets)}"
            )
        bags = input.size(0)
        segment = torch.arange(bags, device=input.device).repeat_interleave(input.size(1))
        input = input.reshape(-1)
        if per_sample_weights is not None:
            per_sample_weights = per_sample_weights.reshape(-1)
    elif input.dim() == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.dim() != 1:
            raise ValueError("offsets has to be a 1D Tensor")
        bags = offsets.size(0) - 1 if include_last_offset else offsets.size(0)
        # Each offset opens a bag: a running count of the openings numbers the bag of every place.
        opened = torch.zeros(input.size(0) + 1, dtype=torch.long, device=input.device)
        opened = opened.index_add(
            0, offsets[:bags].to(torch.long), torch.ones(bags, dtype=torch.long, device=input.device)
        )
        segment = opened.cumsum(0)[: input.size(0)] - 1
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}")
    rows = embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)
    kept = torch.ones_like(input, dtype=rows.dtype)
    if padding_idx is not None:
        kept = (input != padding_idx % weight.size(0)).to(rows.dtype)
    shape = (bags, weight.size(1))
    zeros = torch.zeros(shape, dtype=rows.dtype, device=rows.device)
    if mode == "max":
        low = torch.where(kept.unsqueeze(1) > 0, rows, float("-inf"))
        index = segment.unsqueeze(1).expand_as(rows)
        out = torch.full_like(zeros, float("-inf")).scatter_reduce(0, index, low, "amax")
        return torch.where(out == float("-inf"), 0.0, out)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(1)
    total = zeros.index_add(0, segment, rows * kept.unsqueeze(1))
    if mode == "sum":
        return total
    counts = torch.zeros(bags, dtype=rows.dtype, device=rows.device).index_add(0, segment, kept)
    return total / counts.clamp_min(1).unsqueeze(1)


def one_hot(tensor, num_classes: int = -1):
    """(*) of class numbers -> (*, num_classes) of zeros with one 1; -1 means the largest number plus one."""
    if tensor.dtype != torch.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if tensor.numel() == 0:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return torch.empty(*tensor.shape, num_classes, dtype=torch.int64, device=tensor.device)
    if num_classes == -1:
        num_classes = int(tensor.max()) + 1
    elif num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    zeros = torch.zeros(*tensor.shape, num_classes, dtype=torch.int64, device=tensor.device)
    return zeros.scatter(-1, tensor.unsqueeze(-1), 1)
