"""`autograd.Function`: operations whose derivative the user writes."""
from .. import _C

__all__ = ["FunctionCtx", "BackwardCFunction", "Function", "InplaceFunction", "NestedIOFunction", "once_differentiable"]


class _SavedOutput:
    """A saved tensor that is also a result: kept without its history, which would be a cycle of references.

    While the result itself is alive it is given back, so that second derivatives can go through it.
    """

    __slots__ = ("position", "reference", "data")

    def __init__(self, position, tensor):
        self.position = position
        self.data = tensor.detach()
        self.reference = None

    def unpack(self):
        tensor = None if self.reference is None else self.reference()
        return self.data if tensor is None else tensor


class FunctionCtx:
    """What `forward` leaves for `backward`. Any attribute may be set on it besides what the methods keep.

    The native side reads `_dirty` and `_non_differentiable` once `forward` has returned.
    """

    def __init__(self):
        self._dirty = ()
        self._non_differentiable = ()
        self.materialize_grads = True
        self.needs_input_grad = ()
        self._saved = ()
        self._versions = ()
        self._released = False

    def save_for_backward(self, *tensors):
        """Keeps tensors, or None, for `backward`, where they are `ctx.saved_tensors`."""
        from .._tensor import Tensor

        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument {tensors.index(tensor)} "
                    f"is of type {type(tensor).__name__}"
                )
        self._saved = tensors
        self._versions = tuple(None if t is None else t._version for t in tensors)

    def save_for_forward(self, *tensors):
        """Accepted for compatibility with code that also defines `jvp`."""
        self.saved_for_forward = tensors

    @property
    def saved_tensors(self):
        if self._released:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved tensors after they have "
                "already been freed). Saved intermediate values of the graph are freed when you call .backward() or "
                "autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time or "
                "if you need to access saved tensors after calling backward."
            )
        unpacked = []
        for saved, version in zip(self._saved, self._versions):
            tensor = saved.unpack() if isinstance(saved, _SavedOutput) else saved
            guarded = saved.data if isinstance(saved, _SavedOutput) else saved
            if guarded is not None and guarded._version != version:
                kind = tensor.type() if hasattr(tensor, "type") else "torch.Tensor"
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"[{kind} {list(tensor.shape)}] is at version {guarded._version}; expected version {version} instead. "
                    "Hint: enable anomaly detection to find the operation that failed to compute its gradient, "
                    "with torch.autograd.set_detect_anomaly(True)."
                )
            unpacked.append(tensor)
        return tuple(unpacked)

    saved_variables = saved_tensors

    def mark_dirty(self, *args):
        """Says which inputs `forward` changed in place. They must be returned too."""
        self._dirty = args

    def mark_non_differentiable(self, *args):
        """Says which results have no gradient."""
        self._non_differentiable = args

    def mark_shared_storage(self, *pairs):
        """Older interface; sharing is found out without it."""

    def set_materialize_grads(self, value):
        """Whether `backward` receives zeros (True, the default) or None for results that got no gradient."""
        self.materialize_grads = value

    def name(self):
        return type(self).__name__

    def _finish_forward(self, outputs):
        """Notes what the results are, before they are tied to this context."""
        from .._tensor import Tensor

        results = outputs if isinstance(outputs, tuple) else (outputs,)
        self._output_meta = [(tuple(t.shape), t.dtype, t.device) if isinstance(t, Tensor) else None for t in results]
        changed = {id(t) for t in self._dirty}
        made = {id(t): i for i, t in enumerate(results) if isinstance(t, Tensor) and id(t) not in changed}
        # What `forward` changed in place counts from where it left it.
        self._versions = tuple(
            t._version if id(t) in changed else version for t, version in zip(self._saved, self._versions)
        )
        if made and self._saved:
            kept = {id(t) for t in self._inputs}
            self._saved = tuple(
                _SavedOutput(made[id(t)], t) if id(t) in made and id(t) not in kept else t for t in self._saved
            )
        self._inputs = ()

    def _attach(self, outputs):
        """Tells saved results where their tied selves are."""
        import weakref

        results = outputs if isinstance(outputs, tuple) else (outputs,)
        for saved in self._saved:
            if isinstance(saved, _SavedOutput):
                saved.reference = weakref.ref(results[saved.position])


class BackwardCFunction(FunctionCtx):
    """The class of `ctx`; each `Function` has a subclass of it, named after itself."""


class _FunctionMeta(type):
    def __init__(cls, name, bases, attributes):
        super().__init__(name, bases, attributes)
        cls._context_class = type(name + "Backward", (BackwardCFunction,), {"_forward_cls": cls})


def _is_overridden(cls, name):
    return getattr(cls, name) is not getattr(Function, name)


class Function(metaclass=_FunctionMeta):
    """Subclass it, write `forward` and `backward` as static methods, and call `apply`.

    `forward(ctx, *args)`, or `forward(*args)` with `setup_context(ctx, inputs, output)`, computes without
    recording gradients. `backward(ctx, *grad_outputs)` returns one gradient, or None, for each argument.
    """

    generate_vmap_rule = False

    def __call__(self, *args, **kwargs):
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. "
            "Please use new-style autograd function with static forward method. "
            "(Example: https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)"
        )

    @staticmethod
    def forward(*args, **kwargs):
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx, inputs, output):
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx, *grad_outputs):
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx, *grad_inputs):
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @staticmethod
    def vmap(info, in_dims, *args):
        raise NotImplementedError("To use autograd.Function with vmap, you must define a vmap static method.")

    @classmethod
    def apply(cls, *args, **kwargs):
        """Runs `forward` and ties its results to `backward`."""
        from .._tensor import Tensor

        if kwargs:
            import inspect

            bound = inspect.signature(cls.forward).bind(*(() if _is_overridden(cls, "setup_context") else (None,)), *args, **kwargs)
            bound.apply_defaults()
            args = bound.args if _is_overridden(cls, "setup_context") else bound.args[1:]
        ctx = cls._context_class()
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        separate = _is_overridden(cls, "setup_context")

        def forward(ctx, *args):
            if separate:
                outputs = cls.forward(*args)
                cls.setup_context(ctx, args, outputs)
            else:
                outputs = cls.forward(ctx, *args)
            ctx._finish_forward(outputs)
            return outputs

        ctx._takes = [isinstance(a, Tensor) for a in args]
        ctx._inputs = args
        outputs = _C._apply_custom_function(ctx, forward, _backward, args)
        ctx._attach(outputs)
        return outputs


def _backward(ctx, *grads):
    """Calls the user's backward and returns a tuple of exactly one gradient or None for each argument."""
    cls = type(ctx)._forward_cls
    if ctx.materialize_grads:
        grads = tuple(
            _C.zeros(meta[0], dtype=meta[1], device=meta[2]) if grad is None and meta is not None else grad
            for grad, meta in zip(grads, ctx._output_meta)
        )
    has_vjp, has_backward = _is_overridden(cls, "vjp"), _is_overridden(cls, "backward")
    if has_vjp and has_backward:
        raise RuntimeError(
            "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only implement one of them."
        )
    results = (cls.vjp if has_vjp else cls.backward)(ctx, *grads)
    if not isinstance(results, tuple):
        results = tuple(results) if isinstance(results, list) else (results,)
    expected = len(ctx._takes)
    if len(results) > expected and all(extra is None for extra in results[expected:]):
        results = results[:expected]
    if len(results) != expected:
        raise RuntimeError(
            f"function {ctx.name()} returned an incorrect number of gradients (expected {expected}, got {len(results)})"
        )
    for position, (result, takes) in enumerate(zip(results, ctx._takes)):
        if result is not None and not takes:
            raise RuntimeError(
                f"function {ctx.name()} returned a gradient different from None at position {position + 1}, "
                "but the corresponding forward input was not a Variable"
            )
    return results


class _DifferentiatedTwice(Function):
    @staticmethod
    def forward(ctx, message, results, *inputs):
        ctx.message = message
        return tuple(r.detach() for r in results)

    @staticmethod
    def backward(ctx, *grads):
        raise RuntimeError(ctx.message)


def once_differentiable(fn):
    """Marks a `backward` whose own gradient is not to be taken."""
    import functools

    @functools.wraps(fn)
    def wrapper(ctx, *args):
        from .._tensor import Tensor
        from .grad_mode import no_grad

        with no_grad():
            outputs = fn(ctx, *args)
        watched = [a for a in args if isinstance(a, Tensor) and a.requires_grad]
        if not _C.is_grad_enabled() or not watched:
            return outputs
        results = outputs if isinstance(outputs, tuple) else (outputs,)
        tensors = [r for r in results if isinstance(r, Tensor)]
        message = "trying to differentiate twice a function that was marked with @once_differentiable"
        fenced = iter(_DifferentiatedTwice.apply(message, tensors, *watched))
        return tuple(next(fenced) if isinstance(r, Tensor) else r for r in results)

    return wrapper


class InplaceFunction(Function):
    """Older base class for functions with an in-place form."""

    def __init__(self, inplace=False):
        super().__init__()
        self.inplace = inplace


NestedIOFunction = Function
