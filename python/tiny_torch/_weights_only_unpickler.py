"""A pickle reader that runs no code of the file's choosing.

It understands the instructions that data needs and no others. A global name is looked up in a table; nothing is
imported because a file names it. What may be called is what the table says may be called.
"""
import struct
from pickle import UnpicklingError

__all__ = ["Unpickler", "UnpicklingError", "Builder"]


class Builder:
    """A table entry that a file may apply: `call` for REDUCE, `new` for NEWOBJ, `set_state(object, state)` for BUILD.

    `value` is what the name stands for when the file only mentions it.
    """

    __slots__ = ("name", "call", "new", "value")

    def __init__(self, name, call=None, new=None, value=None):
        self.name = name
        self.call = call
        self.new = new
        self.value = value

    def __repr__(self):
        return f"<{self.name}>"


def _global_name(module, name):
    """The name in Python 3 of what a file written by Python 2, or for it, calls `module.name`."""
    from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

    if (module, name) in NAME_MAPPING:
        return ".".join(NAME_MAPPING[module, name])
    return f"{IMPORT_MAPPING.get(module, module)}.{name}"


def _plain(value):
    """The object that a mentioned global stands for, once it is stored in other data."""
    if isinstance(value, Builder):
        if value.value is None:
            raise UnpicklingError(f"{value.name} is used as data, which only calling it would make")
        return value.value
    return value


class Unpickler:
    """Reads one pickle from `data`, starting at `position`; `position` is where it ended afterwards.

    find_global(dotted name) gives a `Builder` or a plain value, or raises UnpicklingError.
    persistent_load(id) gives what an outside reference stands for.
    set_state(object, state) does BUILD.
    """

    def __init__(self, data, find_global, persistent_load, set_state, encoding="utf-8", position=0):
        self._data = memoryview(data)
        self.position = position
        self._find_global = find_global
        self._persistent_load = persistent_load
        self._set_state = set_state
        self._encoding = encoding

    # Reading

    def _take(self, count):
        end = self.position + count
        if end > len(self._data):
            raise UnpicklingError("pickle data was truncated")
        piece = self._data[self.position : end]
        self.position = end
        return piece

    def _unpack(self, form):
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self):
        start = self.position
        data = self._data
        while True:
            if self.position >= len(data):
                raise UnpicklingError("pickle data was truncated")
            if data[self.position] == 10:
                break
            self.position += 1
        line = bytes(data[start : self.position])
        self.position += 1
        return line

    def load(self):
        """The object that the pickle describes."""
        self._stack = []
        self._marks = []
        self._memo = {}
        while True:
            code = self._take(1)[0]
            if code == 0x2E:  # STOP
                if len(self._stack) != 1 or self._marks:
                    raise UnpicklingError("pickle data ends in the middle of an object")
                return _plain(self._stack.pop())
            handler = _HANDLERS.get(code)
            if handler is None:
                raise UnpicklingError(f"Unsupported operand {code}")
            try:
                handler(self)
            except (IndexError, KeyError, TypeError, AttributeError, ValueError, OverflowError, struct.error) as error:
                if isinstance(error, UnicodeDecodeError):
                    raise UnpicklingError(f"a string is not text: {error}") from None
                raise UnpicklingError(f"malformed pickle at byte {self.position}: {error}") from None

    # The stack

    def _push(self, value):
        self._stack.append(value)

    def _pop_mark(self):
        """The items above the last mark."""
        if not self._marks:
            raise UnpicklingError("pickle data has no mark here")
        items, self._stack = self._stack, self._marks.pop()
        return [_plain(item) for item in items]

    def _pop(self):
        if not self._stack:
            raise UnpicklingError("pickle data takes more than it put")
        return self._stack.pop()

    def _memoize(self, index):
        self._memo[index] = self._stack[-1]

    def _recall(self, index):
        if index not in self._memo:
            raise UnpicklingError(f"Memo value not found at index {index}")
        self._push(self._memo[index])

    def _text(self, count):
        self._push(bytes(self._take(count)).decode("utf-8", "surrogatepass"))

    def _legacy_string(self, count):
        """A string of Python 2: text in the asked-for encoding, or bytes."""
        raw = bytes(self._take(count))
        self._push(raw if self._encoding == "bytes" else raw.decode(self._encoding))

    def _decimal(self):
        line = self._line()
        if line in (b"00", b"01"):
            self._push(line == b"01")
        else:
            self._push(int(line))

    # Containers

    def _tuple(self, count):
        if count:
            if len(self._stack) < count:
                raise UnpicklingError("pickle data takes more than it put")
            self._stack[-count:] = [tuple(_plain(item) for item in self._stack[-count:])]
        else:
            self._push(())

    def _extend(self, items):
        target = self._stack[-1]
        if type(target) is list:
            target.extend(items)
        elif isinstance(target, list):
            for item in items:
                list.append(target, item)
        else:
            raise UnpicklingError(f"can only append to lists, but got {type(target)}")

    def _set_items(self, items):
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise UnpicklingError(f"can only set items of dictionaries, but got {type(target)}")
        if len(items) % 2:
            raise UnpicklingError("a dictionary has a key without a value")
        for key, value in zip(items[::2], items[1::2]):
            # The base class's method: a subclass may run code of its own.
            if type(target).__setitem__ is dict.__setitem__ or type(target).__module__ == "collections":
                target[key] = value
            else:
                dict.__setitem__(target, key, value)

    def _add_items(self, items):
        target = self._stack[-1]
        if not isinstance(target, set):
            raise UnpicklingError(f"can only add to sets, but got {type(target)}")
        target.update(items)

    # Globals

    def _global(self, module, name):
        self._push(self._find_global(_global_name(module, name)))

    def _reduce(self):
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, Builder) or function.call is None:
            raise UnpicklingError(f"Trying to call reduce for unrecognized function {_shown(function)}")
        if not isinstance(arguments, tuple):
            raise UnpicklingError("the arguments of a call are not a tuple")
        self._push(function.call(*arguments))

    def _new(self, cls, arguments, keywords=None):
        if not isinstance(cls, Builder) or cls.new is None:
            raise UnpicklingError(f"Trying to create new object for unrecognized class {_shown(cls)}")
        if not isinstance(arguments, tuple):
            raise UnpicklingError("the arguments of a new object are not a tuple")
        self._push(cls.new(*arguments, **(keywords or {})))

    def _build(self):
        state = _plain(self._pop())
        if not self._stack:
            raise UnpicklingError("pickle data takes more than it put")
        self._set_state(self._stack[-1], state)


def _shown(value):
    return value.name if isinstance(value, Builder) else f"{type(value).__module__}.{type(value).__name__} object"


def _new_with_keywords(u):
    keywords, arguments, cls = u._pop(), u._pop(), u._pop()
    u._new(cls, arguments, keywords)


def _new_plain(u):
    arguments, cls = u._pop(), u._pop()
    u._new(cls, arguments)


def _stack_global(u):
    name, module = u._pop(), u._pop()
    if type(name) is not str or type(module) is not str:
        raise UnpicklingError("STACK_GLOBAL requires str")
    u._global(module, name)


def _mark(u):
    u._marks.append(u._stack)
    u._stack = []


def _pop(u):
    # After a mark POP takes the mark away.
    if u._stack:
        u._stack.pop()
    else:
        u._pop_mark()


def _proto(u):
    version = u._unpack("<B")
    if not 0 <= version <= 5:
        raise UnpicklingError(f"unsupported pickle protocol: {version}")


def _long(u, count):
    if count < 0:
        raise UnpicklingError("LONG pickle has negative byte count")
    u._push(int.from_bytes(u._take(count), "little", signed=True))


def _dict(u):
    items = u._pop_mark()
    u._push({})
    u._set_items(items)


def _set_one(u):
    value, key = _plain(u._pop()), _plain(u._pop())
    u._set_items([key, value])


_HANDLERS = {
    0x80: _proto,
    0x95: lambda u: u._take(8),  # FRAME: its length is a hint
    ord("c"): lambda u: u._global(u._line().decode(), u._line().decode()),
    0x93: _stack_global,
    ord("R"): Unpickler._reduce,
    0x81: _new_plain,
    0x92: _new_with_keywords,
    ord("b"): Unpickler._build,
    ord("Q"): lambda u: u._push(u._persistent_load(u._pop())),
    ord("("): _mark,
    ord("0"): _pop,
    ord("1"): lambda u: u._pop_mark(),
    ord("2"): lambda u: u._push(u._stack[-1]),
    ord("N"): lambda u: u._push(None),
    0x88: lambda u: u._push(True),
    0x89: lambda u: u._push(False),
    ord("I"): Unpickler._decimal,
    ord("L"): lambda u: u._push(int(u._line().rstrip(b"L"))),
    ord("F"): lambda u: u._push(float(u._line())),
    ord("J"): lambda u: u._push(u._unpack("<i")),
    ord("K"): lambda u: u._push(u._unpack("<B")),
    ord("M"): lambda u: u._push(u._unpack("<H")),
    ord("G"): lambda u: u._push(u._unpack(">d")),
    0x8A: lambda u: _long(u, u._unpack("<B")),
    0x8B: lambda u: _long(u, u._unpack("<i")),
    ord("X"): lambda u: u._text(u._unpack("<I")),
    0x8C: lambda u: u._text(u._unpack("<B")),
    0x8D: lambda u: u._text(u._unpack("<Q")),
    ord("T"): lambda u: u._legacy_string(u._unpack("<I")),
    ord("U"): lambda u: u._legacy_string(u._unpack("<B")),
    ord("B"): lambda u: u._push(bytes(u._take(u._unpack("<I")))),
    ord("C"): lambda u: u._push(bytes(u._take(u._unpack("<B")))),
    0x8E: lambda u: u._push(bytes(u._take(u._unpack("<Q")))),
    0x96: lambda u: u._push(bytearray(u._take(u._unpack("<Q")))),
    ord("]"): lambda u: u._push([]),
    ord("}"): lambda u: u._push({}),
    0x8F: lambda u: u._push(set()),
    ord(")"): lambda u: u._push(()),
    ord("l"): lambda u: u._push(u._pop_mark()),
    ord("d"): _dict,
    ord("t"): lambda u: u._push(tuple(u._pop_mark())),
    0x85: lambda u: u._tuple(1),
    0x86: lambda u: u._tuple(2),
    0x87: lambda u: u._tuple(3),
    0x91: lambda u: u._push(frozenset(u._pop_mark())),
    ord("a"): lambda u: u._extend([_plain(u._pop())]),
    ord("e"): lambda u: u._extend(u._pop_mark()),
    ord("s"): _set_one,
    ord("u"): lambda u: u._set_items(u._pop_mark()),
    0x90: lambda u: u._add_items(u._pop_mark()),
    ord("h"): lambda u: u._recall(u._unpack("<B")),
    ord("j"): lambda u: u._recall(u._unpack("<I")),
    ord("g"): lambda u: u._recall(int(u._line())),
    ord("q"): lambda u: u._memoize(u._unpack("<B")),
    ord("r"): lambda u: u._memoize(u._unpack("<I")),
    ord("p"): lambda u: u._memoize(int(u._line())),
    0x94: lambda u: u._memoize(len(u._memo)),
}
