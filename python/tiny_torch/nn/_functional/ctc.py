"""Connectionist temporal classification (Graves et al., 2006), as a recursion over time in log space."""

from __future__ import annotations

import tiny_torch as torch

from .arguments import _under_autocast


def _lengths(lengths):
    if isinstance(lengths, torch.Tensor):
        return [int(n) for n in lengths.reshape(-1).tolist()]
    return [int(n) for n in lengths] if hasattr(lengths, "__iter__") else [int(lengths)]


def _logaddexp(terms):
    """log(sum(exp)) over a list of equally shaped tensors, -inf where every term is; gradients stay finite."""
    stacked = torch.stack(terms)
    top = stacked.detach().amax(0)
    safe = torch.where(top == float("-inf"), 0.0, top)
    total = (stacked - safe).exp().sum(0)
    empty = total == 0
    return torch.where(empty, float("-inf"), torch.where(empty, 1.0, total).log() + safe)


def ctc_loss(
    log_probs, targets, input_lengths, target_lengths, blank: int = 0, reduction: str = "mean",
    zero_infinity: bool = False,
):  # fmt: skip
    """`log_probs` (T, N, C) or (T, C); `targets` (N, S) or all of them one after the other."""
    (log_probs,) = _under_autocast("ctc_loss", log_probs)
    unbatched = log_probs.dim() == 2
    if unbatched:
        log_probs = log_probs.unsqueeze(1)
    steps, batch, classes = log_probs.shape
    in_len, out_len = _lengths(input_lengths), _lengths(target_lengths)
    if len(in_len) != batch:
        raise RuntimeError(f"input_lengths must be of size batch_size ({batch})")
    if len(out_len) != batch:
        raise RuntimeError(f"target_lengths must be of size batch_size ({batch})")
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    if any(n > steps for n in in_len):
        raise RuntimeError(
            f"Expected input_lengths to have value at most {steps}, but got value {max(in_len)} "
            "(while checking arguments for ctc_loss_cpu)"
        )
    longest = max(out_len, default=0)
    # Labels interleaved with blanks, one row for each sample, as plain numbers: they decide the graph's shape.
    flat = targets.reshape(-1).tolist()
    if targets.dim() == 2 and not unbatched:
        width = targets.size(1)
        rows = [flat[i * width : i * width + n] for i, n in enumerate(out_len)]
    else:
        rows, start = [], 0
        for n in out_len:
            rows.append(flat[start : start + n])
            start += n
    states = 2 * longest + 1
    labels = [[blank if s % 2 == 0 or s // 2 >= len(r) else int(r[s // 2]) for s in range(states)] for r in rows]
    # A path may skip the blank between two different labels.
    may_skip = [[s > 1 and s % 2 == 1 and row[s] != row[s - 2] for s in range(states)] for row in labels]
    index = torch.tensor(labels, device=log_probs.device)
    skip = torch.tensor(may_skip, device=log_probs.device)
    neg = torch.full((batch, 1), float("-inf"), dtype=log_probs.dtype, device=log_probs.device)
    alive = torch.tensor([[s < 2 * n + 1 for s in range(states)] for n in out_len], device=log_probs.device)
    length = torch.tensor(in_len, device=log_probs.device).unsqueeze(1)
    first = torch.tensor([s < 2 for s in range(states)], device=log_probs.device)
    emitted = [log_probs[t].gather(1, index) for t in range(steps)]
    if steps == 0:
        alpha = torch.where(first & False, 0.0, neg.expand(batch, states))
    else:
        alpha = torch.where(first & alive, emitted[0], float("-inf"))
    for t in range(1, steps):
        one = torch.cat([neg, alpha[:, :-1]], 1)
        two = torch.where(skip, torch.cat([neg, neg, alpha[:, :-2]], 1)[:, :states], float("-inf"))
        new = torch.where(alive, _logaddexp([alpha, one, two]) + emitted[t], float("-inf"))
        alpha = torch.where(length > t, new, alpha)
    last = torch.tensor([[2 * n] for n in out_len], device=log_probs.device)
    before = torch.tensor([[max(2 * n - 1, 0)] for n in out_len], device=log_probs.device)
    has_label = torch.tensor([[n > 0] for n in out_len], device=log_probs.device)
    ends = [alpha.gather(1, last), torch.where(has_label, alpha.gather(1, before), float("-inf"))]
    loss = -_logaddexp(ends).squeeze(1)
    # PyTorch's gradient takes for granted that the input is a log-softmax: exp(log_probs) is part of it.
    counted = torch.arange(steps, device=log_probs.device).unsqueeze(1) < length.squeeze(1)
    mass = (log_probs.exp() * counted.unsqueeze(2)).sum((0, 2))
    loss = loss + (mass - mass.detach())
    if zero_infinity:
        loss = torch.where(loss.detach() == float("inf"), 0.0, loss)
    if reduction == "mean":
        sizes = torch.tensor([float(max(n, 1)) for n in out_len], dtype=loss.dtype, device=loss.device)
        return (loss / sizes).mean()
    if reduction == "sum":
        return loss.sum()
    if reduction != "none":
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return loss.squeeze(0) if unbatched else loss
