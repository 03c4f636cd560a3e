"""Transforms of functions: gradients, Jacobians, and calling a module with other parameters."""
from . import _C
from ._tensor import Tensor

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "stack_module_state",
    "vjp",
    "vmap",
]


def _watch(value):
    """`value` with every tensor in it a leaf that requires a gradient; and those leaves."""
    from .utils._pytree import tree_flatten, tree_unflatten

    leaves, spec = tree_flatten(value)
    watched = []
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, Tensor):
            # Within another transform the history is kept: derivatives of derivatives go through it.
            leaves[i] = leaf.view_as(leaf) if leaf.requires_grad else leaf.detach().requires_grad_(True)
            watched.append(leaves[i])
    return tree_unflatten(leaves, spec), watched, spec


def _arguments(args, argnums):
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    args, watched = list(args), []
    for position in positions:
        args[position], leaves, spec = _watch(args[position])
        watched.append((leaves, spec))
    return args, watched


def grad_and_value(func, argnums=0, has_aux=False):
    """A function that returns the gradient of `func`, which returns one number, and the value."""
    import functools

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        from .autograd import grad as differentiate
        from .autograd.grad_mode import enable_grad
        from .utils._pytree import tree_unflatten

        nested = _C.is_grad_enabled() and any(isinstance(a, Tensor) and a.requires_grad for a in args)
        with enable_grad():
            args, watched = _arguments(args, argnums)
            result = func(*args, **kwargs)
            value, aux = result if has_aux else (result, None)
            if not isinstance(value, Tensor) or value.dim() != 0:
                kind = f"tensor with {value.dim()} dims" if isinstance(value, Tensor) else type(value).__name__
                raise RuntimeError(f"Expected f(*args) to return a scalar tensor, got {kind}. Did you forget to .sum()?")
            flat = [leaf for leaves, _ in watched for leaf in leaves]
            grads = iter(differentiate(value, flat, create_graph=True, materialize_grads=True))
        parts = []
        for leaves, spec in watched:
            own = [next(grads) for _ in leaves]
            parts.append(tree_unflatten(own if nested else [g.detach() for g in own], spec))
        gradient = parts[0] if isinstance(argnums, int) else tuple(parts)
        value = value if nested else value.detach()
        return (gradient, (value, aux)) if has_aux else (gradient, value)

    return wrapper


def grad(func, argnums=0, has_aux=False):
    """A function that returns the gradient of `func`."""
    import functools

    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapper


def vjp(func, *primals, has_aux=False):
    """The value of `func`, and a function from cotangents to gradients."""
    from .autograd.grad_mode import enable_grad

    with enable_grad():
        args, watched = _arguments(primals, tuple(range(len(primals))))
        result = func(*args)
    output, aux = result if has_aux else (result, None)

    def pull(cotangents, retain_graph=True, create_graph=None):
        from .autograd import grad as differentiate
        from .utils._pytree import tree_leaves, tree_unflatten

        flat = [leaf for leaves, _ in watched for leaf in leaves]
        grads = iter(
            differentiate(
                tree_leaves(output), flat, tree_leaves(cotangents), retain_graph=True, create_graph=_C.is_grad_enabled(), materialize_grads=True
            )
        )
        return tuple(tree_unflatten([next(grads) for _ in leaves], spec) for leaves, spec in watched)

    return (output, pull, aux) if has_aux else (output, pull)


def jvp(func, primals, tangents, *, strict=False, has_aux=False):
    """The value of `func`, and the product of its Jacobian with `tangents`."""
    from .autograd.functional import jvp as product

    if has_aux:
        extra = []

        def first(*args):
            value, aux = func(*args)
            extra.append(aux)
            return value

        return (*product(first, tuple(primals), tuple(tangents), create_graph=_C.is_grad_enabled()), extra[0])
    return product(func, tuple(primals), tuple(tangents), create_graph=_C.is_grad_enabled())


def jacrev(func, argnums=0, *, has_aux=False, chunk_size=None):
    """A function that returns the Jacobian of `func` with respect to the chosen arguments."""
    import functools

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        from .autograd.functional import jacobian

        positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        extra = []

        def of_chosen(*chosen):
            full = list(args)
            for position, value in zip(positions, chosen):
                full[position] = value
            result = func(*full, **kwargs)
            if has_aux:
                result, aux = result
                extra.append(aux)
            return result

        nested = any(isinstance(a, Tensor) and a.requires_grad for a in args)
        chosen = tuple(args[position] for position in positions)
        result = jacobian(of_chosen, chosen if not isinstance(argnums, int) else chosen[0], create_graph=nested)
        return (result, extra[0]) if has_aux else result

    return wrapper


jacfwd = jacrev


def hessian(func, argnums=0):
    """A function that returns the second derivatives of `func`."""

    def wrapper(*args, **kwargs):
        def gradient(*inner):
            return grad(func, argnums)(*inner, **kwargs)

        return jacrev(gradient, argnums)(*args)

    return wrapper


def vmap(func, in_dims=0, out_dims=0, randomness="error", *, chunk_size=None):
    """`func` over the slices of its arguments along `in_dims`, the results stacked along `out_dims`.

    The slices are computed one by one in the recorded graph.
    """
    import functools

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        from .utils._pytree import tree_flatten, tree_unflatten

        flat, spec = tree_flatten(args)
        dims = _spread(in_dims, args)
        _check_dims(func, in_dims, flat, dims)
        sizes = {leaf.shape[dim] for leaf, dim in zip(flat, dims) if dim is not None}
        if len(sizes) != 1:
            if not sizes:
                raise ValueError(f"vmap({getattr(func, '__name__', func)}, ...): at least one input must have a mapped dimension")
            raise ValueError(
                f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sorted(sizes)} for the mapped dimension"
            )
        results, out_spec = [], None
        for index in range(sizes.pop()):
            row = [leaf if dim is None else leaf.select(dim, index) for leaf, dim in zip(flat, dims)]
            leaves, out_spec = tree_flatten(func(*tree_unflatten(row, spec), **kwargs))
            results.append(leaves)
        outs = out_dims if isinstance(out_dims, tuple) else (out_dims,) * len(results[0])
        stacked = [_C.stack(column, dim) if dim is not None else column[0] for column, dim in zip(zip(*results), outs)]
        return tree_unflatten(stacked, out_spec)

    return wrapper


def _check_dims(func, in_dims, leaves, dims):
    """Raises ValueError for a mapped dimension that a leaf does not have."""
    call = f"vmap({getattr(func, '__name__', func)}, in_dims={in_dims}, ...)(<inputs>)"
    for leaf, dim in zip(leaves, dims):
        if dim is not None and not isinstance(leaf, Tensor):
            raise ValueError(
                f"{call}: Got in_dim={dim} for an input but the input is of type {type(leaf)}. We cannot vmap over "
                "non-Tensor arguments, please use None as the respective in_dim"
            )
        if dim is not None and not -leaf.dim() <= dim < leaf.dim():
            raise ValueError(
                f"{call}: Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {leaf.dim()} "
                f"so expected in_dim to satisfy -{leaf.dim()} <= in_dim < {leaf.dim()}."
            )


def _spread(in_dims, args):
    """One mapped dimension, or None, for each leaf of the arguments."""
    from .utils._pytree import tree_leaves

    if isinstance(in_dims, int):
        return [in_dims if isinstance(leaf, Tensor) else None for leaf in tree_leaves(args)]
    dims = []
    for dim, arg in zip(in_dims, args):
        leaves = tree_leaves(arg)
        if dim is None or isinstance(dim, int):
            dims += [dim if isinstance(leaf, Tensor) else None for leaf in leaves]
        else:
            dims += tree_leaves(dim, is_leaf=lambda value: value is None)
    return dims


def functional_call(module, parameter_and_buffer_dicts, args=None, kwargs=None, *, tie_weights=True, strict=False):
    """Calls a module with other tensors in the place of its parameters and buffers, by name."""
    dicts = parameter_and_buffer_dicts
    if not isinstance(dicts, dict):
        merged = {}
        for part in dicts:
            merged.update(part)
        dicts = merged
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    owners = dict(module.named_modules(remove_duplicate=False))
    saved = []
    try:
        for name, value in dicts.items():
            path, _, leaf = name.rpartition(".")
            owner = owners.get(path)
            table = None
            if owner is not None:
                table = next((t for t in (owner._parameters, owner._buffers) if leaf in t), None)
            if table is None:
                if strict:
                    raise RuntimeError(f"Unexpected key(s): {name}.")
                continue
            saved.append((table, leaf, table[leaf]))
            original = table[leaf]
            table[leaf] = value
            if tie_weights and original is not None:
                for other in owners.values():
                    for shared in (other._parameters, other._buffers):
                        for key, held in list(shared.items()):
                            if held is original:
                                saved.append((shared, key, held))
                                shared[key] = value
        return module(*args, **(kwargs or {}))
    finally:
        for table, leaf, value in reversed(saved):
            table[leaf] = value


def stack_module_state(models):
    """The parameters and the buffers of several modules of one kind, stacked by name."""
    params = {name: _C.stack([dict(m.named_parameters())[name].detach() for m in models]).requires_grad_(p.requires_grad) for name, p in models[0].named_parameters()}
    buffers = {name: _C.stack([dict(m.named_buffers())[name] for m in models]) for name, _ in models[0].named_buffers()}
    return params, buffers
