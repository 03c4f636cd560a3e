"""TensorBoard's event files: length, checksum, message, checksum, one record after the other.

The messages are protocol buffers `Event` and `Summary` (tensorflow/core/util/event.proto,
tensorflow/core/framework/summary.proto), written field by field.
"""
import os
import struct
import time

_CRC_TABLE = []


def _crc32c(data):
    """The Castagnoli checksum."""
    if not _CRC_TABLE:
        for value in range(256):
            for _ in range(8):
                value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
            _CRC_TABLE.append(value)
    checksum = 0xFFFFFFFF
    for byte in data:
        checksum = checksum >> 8 ^ _CRC_TABLE[(checksum ^ byte) & 0xFF]
    return checksum ^ 0xFFFFFFFF


def _masked(data):
    checksum = _crc32c(data)
    return struct.pack("<I", ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(value):
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes_field(number, data):
    data = data.encode() if isinstance(data, str) else data
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _int_field(number, value):
    return _varint(number << 3) + _varint(int(value))


def _float_field(number, value):
    return _varint(number << 3 | 5) + struct.pack("<f", value)


def _double_field(number, value):
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _packed_doubles(number, values):
    return _bytes_field(number, struct.pack(f"<{len(values)}d", *values))


class FileWriter:
    """Appends events to one file in a folder."""

    def __init__(self, log_dir, filename_suffix=""):
        import socket

        self.log_dir = os.fspath(log_dir)
        os.makedirs(self.log_dir, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{os.urandom(2).hex()}{filename_suffix}"
        self._file = open(os.path.join(self.log_dir, name), "ab")
        self._write(_bytes_field(3, "brain.Event:2"))

    def get_logdir(self):
        return self.log_dir

    def _write(self, fields, walltime=None):
        event = _double_field(1, time.time() if walltime is None else walltime) + fields
        length = struct.pack("<Q", len(event))
        self._file.write(length + _masked(length) + event + _masked(event))

    def add_value(self, value, step, walltime=None):
        """Adds one `Summary.Value`, given as its bytes."""
        fields = (_int_field(2, step) if step else b"") + _bytes_field(5, _bytes_field(1, value))
        self._write(fields, walltime)

    def flush(self):
        self._file.flush()

    def close(self):
        self._file.close()


def _number(value):
    return float(value.item() if hasattr(value, "item") else value)


class SummaryWriter:
    """Writes what a training run wants remembered. `runs/DATE_HOST` unless `log_dir` is given."""

    def __init__(self, log_dir=None, comment="", purge_step=None, max_queue=10, flush_secs=120, filename_suffix=""):
        if not log_dir:
            import socket

            log_dir = os.path.join("runs", time.strftime("%b%d_%H-%M-%S") + "_" + socket.gethostname() + comment)
        self.log_dir = os.fspath(log_dir)
        self.filename_suffix = filename_suffix
        self.file_writer = FileWriter(self.log_dir, filename_suffix)
        self._others = {}

    def get_logdir(self):
        return self.log_dir

    def add_scalar(self, tag, scalar_value, global_step=None, walltime=None, new_style=False, double_precision=False):
        value = _bytes_field(1, tag) + _float_field(2, _number(scalar_value))
        self.file_writer.add_value(value, global_step or 0, walltime)

    def add_scalars(self, main_tag, tag_scalar_dict, global_step=None, walltime=None):
        for tag, value in tag_scalar_dict.items():
            folder = os.path.join(self.log_dir, main_tag.replace("/", "_") + "_" + tag)
            if folder not in self._others:
                self._others[folder] = FileWriter(folder, self.filename_suffix)
            entry = _bytes_field(1, main_tag) + _float_field(2, _number(value))
            self._others[folder].add_value(entry, global_step or 0, walltime)

    def add_text(self, tag, text_string, global_step=None, walltime=None):
        # A string tensor (dtype 7) of shape [1], for the plugin "text".
        shape = _bytes_field(2, _bytes_field(2, _int_field(1, 1)))
        tensor = _int_field(1, 7) + shape + _bytes_field(8, text_string)
        plugin = _bytes_field(1, _bytes_field(1, "text"))
        value = _bytes_field(1, tag + "/text_summary") + _bytes_field(9, plugin) + _bytes_field(8, tensor)
        self.file_writer.add_value(value, global_step or 0, walltime)

    def add_histogram(self, tag, values, global_step=None, bins="tensorflow", walltime=None, max_bins=None):
        import numpy

        data = numpy.asarray(values.detach().numpy() if hasattr(values, "detach") else values, dtype=numpy.float64).ravel()
        counts, limits = numpy.histogram(data, bins=30 if bins == "tensorflow" else bins)
        histogram = (
            _double_field(1, data.min())
            + _double_field(2, data.max())
            + _double_field(3, data.size)
            + _double_field(4, data.sum())
            + _double_field(5, (data * data).sum())
            + _packed_doubles(6, limits[1:].tolist())
            + _packed_doubles(7, counts.astype(float).tolist())
        )
        self.file_writer.add_value(_bytes_field(1, tag) + _bytes_field(5, histogram), global_step or 0, walltime)

    def add_image(self, tag, img_tensor, global_step=None, walltime=None, dataformats="CHW"):
        import numpy

        array = numpy.asarray(img_tensor.detach().numpy() if hasattr(img_tensor, "detach") else img_tensor)
        order = [dataformats.upper().index(axis) for axis in ("HWC" if array.ndim == 3 else "HW")]
        array = array.transpose(order)
        if array.dtype.kind == "f":
            array = (array.clip(0, 1) * 255).astype(numpy.uint8)
        height, width = array.shape[:2]
        channels = array.shape[2] if array.ndim == 3 else 1
        image = _int_field(1, height) + _int_field(2, width) + _int_field(3, channels) + _bytes_field(4, _png(array, channels))
        self.file_writer.add_value(_bytes_field(1, tag) + _bytes_field(4, image), global_step or 0, walltime)

    def add_images(self, tag, img_tensor, global_step=None, walltime=None, dataformats="NCHW"):
        for i, image in enumerate(img_tensor):
            self.add_image(f"{tag}/{i}", image, global_step, walltime, dataformats.replace("N", ""))

    def add_graph(self, model, input_to_model=None, verbose=False, use_strict_trace=True):
        """Accepted: `ttk inspect` shows graphs."""

    def add_hparams(self, hparam_dict, metric_dict, hparam_domain_discrete=None, run_name=None, global_step=None):
        self.add_text("hparams", "\n".join(f"{name}: {value}" for name, value in hparam_dict.items()), global_step)
        for name, value in metric_dict.items():
            self.add_scalar(name, value, global_step)

    def flush(self):
        for writer in (self.file_writer, *self._others.values()):
            writer.flush()

    def close(self):
        for writer in (self.file_writer, *self._others.values()):
            writer.close()

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        self.close()


def _png(array, channels):
    """An 8-bit PNG file of an (H, W) or (H, W, C) array."""
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = array.shape[:2]
    color = {1: 0, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + array[row].tobytes() for row in range(height))
    header = struct.pack(">2I5B", width, height, 8, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
