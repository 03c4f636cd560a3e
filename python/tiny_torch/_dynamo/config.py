"""Settings: any may be set; one that was never set is False."""

cache_size_limit = 8
recompile_limit = 8
suppress_errors = False


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return False


def patch(*args, **settings):
    """A context in which nothing is different."""
    import contextlib

    return contextlib.nullcontext()
