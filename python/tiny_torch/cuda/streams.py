"""Streams and events.

A device's work runs in one queue, in the order of the program, behind Python: an order that every program with several
streams allows, whatever it waits for. So streams are told apart, and `current_stream` is the one that was chosen, but
waiting for one is free, memory that another stream uses is never taken too early, and nothing runs side by side.
"""
import itertools
import threading

from .. import _C

_numbers = itertools.count(1)
_chosen = threading.local()


class Stream:
    """A stream of a device. Work given to any of them runs in the order of the program.

    `priority` is kept and makes no difference. Raises `RuntimeError` for a device that is not there.
    """

    def __init__(self, device=None, priority=0, *, stream_id=None, **kwargs):
        from . import _ordinal

        self.device_index = _ordinal(device)
        self.priority = priority
        self.stream_id = next(_numbers) if stream_id is None else stream_id

    @staticmethod
    def priority_range():
        """The least and the greatest priority, as PyTorch gives them."""
        return (0, -1)

    @property
    def device(self):
        return _C.device("cuda", self.device_index)

    @property
    def cuda_stream(self):
        """A number that tells the stream from others of its device: 0 for the default one. It is no address."""
        return self.stream_id

    def synchronize(self):
        """Waits for the work."""
        from . import synchronize

        synchronize(self.device_index)

    def query(self):
        """Whether the work is done."""
        return self.record_event().query()

    def wait_event(self, event):
        """What is given to this stream from now on runs after the event: work runs in order, so that it does."""
        if not isinstance(event, Event):
            raise TypeError(f"wait_event(): expected a torch.cuda.Event, but got {type(event).__name__}")

    def wait_stream(self, stream):
        """What is given to this stream from now on runs after what the other has: work runs in order, so that it does."""
        if not isinstance(stream, Stream):
            raise TypeError(f"wait_stream(): expected a torch.cuda.Stream, but got {type(stream).__name__}")

    def record_event(self, event=None):
        """Marks this place in the stream."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def _key(self):
        return self.device_index, self.stream_id

    def __eq__(self, other):
        return isinstance(other, Stream) and other._key() == self._key()

    def __hash__(self):
        return hash(self._key())

    def __repr__(self):
        return f"<torch.cuda.Stream device=cuda:{self.device_index} cuda_stream={self.stream_id:#x}>"


class ExternalStream(Stream):
    """A stream made elsewhere: its number alone is known here."""

    def __init__(self, stream_ptr, device=None, **kwargs):
        super().__init__(device, stream_id=int(stream_ptr))


class Event:
    """A point in a device's work, and when the device came to it."""

    def __init__(self, enable_timing=False, blocking=False, interprocess=False, external=False):
        from . import init

        init()
        self._timing, self._native, self._device = enable_timing, None, None

    @property
    def device(self):
        """The device that it was last recorded on; `None` before."""
        return None if self._device is None else _C.device("cuda", self._device)

    def record(self, stream=None):
        """Marks the end of the work so far. Raises `RuntimeError` for a stream of another device than the first time."""
        ordinal = (stream or current_stream()).device_index
        if self._device not in (None, ordinal):
            raise RuntimeError(f"Event device {self._device} does not match recording stream's device {ordinal}.")
        self._device = ordinal
        if is_current_stream_capturing():
            return
        self._native = _C._CudaEvent(ordinal)
        self._native.record()

    def elapsed_time(self, end_event):
        """Milliseconds of the device's time from this event to another; both must have been reached."""
        if not (self._timing and end_event._timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._native is None or end_event._native is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        end_event.synchronize()
        return self._native.milliseconds_until(end_event._native)

    def query(self):
        """Whether the device has come to it."""
        return self._native is None or self._native.is_reached()

    def synchronize(self):
        """Waits until the device has come to it."""
        if self._native is not None:
            self._native.synchronize()

    def wait(self, stream=None):
        """What is given to the stream from now on runs after the event: work runs in order, so that it does."""

    def __repr__(self):
        return f"<torch.cuda.Event {'not recorded' if self._device is None else self.device}>"


class stream:
    """`with torch.cuda.stream(s):` makes `s` the current stream, and its device the current one; `None` changes nothing."""

    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        from . import device

        chosen = self.stream
        self._device = device(None if chosen is None else chosen.device_index)
        self._device.__enter__()
        if chosen is not None:
            self._before = current_stream()
            set_stream(chosen)
        return self

    def __exit__(self, *exception):
        if self.stream is not None:
            _streams()[self.stream.device_index] = self._before
        return self._device.__exit__(*exception)


StreamContext = stream


def _streams():
    """The current stream of each device, of this thread."""
    if not hasattr(_chosen, "streams"):
        _chosen.streams = {}
    return _chosen.streams


def set_stream(stream):
    """Makes a stream the current one, and its device the current device."""
    if stream is None:
        return
    _C._cuda_set_device(stream.device_index)
    _streams()[stream.device_index] = stream


def current_stream(device=None):
    """The stream of a device that was chosen last in this thread; the default one at first."""
    default = default_stream(device)
    return _streams().get(default.device_index, default)


def default_stream(device=None):
    """The stream that a device has from the first: number 0."""
    return Stream(device, stream_id=0)


def is_current_stream_capturing():
    """Whether this thread captures work for a `CUDAGraph`."""
    return _C._cuda_is_capturing()
