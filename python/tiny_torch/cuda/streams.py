"""Streams and events. A device has one stream here, in which work runs in the order of the program."""
from .. import _C


class Stream:
    """The stream of a device, under another name: work given to any of them runs in order."""

    def __init__(self, device=None, priority=0, **kwargs):
        from . import _ordinal

        self.device_index = _ordinal(device)
        self.priority = priority

    @property
    def device(self):
        return _C.device("cuda", self.device_index)

    def synchronize(self):
        """Waits for the work."""
        from . import synchronize

        synchronize(self.device_index)

    def query(self):
        """Whether the work is done."""
        return self.record_event().query()

    def wait_event(self, event):
        """Nothing to do: work runs in order."""

    def wait_stream(self, stream):
        """Nothing to do: work runs in order."""

    def record_event(self, event=None):
        """Marks this place in the stream."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def __eq__(self, other):
        return isinstance(other, Stream) and other.device_index == self.device_index

    def __hash__(self):
        return hash(("stream", self.device_index))

    def __repr__(self):
        return f"<torch.cuda.Stream device=cuda:{self.device_index}>"


class Event:
    """A point in a device's work, and when the device came to it."""

    def __init__(self, enable_timing=False, blocking=False, interprocess=False, external=False):
        from . import init

        init()
        self._timing, self._native = enable_timing, None

    def record(self, stream=None):
        """Marks the end of the work so far."""
        self._native = _C._CudaEvent((stream or current_stream()).device_index)
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
        """Nothing to do: work runs in order."""


class stream:
    """`with torch.cuda.stream(s):`; work runs in order in any stream, so nothing changes but the device."""

    def __init__(self, stream):
        self._stream = stream

    def __enter__(self):
        from . import device

        self._device = device(None if self._stream is None else self._stream.device_index)
        self._device.__enter__()
        return self

    def __exit__(self, *exception):
        return self._device.__exit__(*exception)


class CUDAGraph:
    """Plans that run again and again are recorded as CUDA graphs without being asked; none can be made by hand."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError("torch.cuda.CUDAGraph: repeated steps are recorded as CUDA graphs by themselves")


def current_stream(device=None):
    """The stream of a device."""
    return Stream(device)


def default_stream(device=None):
    """The stream of a device."""
    return Stream(device)


def is_current_stream_capturing():
    """Never: graphs are recorded outside the program's sight."""
    return False
