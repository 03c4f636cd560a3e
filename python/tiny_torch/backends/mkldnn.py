"""oneDNN: not used."""
import sys

from . import _flags

enabled = True
deterministic = False
allow_tf32 = False


def is_available():
    return False


def flags(enabled=None, deterministic=None, allow_tf32=None, fp32_precision=None):
    """A context with other settings."""
    return _flags.flags(sys.modules[__name__], enabled=enabled, deterministic=deterministic, allow_tf32=allow_tf32)
