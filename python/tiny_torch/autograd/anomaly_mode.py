"""`detect_anomaly`: errors in `backward` already name the line of the forward operation here."""
from .._defaults import _state

__all__ = ["detect_anomaly", "set_detect_anomaly"]


class set_detect_anomaly:
    """Notes the mode. `is_anomaly_enabled` reports it."""

    def __init__(self, mode, check_nan=True):
        self.prev = (_state["anomaly"], _state.get("anomaly_check_nan", True))
        _state["anomaly"], _state["anomaly_check_nan"] = mode, check_nan

    def __enter__(self):
        return None

    def __exit__(self, exc_type, exc_value, traceback):
        _state["anomaly"], _state["anomaly_check_nan"] = self.prev


class detect_anomaly(set_detect_anomaly):
    """`set_detect_anomaly(True)` for the length of a block."""

    def __init__(self, check_nan=True):
        super().__init__(True, check_nan)


def is_anomaly_enabled():
    return _state["anomaly"]


def is_anomaly_check_nan_enabled():
    return _state.get("anomaly_check_nan", True)
