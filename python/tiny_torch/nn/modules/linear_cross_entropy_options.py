"""How `linear_cross_entropy` may split its work."""

from __future__ import annotations

__all__ = ["LinearCrossEntropyOptions"]


class LinearCrossEntropyOptions:
    """Accepted and kept; the compiler decides by itself how much of the logits exists at a time."""

    def __init__(
        self, allow_retain_graph: bool = False, batch_chunk_size: int | None = None, chunking_method: str | None = "auto",
        acc_policy: str = "auto", acc_dtype=None,
    ) -> None:  # fmt: skip
        self.allow_retain_graph = allow_retain_graph
        self.batch_chunk_size = batch_chunk_size
        self.chunking_method = chunking_method
        self.acc_policy = acc_policy
        self.acc_dtype = acc_dtype

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"

    def __eq__(self, other):
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None
