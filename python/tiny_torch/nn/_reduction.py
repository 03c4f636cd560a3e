"""The two arguments `size_average` and `reduce` that `reduction` replaced."""

from __future__ import annotations


def get_enum(reduction: str) -> int:
    """The number by which PyTorch's native losses know a reduction."""
    codes = {"none": 0, "mean": 1, "elementwise_mean": 1, "sum": 2}
    if reduction not in codes:
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if reduction == "elementwise_mean":
        import warnings

        warnings.warn("reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.", stacklevel=2)
    return codes[reduction]


def legacy_get_string(size_average, reduce, emit_warning: bool = True) -> str:
    """The `reduction` that a pair of the old arguments stands for."""
    average = True if size_average is None else size_average
    reducing = True if reduce is None else reduce
    result = "none" if not reducing else ("mean" if average else "sum")
    if emit_warning:
        import warnings

        warnings.warn(
            f"size_average and reduce args will be deprecated, please use reduction='{result}' instead.", stacklevel=3
        )
    return result


def legacy_get_enum(size_average, reduce, emit_warning: bool = True) -> int:
    return get_enum(legacy_get_string(size_average, reduce, emit_warning))
