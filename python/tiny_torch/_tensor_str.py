"""Text of tensors: the numbers, line breaks, abbreviation and suffixes that PyTorch prints.

The data is brought over as nested Python lists once; everything after that is plain Python.
"""
import math
from types import SimpleNamespace

from . import _C

__all__ = ["set_printoptions", "get_printoptions", "printoptions"]

_PROFILES = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}
PRINT_OPTS = SimpleNamespace(**_PROFILES["default"], sci_mode=None)


def set_printoptions(precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None):
    """Sets how tensors print.

    `precision`: digits after the point (4). `threshold`: more elements than this are abbreviated (1000).
    `edgeitems`: how many are shown at each end of a dimension then (3). `linewidth`: columns (80).
    `profile`: "default", "short" or "full". `sci_mode`: scientific notation always, never, or as the values ask (None).
    """
    if profile is not None:
        vars(PRINT_OPTS).update(_PROFILES.get(profile, {}))
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    vars(PRINT_OPTS).update({name: value for name, value in given.items() if value is not None})
    PRINT_OPTS.sci_mode = sci_mode


def get_printoptions():
    """The options in force, as keywords for `set_printoptions`."""
    return dict(vars(PRINT_OPTS))


class printoptions:
    """`set_printoptions` for the length of a `with` block."""

    def __init__(self, **options):
        self.options = options

    def __enter__(self):
        self.saved = get_printoptions()
        set_printoptions(**self.options)

    def __exit__(self, exc_type, exc_value, traceback):
        set_printoptions(**self.saved)


class _Formatter:
    """Chooses one notation and one width for all values of a tensor."""

    def __init__(self, values, floating):
        self.floating = floating
        self.integral = True
        self.scientific = False
        self.width = 1
        if not floating:
            self.width = max(map(len, map(str, values)), default=1)
            return
        seen = [v for v in values if v != 0 and math.isfinite(v)]
        if not seen:
            return
        smallest = min(map(abs, seen))
        largest = max(map(abs, seen))
        self.integral = all(v == math.ceil(v) for v in seen)
        if PRINT_OPTS.sci_mode is None:
            self.scientific = largest / smallest > 1000.0 or largest > 1.0e8 or smallest < 1.0e-4
        else:
            self.scientific = PRINT_OPTS.sci_mode
        if self.scientific:
            spec, extra = f".{PRINT_OPTS.precision}e", 0
        elif self.integral:
            spec, extra = ".0f", 1  # the point that tells 1. from 1
        else:
            spec, extra = f".{PRINT_OPTS.precision}f", 0
        self.width = max(1, max(len(format(v, spec)) for v in seen) + extra)

    def __call__(self, value):
        if not self.floating:
            text = str(value)
        elif self.scientific:
            text = format(value, f".{PRINT_OPTS.precision}e")
        elif self.integral:
            text = format(value, ".0f")
            if math.isfinite(value):
                text += "."
        else:
            text = format(value, f".{PRINT_OPTS.precision}f")
        return text.rjust(self.width)


class _ComplexFormatter:
    """A formatter for each of the two parts of complex values."""

    def __init__(self, values):
        self.real = _Formatter([v.real for v in values], True)
        self.imag = _Formatter([v.imag for v in values], True)
        self.width = self.real.width + self.imag.width + 1

    def __call__(self, value):
        imaginary = (self.imag(value.imag) + "j").lstrip()
        joint = "" if imaginary[0] in "+-" else "+"
        return self.real(value.real) + joint + imaginary


def _edges(tensor):
    """The tensor with the middle of every long dimension cut out."""
    keep = PRINT_OPTS.edgeitems
    for dim, size in enumerate(tensor.shape):
        if size > 2 * keep:
            tensor = _C.cat((tensor.narrow(dim, 0, keep), tensor.narrow(dim, size - keep, keep)), dim)
    return tensor


def _flat(data, depth):
    for _ in range(depth - 1):
        data = [value for row in data for value in row]
    return data


def _vector_str(data, cut, indent, formatter):
    per_line = max(1, math.floor((PRINT_OPTS.linewidth - indent) / (formatter.width + 2)))
    words = [formatter(value) for value in data]
    if cut:
        words.insert(PRINT_OPTS.edgeitems, " ...")
    lines = [", ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested_str(data, cuts, indent, formatter):
    if len(cuts) == 1:
        return _vector_str(data, cuts[0], indent, formatter)
    parts = [_nested_str(row, cuts[1:], indent + 1, formatter) for row in data]
    if cuts[0]:
        parts.insert(PRINT_OPTS.edgeitems, "...")
    return "[" + ("," + "\n" * (len(cuts) - 1) + " " * (indent + 1)).join(parts) + "]"


def _tensor_str(tensor, indent):
    """The bracketed numbers of a tensor that is not empty."""
    summarize = tensor.numel() > PRINT_OPTS.threshold
    shape = tuple(tensor.shape)
    if summarize and shape and not PRINT_OPTS.edgeitems:
        return "[...]"
    cuts = [summarize and size > 2 * PRINT_OPTS.edgeitems for size in shape]
    data = (_edges(tensor) if any(cuts) else tensor).tolist()
    dtype = tensor.dtype
    values = _flat(data, len(shape)) if shape else [data]
    formatter = _ComplexFormatter(values) if dtype.is_complex else _Formatter(values, dtype.is_floating_point)
    return _nested_str(data, cuts, indent, formatter) if shape else formatter(data)


def _with_suffixes(text, suffixes, indent):
    column = len(text) - text.rfind("\n") + 1
    parts = [text]
    for suffix in suffixes:
        if column + len(suffix) + 2 > PRINT_OPTS.linewidth:
            parts.append(",\n" + " " * indent + suffix)
            column = indent + len(suffix)
        else:
            parts.append(", " + suffix)
            column += len(suffix) + 2
    return "".join(parts) + ")"


def _str(tensor, *, tensor_contents=None):
    """What `repr(tensor)` gives. `tensor_contents` stands for the numbers when it is given."""
    import sys

    from . import _tensor
    from ._defaults import get_default_dtype
    from .autograd.grad_mode import no_grad

    cls = type(tensor)
    parameters = sys.modules.get(f"{__package__}.nn.parameter")
    is_parameter = parameters is not None and isinstance(tensor, parameters.Parameter)
    plain = cls is _tensor.Tensor or (is_parameter and cls is parameters.Parameter)
    prefix = "tensor(" if plain else cls.__name__ + "("
    indent = len(prefix)
    default = get_default_dtype()
    dtype = tensor.dtype
    default_complex = "complex128" if str(default) == "torch.float64" else "complex64"
    usual = dtype in (default, _C.int64, _C.bool) or str(dtype) == "torch." + default_complex
    suffixes = []
    device = tensor.device
    if device.type != "cpu":
        suffixes.append(f"device='{device}'")
    with no_grad():
        if device.type == "meta":
            contents = "..."
            suffixes.append("size=" + str(tuple(tensor.shape)))
            if dtype != default:
                suffixes.append("dtype=" + str(dtype))
        elif tensor.numel() == 0:
            contents = "[]"
            if tensor.dim() != 1:
                suffixes.append("size=" + str(tuple(tensor.shape)))
            if dtype != default:
                suffixes.append("dtype=" + str(dtype))
        else:
            if not PRINT_OPTS.edgeitems:
                suffixes.append("size=" + str(tuple(tensor.shape)))
            if not usual:
                suffixes.append("dtype=" + str(dtype))
            contents = _tensor_str(tensor.detach(), indent) if tensor_contents is None else tensor_contents
    if tensor_contents is not None:
        contents = tensor_contents
    grad_fn = tensor.grad_fn
    if grad_fn is not None:
        name = getattr(grad_fn, "name", None)
        name = name() if callable(name) else type(grad_fn).__name__
        suffixes.append(f"grad_fn=<{name}>")
    elif tensor.requires_grad:
        suffixes.append("requires_grad=True")
    text = _with_suffixes(prefix + contents, suffixes, indent)
    return f"Parameter({text})" if is_parameter and not plain else text
