"""The zip files that PyTorch's checkpoints are: stored entries, each aligned to 64 bytes, and a strict reader.

Format: PKWARE's APPNOTE 6.3.3, sections 4.3 to 4.5. Archives over 4 GiB use the zip64 records.
"""
import struct
import zlib

ALIGNMENT = 64

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
_LIMIT32 = 0xFFFFFFFF
_UTF8 = 0x0800


class BadArchive(RuntimeError):
    """The file is not an archive, or it is damaged."""


class ArchiveWriter:
    """Writes entries one after the other to a binary file; `close` writes the directory."""

    def __init__(self, file, folder):
        self._file = file
        self._folder = folder
        self._position = 0
        self._directory = []

    def _write(self, data):
        self._file.write(data)
        self._position += len(data)

    def write(self, name, data):
        """Adds the entry `folder/name` holding `data`, a bytes-like object."""
        name = f"{self._folder}/{name}".encode()
        data = memoryview(data).cast("B") if len(data) else b""
        size, offset = len(data), self._position
        checksum = zlib.crc32(data)
        extra = b""
        if size >= _LIMIT32:
            extra = struct.pack("<HHQQ", 1, 16, size, size)
        # An extra field of ours fills the gap up to where the data may begin.
        start = offset + _LOCAL.size + len(name) + len(extra) + 4
        padding = -start % ALIGNMENT
        extra += struct.pack("<HH", 0x4246, padding) + b"Z" * padding
        short = min(size, _LIMIT32)
        self._write(_LOCAL.pack(b"PK\3\4", 45, _UTF8, 0, 0, 0, checksum, short, short, len(name), len(extra)))
        self._write(name)
        self._write(extra)
        self._write(data)
        self._directory.append((name, checksum, size, offset))

    def close(self):
        """Writes the directory. The file itself stays open."""
        start = self._position
        for name, checksum, size, offset in self._directory:
            wide = [n for n in (size, size) if size >= _LIMIT32] + [n for n in (offset,) if offset >= _LIMIT32]
            extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
            short, where = min(size, _LIMIT32), min(offset, _LIMIT32)
            self._write(
                _CENTRAL.pack(
                    b"PK\1\2", 45, 45, _UTF8, 0, 0, 0, checksum, short, short, len(name), len(extra), 0, 0, 0, 0, where
                )
            )
            self._write(name)
            self._write(extra)
        length, count = self._position - start, len(self._directory)
        if start >= _LIMIT32 or count >= 0xFFFF:
            end = self._position
            self._write(_END64.pack(b"PK\6\6", _END64.size - 12, 45, 45, 0, 0, count, count, length, start))
            self._write(_LOCATOR64.pack(b"PK\6\7", 0, end, 1))
        few = min(count, 0xFFFF)
        self._write(_END.pack(b"PK\5\6", 0, 0, few, few, min(length, _LIMIT32), min(start, _LIMIT32), 0))


class ArchiveReader:
    """Reads the entries of an archive that lies in memory, or in a mapped file."""

    def __init__(self, data):
        self._data = memoryview(data)
        self._entries = {}
        try:
            self._read_directory()
        except (struct.error, UnicodeDecodeError, IndexError) as error:
            raise BadArchive(f"PytorchStreamReader failed reading zip archive: damaged directory ({error})") from None

    def names(self):
        return list(self._entries)

    def __contains__(self, name):
        return name in self._entries

    def _read_directory(self):
        data = self._data
        # The end record is followed by a comment of at most 65,535 bytes.
        tail = bytes(data[-(_END.size + 0xFFFF) :])
        at = tail.rfind(b"PK\5\6")
        if at < 0 or at + _END.size > len(tail):
            raise BadArchive("PytorchStreamReader failed reading zip archive: failed finding central directory")
        end = len(data) - len(tail) + at
        _, disk, first_disk, _, count, length, start, _ = _END.unpack_from(data, end)
        if end >= _LOCATOR64.size and bytes(data[end - _LOCATOR64.size :][:4]) == b"PK\6\7":
            _, _, end64, _ = _LOCATOR64.unpack_from(data, end - _LOCATOR64.size)
            if end64 + _END64.size > end:
                raise BadArchive("PytorchStreamReader failed reading zip archive: zip64 record out of bounds")
            mark, _, _, _, disk, first_disk, _, count, length, start = _END64.unpack_from(data, end64)
            if mark != b"PK\6\6":
                raise BadArchive("PytorchStreamReader failed reading zip archive: zip64 record missing")
        if disk or first_disk:
            raise BadArchive("PytorchStreamReader failed reading zip archive: more than one volume")
        if start + length > end:
            raise BadArchive("PytorchStreamReader failed reading zip archive: directory out of bounds")
        at, limit = start, start + length
        for _ in range(count):
            if at + _CENTRAL.size > limit:
                raise BadArchive("PytorchStreamReader failed reading zip archive: directory cut short")
            fields = _CENTRAL.unpack_from(data, at)
            mark, flags, method, checksum, packed, size = fields[0], fields[3], fields[4], *fields[7:10]
            name_length, extra_length, comment_length, offset = fields[10], fields[11], fields[12], fields[16]
            if mark != b"PK\1\2":
                raise BadArchive("PytorchStreamReader failed reading zip archive: directory entry damaged")
            at += _CENTRAL.size
            name = bytes(data[at : at + name_length]).decode("utf-8")
            extra = bytes(data[at + name_length : at + name_length + extra_length])
            at += name_length + extra_length + comment_length
            size, packed, offset = _widen(extra, size, packed, offset)
            if flags & 1:
                raise BadArchive(f"PytorchStreamReader failed reading file {name}: encrypted")
            self._entries[name] = (method, checksum, packed, size, offset)

    def read(self, name):
        """The contents of an entry: a view of the archive where the entry is stored as it is."""
        try:
            method, checksum, packed, size, offset = self._entries[name]
        except KeyError:
            raise BadArchive(f"PytorchStreamReader failed locating file {name}: file not found") from None
        data = self._data
        if offset + _LOCAL.size > len(data) or bytes(data[offset : offset + 4]) != b"PK\3\4":
            raise BadArchive(f"PytorchStreamReader failed reading file {name}: no entry at its offset")
        fields = _LOCAL.unpack_from(data, offset)
        start = offset + _LOCAL.size + fields[9] + fields[10]
        if start + packed > len(data):
            raise BadArchive(f"PytorchStreamReader failed reading file {name}: file read failed")
        contents = data[start : start + packed]
        if method == 8:
            contents = _inflate(contents, size, name)
        elif method != 0:
            raise BadArchive(f"PytorchStreamReader failed reading file {name}: compression method {method}")
        if len(contents) != size:
            raise BadArchive(f"PytorchStreamReader failed reading file {name}: {len(contents)} bytes, not {size}")
        if zlib.crc32(contents) != checksum:
            raise BadArchive(f"PytorchStreamReader failed reading file {name}: its checksum is wrong")
        return contents


def _inflate(contents, size, name):
    """Decompresses, and never to more than the directory says."""
    stream = zlib.decompressobj(-15)
    try:
        result = stream.decompress(contents, size + 1)
    except zlib.error as error:
        raise BadArchive(f"PytorchStreamReader failed reading file {name}: {error}") from None
    return memoryview(result)


def _widen(extra, size, packed, offset):
    """Sizes and offset with the 64-bit values of the zip64 extra field where 32 bits did not do."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            values = [size, packed, offset]
            place = at + 4
            for which, value in enumerate(values):
                if value == _LIMIT32:
                    (values[which],) = struct.unpack_from("<Q", extra, place)
                    place += 8
            return values
        at += 4 + length
    return size, packed, offset
