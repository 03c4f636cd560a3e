"""Forward-mode differentiation: names only. `torch.autograd.functional.jvp` gives the same products."""

__all__ = ["UnpackedDualTensor", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual", "dual_level"]


def _missing(name):
    def function(*args, **kwargs):
        raise NotImplementedError(
            f"torch.autograd.forward_ad.{name}: tiny_torch has no forward mode; use torch.autograd.functional.jvp"
        )

    function.__name__ = name
    return function


enter_dual_level = _missing("enter_dual_level")
exit_dual_level = _missing("exit_dual_level")
make_dual = _missing("make_dual")
dual_level = _missing("dual_level")


class UnpackedDualTensor(tuple):
    """A value and its tangent."""

    primal = property(lambda self: self[0])
    tangent = property(lambda self: self[1])


def unpack_dual(tensor, *, level=None):
    """The tensor, with no tangent."""
    return UnpackedDualTensor((tensor, None))
