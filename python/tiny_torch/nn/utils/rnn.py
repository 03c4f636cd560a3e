"""Batches of sequences of different lengths: padded, and packed without padding."""

from __future__ import annotations

from collections import namedtuple
from itertools import pairwise

import tiny_torch as torch

__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence",
    "pad_sequence", "unpack_sequence", "unpad_sequence",
]  # fmt: skip


class PackedSequence(namedtuple("PackedSequence_", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])):
    """Sequences sorted by falling length, stored step by step: `batch_sizes[t]` of them still run at step t.

    `sorted_indices` says where each came from, `unsorted_indices` puts them back; both None when they came sorted.
    """

    __slots__ = ()

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not isinstance(data, (list, tuple)) or len(data) != 2:
                raise AssertionError("expected (data, batch_sizes)")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError(
                "batch_sizes should always be on CPU. Instances of PackedSequence should never be created manually. They "
                "should be instantiated by functions like pack_sequence and pack_padded_sequences in nn.utils.rnn. "
                "https://pytorch.org/docs/stable/nn.html#torch.nn.utils.rnn.pack_sequence"
            )
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args, **kwargs):
        """The same with `data`, and where needed the indices, moved or cast."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        kwargs = {k: v for k, v in kwargs.items() if k in ("device", "non_blocking")}
        move = [None if i is None else i.to(data.device, **{k: v for k, v in kwargs.items() if k != "device"})
                for i in (self.sorted_indices, self.unsorted_indices)]  # fmt: skip
        return type(self)(data, self.batch_sizes, *move)

    def cuda(self, *args, **kwargs):
        return self.to(*args, device="cuda", **kwargs)

    def cpu(self, *args, **kwargs):
        return self.to(*args, device="cpu", **kwargs)

    def double(self):
        return self.to(dtype=torch.double)

    def float(self):
        return self.to(dtype=torch.float)

    def half(self):
        return self.to(dtype=torch.half)

    def long(self):
        return self.to(dtype=torch.long)

    def int(self):
        return self.to(dtype=torch.int)

    @property
    def is_cuda(self):
        return self.data.is_cuda

    def is_pinned(self):
        return self.data.is_pinned()

    def pin_memory(self):
        return self


def invert_permutation(permutation):
    """The permutation that undoes `permutation`; None stays None."""
    if permutation is None:
        return None
    count = torch.arange(0, permutation.numel(), device=permutation.device)
    return torch.empty_like(permutation).scatter_(0, permutation, count)


def pack_padded_sequence(input, lengths, batch_first: bool = False, enforce_sorted: bool = True):
    """Packs padded sequences (T, N, *), or (N, T, *) when `batch_first`, of the given lengths."""
    if not isinstance(lengths, torch.Tensor):
        lengths = torch.as_tensor(lengths, dtype=torch.int64, device="cpu")
    sizes = [int(n) for n in lengths.tolist()]
    sorted_indices = None
    if not enforce_sorted:
        order = sorted(range(len(sizes)), key=lambda i: -sizes[i])
        sizes = [sizes[i] for i in order]
        sorted_indices = torch.tensor(order, dtype=torch.int64, device=input.device)
        input = input.index_select(0 if batch_first else 1, sorted_indices)
    if not sizes:
        raise RuntimeError("Expected `len(lengths)` to be equal to batch_size, but got 0")
    if len(sizes) != input.size(0 if batch_first else 1):
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(sizes)} "
            f"(batch_size={input.size(0 if batch_first else 1)})"
        )
    if sizes[-1] <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if any(a < b for a, b in pairwise(sizes)):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you do "
            "not need ONNX exportability."
        )
    batch_sizes = [sum(n > t for n in sizes) for t in range(sizes[0])]
    x = input.transpose(0, 1) if batch_first else input
    if x.size(0) < sizes[0]:
        raise RuntimeError(
            f"Expected sequence length to be larger than 0 in pack_padded_sequence, or at least {sizes[0]}"
        )
    places = [t * len(sizes) + i for t, n in enumerate(batch_sizes) for i in range(n)]
    flat = x[: sizes[0]].reshape(-1, *x.shape[2:])
    if len(places) == flat.size(0):
        data = flat
    else:
        data = flat.index_select(0, torch.tensor(places, dtype=torch.int64, device=input.device))
    return PackedSequence(data, torch.tensor(batch_sizes, dtype=torch.int64), sorted_indices, None)


def pad_packed_sequence(
    sequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
):
    """The padded sequences of a packed one, and their lengths."""
    batch_sizes = [int(n) for n in sequence.batch_sizes.tolist()]
    steps, batch = len(batch_sizes), batch_sizes[0]
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                f"Expected total_length to be at least the length of the longest sequence in input, but got "
                f"total_length={total_length} and max sequence length being {steps}"
            )
        steps = total_length
    data = sequence.data
    # One more row, of padding, for the places that no sequence reaches.
    filler = torch.full((1, *data.shape[1:]), padding_value, dtype=data.dtype, device=data.device)
    places, start = [], 0
    for t in range(steps):
        n = batch_sizes[t] if t < len(batch_sizes) else 0
        places += [*range(start, start + n), *([data.size(0)] * (batch - n))]
        start += n
    index = torch.tensor(places, dtype=torch.int64, device=data.device)
    padded = torch.cat([data, filler]).index_select(0, index).reshape(steps, batch, *data.shape[1:])
    lengths = torch.tensor([sum(n > i for n in batch_sizes) for i in range(batch)], dtype=torch.int64)
    if batch_first:
        padded = padded.transpose(0, 1)
    back = sequence.unsorted_indices
    if back is not None:
        return padded.index_select(0 if batch_first else 1, back), lengths[back.cpu()]
    return padded, lengths


def pad_sequence(sequences, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"):
    """Stacks sequences (L_i, *) into (T, N, *), or (N, T, *) when `batch_first`, padded to the longest."""
    if isinstance(sequences, torch.Tensor):
        sequences = sequences.unbind(0)
    elif not hasattr(sequences, "__iter__"):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    else:
        sequences = tuple(sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"padding_side should be one of left or right, but got: {padding_side}")
    longest = max(s.size(0) for s in sequences)
    rows = []
    for s in sequences:
        missing = longest - s.size(0)
        if missing:
            filler = torch.full((missing, *s.shape[1:]), padding_value, dtype=s.dtype, device=s.device)
            s = torch.cat([s, filler] if padding_side == "right" else [filler, s])
        rows.append(s)
    return torch.stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences, lengths, batch_first: bool = False):
    """The sequences of a padded batch, as a list."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [row[: int(n)] for row, n in zip(padded_sequences, lengths)]


def pack_sequence(sequences, enforce_sorted: bool = True):
    """Packs a list of sequences (L_i, *)."""
    lengths = torch.as_tensor([v.size(0) for v in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences):
    """The sequences of a packed batch, as a list."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
