"""PyTorch's export: `torch.jit.trace` is the way here."""

__all__ = ["Dim", "export"]


class Dim:
    """A size that may vary. Sizes become symbols by themselves."""

    AUTO, STATIC, DYNAMIC = "AUTO", "STATIC", "DYNAMIC"

    def __init__(self, name, *, min=None, max=None):
        self.__name__ = name
        self.min, self.max = min, max


def dims(*names, min=None, max=None):
    return tuple(Dim(name, min=min, max=max) for name in names)


def export(*args, **kwargs):
    raise NotImplementedError("torch.export.export: use torch.jit.trace(model, example).save('model.ttk')")


export_for_training = load = save = export
