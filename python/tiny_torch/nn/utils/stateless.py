"""Calling a module with other parameters than its own."""

from __future__ import annotations

__all__ = ["functional_call"]


def functional_call(
    module, parameters_and_buffers, args=None, kwargs=None, *, tie_weights: bool = True, strict: bool = False
):
    """`module(*args, **kwargs)` with the named tensors in place of its own for the time of the call."""
    if isinstance(parameters_and_buffers, (list, tuple)):
        merged: dict = {}
        for part in parameters_and_buffers:
            merged.update(part)
        parameters_and_buffers = merged
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    kwargs = {} if kwargs is None else kwargs
    owners = dict(module.named_modules(remove_duplicate=False))
    own = {}
    for prefix, owner in owners.items():
        for table in (owner._parameters, owner._buffers):
            for key, value in table.items():
                own[f"{prefix}.{key}" if prefix else key] = (table, key, value)
    names = set(parameters_and_buffers)
    if strict:
        missing, unexpected = set(own) - names, names - set(own)
        if missing or unexpected:
            raise RuntimeError(
                f"Missing key(s): {', '.join(sorted(missing))}. Unexpected key(s): {', '.join(sorted(unexpected))}."
            )
    given = {}
    for name, value in parameters_and_buffers.items():
        if name in own:
            given[name] = value
    if tie_weights:
        # One tensor under several names is replaced under all of them.
        by_tensor = {id(own[n][2]): v for n, v in given.items() if own[n][2] is not None}
        for name, (_, _, value) in own.items():
            if name not in given and id(value) in by_tensor:
                given[name] = by_tensor[id(value)]
    saved = []
    try:
        for name, value in given.items():
            table, key, old = own[name]
            saved.append((table, key, old))
            table[key] = value
        return module(*args, **kwargs)
    finally:
        for table, key, old in saved:
            table[key] = old
