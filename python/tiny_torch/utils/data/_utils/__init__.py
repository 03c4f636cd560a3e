"""Parts of the loader: collation, fetching, worker processes."""
from . import collate, fetch, pin_memory, worker

__all__ = ["collate", "fetch", "pin_memory", "worker"]

# Seconds between looks at whether the other side is still alive.
MP_STATUS_CHECK_INTERVAL = 5.0
