"""`script`, which compiles Python source in PyTorch. Here a function is recorded when it runs, so it stays as it is."""

_NO_SCRIPT = (
    "torch.jit.script: tiny_torch does not compile Python source. A scripted function runs as the function that it is; "
    "to make a file of a module, record it: torch.jit.trace(module, example_inputs)"
)


def script(obj=None, optimize=None, _frames_up=0, _rcb=None, example_inputs=None):
    """A function or class: itself. A module: an error, because what is scripted is meant to be saved."""
    if obj is None:
        return script
    from ..nn import Module

    if isinstance(obj, Module):
        raise NotImplementedError(_NO_SCRIPT)
    return obj


def script_method(fn):
    return fn


class CompilationUnit:
    """A set of compiled functions given as source."""

    def __init__(self, lang=None, _frames_up=0):
        if lang:
            raise NotImplementedError(_NO_SCRIPT)


def freeze(mod, preserved_attrs=None, optimize_numerics=True):
    """The module: a recorded one is frozen already."""
    return mod


def optimize_for_inference(mod, other_methods=None):
    return mod


def set_fusion_strategy(strategy):
    """Accepted: fusion is the compiler's."""


class optimized_execution:
    """Accepted."""

    def __init__(self, should_optimize):
        pass

    def __enter__(self):
        return None

    def __exit__(self, exc_type, exc_value, traceback):
        return None


class _Done:
    """The result of `fork`."""

    def __init__(self, value):
        self._value = value

    def wait(self):
        return self._value

    value = wait

    def done(self):
        return True


def fork(func, *args, **kwargs):
    """Calls the function; operations run in parallel when they are computed."""
    return _Done(func(*args, **kwargs))


def wait(future):
    return future.wait()
