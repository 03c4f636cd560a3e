"""Hooks on the recorded graph."""

__all__ = ["saved_tensors_hooks", "save_on_cpu", "disable_saved_tensors_hooks", "register_multi_grad_hook"]


class saved_tensors_hooks:
    """Accepted, and the hooks are not called: what is kept for `backward` is decided when the step is compiled."""

    def __init__(self, pack_hook, unpack_hook):
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self):
        return None

    def __exit__(self, exc_type, exc_value, traceback):
        return None


class save_on_cpu(saved_tensors_hooks):
    """Accepted: see `saved_tensors_hooks`."""

    def __init__(self, pin_memory=False, device_type="cuda"):
        super().__init__(lambda tensor: tensor, lambda tensor: tensor)


class disable_saved_tensors_hooks:
    """Accepted: see `saved_tensors_hooks`."""

    def __init__(self, error_message):
        self.error_message = error_message

    def __enter__(self):
        return None

    def __exit__(self, exc_type, exc_value, traceback):
        return None


class _Handle:
    def __init__(self, handles):
        self.handles = handles

    def remove(self):
        for handle in self.handles:
            handle.remove()


def register_multi_grad_hook(tensors, fn, *, mode="all"):
    """Calls `fn` with the list of gradients once all of `tensors` have theirs (`mode="all"`), or with the first."""
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    tensors = list(tensors)
    seen = {}

    def hook_for(position):
        def hook(grad):
            seen[position] = grad
            if mode == "any":
                if len(seen) == 1:
                    fn(grad)
            elif len(seen) == len(tensors):
                grads = [seen[i] for i in range(len(tensors))]
                seen.clear()
                fn(grads)

        return hook

    return _Handle([tensor.register_hook(hook_for(i)) for i, tensor in enumerate(tensors)])


# Names of derivatives in PyTorch that do not follow from the operator's name.
_NAMES = {
    "linear": "AddmmBackward0",
    "matmul": "MmBackward0",
    "cross_entropy": "NllLossBackward0",
    "max_pool2d": "MaxPool2DWithIndicesBackward0",
    "conv1d": "ConvolutionBackward0",
    "conv2d": "ConvolutionBackward0",
    "conv3d": "ConvolutionBackward0",
    "layer_norm": "NativeLayerNormBackward0",
    "batch_norm": "NativeBatchNormBackward0",
    "group_norm": "NativeGroupNormBackward0",
    "true_divide": "DivBackward0",
    "subtract": "SubBackward0",
    "multiply": "MulBackward0",
    "concat": "CatBackward0",
    "index": "IndexBackward0",
    "to": "ToCopyBackward0",
    "type": "ToCopyBackward0",
    "contiguous": "CloneBackward0",
    "flatten": "ViewBackward0",
    "reshape": "ViewBackward0",
    "dropout": "MulBackward0",
    "scaled_dot_product_attention": "ScaledDotProductFlashAttentionForCpuBackward0",
}


class Node:
    """What made a tensor: `tensor.grad_fn`. From the second on, nodes are the operations that were recorded: an operator that is
    several of them, as `linear` is a product and a sum, is as many nodes. `ttk inspect` shows whole graphs."""

    __slots__ = ("_name", "_recorded")

    def __init__(self, made_by, recorded=None):
        self._recorded = recorded
        if made_by.endswith("Backward") or made_by[:1].isupper():
            self._name = made_by  # a Function of the user's
        else:
            words = made_by.rstrip("_").split("_")
            self._name = _NAMES.get(made_by) or "".join(word[:1].upper() + word[1:] for word in words) + "Backward0"

    def name(self):
        return self._name

    @property
    def next_functions(self):
        """The nodes of the operands, each in a pair with 0; `(None, 0)` for an operand that no derivative flows to. Empty for a leaf.
        After `backward` operands that it let go of are missing."""
        if self._recorded is None:
            return ()
        return tuple((None if node is None else Node(node.name(), node), 0) for node in self._recorded.next())

    @property
    def metadata(self):
        return {}

    def __eq__(self, other):
        if not isinstance(other, Node) or self._recorded is None or other._recorded is None:
            return self is other
        return self._recorded.key() == other._recorded.key()

    def __hash__(self):
        return id(self) if self._recorded is None else hash(self._recorded.key())

    def __repr__(self):
        return f"<{self._name} object at {id(self):#x}>"
