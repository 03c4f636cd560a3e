"""Window functions. Each has length `M`; `sym=False` gives the periodic window, for spectral analysis."""
import math

from .. import _C

__all__ = [
    "bartlett",
    "blackman",
    "cosine",
    "exponential",
    "gaussian",
    "general_cosine",
    "general_hamming",
    "hamming",
    "hann",
    "kaiser",
    "nuttall",
]


def _prepared(name, M, dtype, layout):
    """The dtype of the window, its arguments having been checked."""
    dtype = _C.get_default_dtype() if dtype is None else dtype
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout is not None and layout != _C.strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    if dtype not in (_C.float32, _C.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")
    return dtype


def _constant(M, value, dtype, device, requires_grad):
    return _C.full((M,), value, dtype=dtype, device=device, requires_grad=requires_grad)


def exponential(
    M, *, center=None, tau=1.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False
):
    """`exp(-|n - center| / tau)`."""
    dtype = _prepared("exponential", M, dtype, layout)
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    if M == 0:
        return _constant(0, 0, dtype, device, requires_grad)
    if center is None:
        center = (M if not sym and M > 1 else M - 1) / 2.0
    first, last = -center / tau, (M - 1 - center) / tau
    position = _C.linspace(first, last, M, dtype=dtype, device=device, requires_grad=requires_grad)
    return (-position.abs()).exp()


def cosine(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """The upper half of a sine: `sin(pi (n + 1/2) / M)`."""
    dtype = _prepared("cosine", M, dtype, layout)
    if M == 0:
        return _constant(0, 0, dtype, device, requires_grad)
    step = math.pi / (M + 1 if not sym and M > 1 else M)
    first, last = 0.5 * step, (M - 0.5) * step
    return _C.linspace(first, last, M, dtype=dtype, device=device, requires_grad=requires_grad).sin()


def gaussian(M, *, std=1.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """`exp(-(n - middle)^2 / (2 std^2))`."""
    dtype = _prepared("gaussian", M, dtype, layout)
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    if M == 0:
        return _constant(0, 0, dtype, device, requires_grad)
    start, scale = -(M if not sym and M > 1 else M - 1) / 2.0, 1 / (std * math.sqrt(2))
    first, last = start * scale, (start + M - 1) * scale
    position = _C.linspace(first, last, M, dtype=dtype, device=device, requires_grad=requires_grad)
    return (-(position * position)).exp()


def kaiser(M, *, beta=12.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """`I0(sqrt(beta^2 - (beta (n - middle) / middle)^2)) / I0(beta)`."""
    dtype = _prepared("kaiser", M, dtype, layout)
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    if M < 2:
        return _constant(M, 1, dtype, device, requires_grad)
    # The number is rounded to the window's type first, so that no square is below zero.
    beta = _C.tensor(beta, dtype=dtype, device=device)
    step = 2.0 * beta / (M if not sym else M - 1)
    end = _C.minimum(beta, (M - 1) * step - beta)
    position = _C.linspace(-beta, end, M, dtype=dtype, device=device, requires_grad=requires_grad)
    return _C.i0((beta * beta - position * position).sqrt()) / _C.i0(beta)


def general_cosine(M, *, a, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """A sum of cosines: `sum((-1)^i a[i] cos(2 pi i n / M))`."""
    dtype = _prepared("general_cosine", M, dtype, layout)
    if M < 2:
        return _constant(M, 1, dtype, device, requires_grad)
    if not hasattr(a, "__iter__"):
        raise TypeError("Coefficients must be a list/tuple")
    if not a:
        raise ValueError("Coefficients cannot be empty")
    step = 2 * math.pi / (M if not sym else M - 1)
    angle = _C.linspace(0, (M - 1) * step, M, dtype=dtype, device=device, requires_grad=requires_grad)
    signed = [(-1) ** i * weight for i, weight in enumerate(a)]
    weights = _C.tensor(signed, dtype=dtype, device=device, requires_grad=requires_grad)
    order = _C.arange(len(signed), dtype=dtype, device=device)
    return (weights.unsqueeze(-1) * (order.unsqueeze(-1) * angle).cos()).sum(0)


def general_hamming(M, *, alpha=0.54, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """`alpha - (1 - alpha) cos(2 pi n / M)`."""
    weights = [alpha, 1.0 - alpha]
    return general_cosine(
        M, a=weights, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


def hamming(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """`0.54 - 0.46 cos(2 pi n / M)`."""
    return general_hamming(
        M, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


def hann(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """`(1 - cos(2 pi n / M)) / 2`."""
    return general_hamming(
        M, alpha=0.5, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


def blackman(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """`0.42 - 0.5 cos(2 pi n / M) + 0.08 cos(4 pi n / M)`."""
    dtype = _prepared("blackman", M, dtype, layout)
    weights = [0.42, 0.5, 0.08]
    return general_cosine(
        M, a=weights, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


def nuttall(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """Nuttall's minimum four-term Blackman-Harris window."""
    weights = [0.3635819, 0.4891775, 0.1365995, 0.0106411]
    return general_cosine(
        M, a=weights, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


def bartlett(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """A triangle: `1 - |2 n / (M - 1) - 1|`."""
    dtype = _prepared("bartlett", M, dtype, layout)
    if M < 2:
        return _constant(M, 1, dtype, device, requires_grad)
    step = 2 / (M if not sym else M - 1)
    position = _C.linspace(
        -1, (M - 1) * step - 1, M, dtype=dtype, device=device, requires_grad=requires_grad
    )
    return 1 - position.abs()
