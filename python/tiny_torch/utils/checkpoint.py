"""Activation checkpointing. What is kept for `backward` and what is computed again is decided when a step is compiled,
for the whole step, so these functions call what they are given."""

__all__ = ["checkpoint", "checkpoint_sequential", "set_checkpoint_early_stop", "set_checkpoint_debug_enabled"]


def checkpoint(
    function,
    *args,
    use_reentrant=None,
    context_fn=None,
    determinism_check="default",
    debug=False,
    early_stop=True,
    preserve_rng_state=True,
    **kwargs,
):
    """`function(*args, **kwargs)`, with the gradients and random numbers that it has anyway."""
    if context_fn is None:
        return function(*args, **kwargs)
    forward_context, _ = context_fn()
    with forward_context:
        return function(*args, **kwargs)


def checkpoint_sequential(functions, segments, input, use_reentrant=None, **kwargs):
    """Runs a sequence of modules."""
    kwargs.pop("preserve_rng_state", None)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    for function in functions.children() if hasattr(functions, "children") else functions:
        input = function(input)
    return input


class set_checkpoint_early_stop:
    """Accepted: nothing is computed that nothing needs."""

    def __init__(self, enable):
        self.enable = enable

    def __enter__(self):
        return None

    def __exit__(self, exc_type, exc_value, traceback):
        return None


class set_checkpoint_debug_enabled(set_checkpoint_early_stop):
    """Accepted."""
