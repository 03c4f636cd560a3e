"""cuDNN's switches: kept, and without effect on the CPU."""
import sys

from . import _flags

enabled = True
benchmark = False
benchmark_limit = 10
deterministic = False
allow_tf32 = True


class _Precision:
    fp32_precision = "none"


conv = _Precision()
rnn = _Precision()


def version():
    return None


def is_available():
    return False


def is_acceptable(tensor):
    return False


def flags(enabled=None, benchmark=None, benchmark_limit=None, deterministic=None, allow_tf32=None, fp32_precision=None):
    """A context with other settings."""
    return _flags.flags(
        sys.modules[__name__],
        enabled=enabled,
        benchmark=benchmark,
        benchmark_limit=benchmark_limit,
        deterministic=deterministic,
        allow_tf32=allow_tf32,
    )
