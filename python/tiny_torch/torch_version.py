"""A version string that compares by its numbers."""

__all__ = ["TorchVersion"]


def _key(version):
    """Release numbers, then whether it is a final release: enough to order versions that libraries compare with."""
    if isinstance(version, (tuple, list)):
        version = ".".join(map(str, version))
    public = str(version).partition("+")[0]
    numbers, pre = [], ""
    for part in public.split("."):
        digits = ""
        for letter in part:
            if not letter.isdigit():
                break
            digits += letter
        if not digits:
            pre = pre or part
            break
        numbers.append(int(digits))
        if digits != part:
            pre = part[len(digits) :]
            break
    while numbers and numbers[-1] == 0:
        numbers.pop()
    final = not pre or pre.startswith("post")
    return numbers, final, pre


class TorchVersion(str):
    """`torch.__version__`: prints as a string; compares with strings and tuples as a version."""

    __slots__ = ()

    def __lt__(self, other):
        return _key(self) < _key(other)

    def __le__(self, other):
        return _key(self) <= _key(other)

    def __gt__(self, other):
        return _key(self) > _key(other)

    def __ge__(self, other):
        return _key(self) >= _key(other)

    def __eq__(self, other):
        if not isinstance(other, (str, tuple, list)):
            return NotImplemented
        return str.__eq__(self, other) is True or _key(self) == _key(other)

    def __ne__(self, other):
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    __hash__ = str.__hash__
