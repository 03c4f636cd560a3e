"""`assert_close`: whether values agree within tolerances that fit their dtypes."""
from collections.abc import Mapping, Sequence

from .._tensor import Tensor

__all__ = ["assert_allclose", "assert_close"]

# dtype -> (rtol, atol)
_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}


def _name(dtype):
    return str(dtype).rpartition(".")[2]


def _tolerances(kinds, rtol, atol):
    """The given tolerances, or the loosest of the two dtypes'."""
    if (rtol is None) != (atol is None):
        missing = "rtol" if rtol is None else "atol"
        raise ValueError(f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {missing}.")
    if rtol is not None:
        return rtol, atol
    pairs = [_TOLERANCES.get(kind, (0.0, 0.0)) for kind in kinds]
    return max((p[0] for p in pairs), default=0.0), max((p[1] for p in pairs), default=0.0)


class _Options:
    def __init__(self, rtol, atol, equal_nan, check_dtype, check_device, check_stride, allow_subclasses, msg):
        self.rtol, self.atol, self.equal_nan, self.msg = rtol, atol, equal_nan, msg
        self.check_dtype, self.check_device, self.check_stride = check_dtype, check_device, check_stride
        self.allow_subclasses = allow_subclasses

    def fail(self, text, path=()):
        if path:
            text += "\n\nThe failure occurred for item " + "".join(f"[{part!r}]" for part in path)
        if callable(self.msg):
            text = self.msg(text)
        elif self.msg is not None:
            text = self.msg
        raise AssertionError(text)


def assert_close(
    actual,
    expected,
    *,
    allow_subclasses=True,
    rtol=None,
    atol=None,
    equal_nan=False,
    check_device=True,
    check_dtype=True,
    check_layout=True,
    check_stride=False,
    msg=None,
):
    """Raises AssertionError unless |actual - expected| <= atol + rtol * |expected| everywhere.

    Takes tensors, NumPy arrays, numbers, and sequences and mappings of them.
    """
    if actual is expected and not isinstance(actual, Tensor):
        return
    options = _Options(rtol, atol, equal_nan, check_dtype, check_device, check_stride, allow_subclasses, msg)
    _tolerances((), rtol, atol)
    _compare(actual, expected, options, ())


def _is_array(value):
    return type(value).__module__ == "numpy" and hasattr(value, "dtype")


def _compare(actual, expected, options, path):
    if isinstance(actual, Tensor) and isinstance(expected, Tensor):
        if not options.allow_subclasses and type(actual) is not type(expected):
            raise TypeError(
                f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}."
            )
        return _compare_tensors(actual, expected, options, path)
    if _is_array(actual) and _is_array(expected):
        import numpy

        from .. import as_tensor

        return _compare_tensors(as_tensor(numpy.asarray(actual)), as_tensor(numpy.asarray(expected)), options, path)
    if isinstance(actual, bool) and isinstance(expected, bool):
        return actual is expected or options.fail(f"Booleans mismatch: {actual} is not {expected}", path)
    if isinstance(actual, (int, float, complex)) and isinstance(expected, (int, float, complex)):
        return _compare_numbers(actual, expected, options, path)
    if actual is None or expected is None:
        return actual is expected or options.fail(f"None mismatch: {actual} is not {expected}", path)
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        missing = sorted(set(expected) - set(actual), key=str)
        extra = sorted(set(actual) - set(expected), key=str)
        if missing or extra:
            options.fail(
                "The keys of the mappings do not match:\n"
                f"Missing keys in the actual mapping: {missing}\nAdditional keys in the actual mapping: {extra}",
                path,
            )
        for key in actual:
            _compare(actual[key], expected[key], options, (*path, key))
        return None
    if _is_sequence(actual) and _is_sequence(expected):
        if len(actual) != len(expected):
            options.fail(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", path)
        for i, (a, e) in enumerate(zip(actual, expected)):
            _compare(a, e, options, (*path, i))
        return None
    raise TypeError(f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.")


def _is_sequence(value):
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _compare_numbers(actual, expected, options, path):
    kinds = [{int: "int64", float: "float64", complex: "complex128"}.get(type(v), "float64") for v in (actual, expected)]
    if options.check_dtype and kinds[0] != kinds[1]:
        options.fail(f"The (d)types do not match: {type(actual)} != {type(expected)}.", path)
    rtol, atol = _tolerances(kinds, options.rtol, options.atol)
    if actual == expected or options.equal_nan and actual != actual and expected != expected:
        return
    difference = abs(actual - expected)
    if difference <= atol + rtol * abs(expected):
        return
    relative = difference / abs(expected) if expected else float("inf")
    options.fail(_scalar_text(actual, expected, difference, relative, rtol, atol), path)


def _scalar_text(actual, expected, difference, relative, rtol, atol):
    equal = rtol == 0 and atol == 0
    allowed = ("", "") if equal else (f" (up to {atol} allowed)", f" (up to {rtol} allowed)")
    return (
        f"Scalars are not {'equal' if equal else 'close'}!\n\nExpected {expected} but got {actual}.\n"
        f"Absolute difference: {difference}{allowed[0]}\nRelative difference: {relative}{allowed[1]}"
    )


def _compare_tensors(actual, expected, options, path):
    import numpy

    def attribute(name, a, b):
        options.fail(f"The values for attribute {name!r} do not match: {a} != {b}.", path)

    if tuple(actual.shape) != tuple(expected.shape):
        attribute("shape", actual.shape, expected.shape)
    if options.check_device and actual.device != expected.device:
        attribute("device", actual.device, expected.device)
    if options.check_dtype and actual.dtype != expected.dtype:
        attribute("dtype", actual.dtype, expected.dtype)
    if options.check_stride and actual.stride() != expected.stride():
        attribute("stride()", actual.stride(), expected.stride())
    rtol, atol = _tolerances([_name(actual.dtype), _name(expected.dtype)], options.rtol, options.atol)
    a, e = _array(actual), _array(expected)
    common = numpy.promote_types(a.dtype, e.dtype)
    a, e = a.astype(common), e.astype(common)
    if common.kind in "fc":
        close = numpy.isclose(a, e, rtol=rtol, atol=atol, equal_nan=options.equal_nan)
    elif rtol == 0 and atol == 0:
        close = a == e
    else:
        close = numpy.isclose(a.astype(float), e.astype(float), rtol=rtol, atol=atol)
    if close.all():
        return
    if common.kind in "bu":
        a, e = a.astype(numpy.int64), e.astype(numpy.int64)
    with numpy.errstate(all="ignore"):
        difference = numpy.abs(a - e)
        divisor = numpy.abs(e).astype(difference.dtype if common.kind in "fc" else numpy.float32)
        relative = difference / divisor if common.kind in "fc" else difference.astype(numpy.float32) / divisor
    if a.ndim == 0:
        values = (v.item() for v in (a, e, difference, relative))
        options.fail(_scalar_text(*values, rtol, atol), path)
    equal = rtol == 0 and atol == 0
    wrong = int((~close).sum())
    # Elements that agree, such as equal infinities, are not the greatest difference.
    shown = [numpy.where(close, 0, part) for part in (difference, relative)]
    where = [numpy.unravel_index(int(part.argmax()), part.shape) for part in shown]
    allowed = ("", "") if equal else (f" (up to {atol} allowed)", f" (up to {rtol} allowed)")
    lines = [
        f"Greatest {kind} difference: {part[at].item()} at index {tuple(map(int, at))}{limit}"
        for kind, part, at, limit in zip(("absolute", "relative"), shown, where, allowed)
    ]
    options.fail(
        f"Tensor-likes are not {'equal' if equal else 'close'}!\n\n"
        f"Mismatched elements: {wrong} / {a.size} ({wrong / a.size:.1%})\n" + "\n".join(lines),
        path,
    )


def _array(tensor):
    tensor = tensor.detach().cpu()
    if _name(tensor.dtype) in ("bfloat16", "float16"):
        tensor = tensor.float()
    return tensor.numpy()


def assert_allclose(actual, expected, rtol=None, atol=None, equal_nan=True, msg=""):
    """Older form of `assert_close` that compares across dtypes."""
    from .. import as_tensor

    if not isinstance(actual, Tensor):
        actual = as_tensor(actual)
    if not isinstance(expected, Tensor):
        expected = as_tensor(expected, dtype=actual.dtype)
    assert_close(actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=False, check_device=False, msg=msg or None)
