"""Contexts that set a module's switches and set them back."""


class flags:
    """`with flags(module, name=value):`."""

    def __init__(self, module, **values):
        self.module = module
        self.values = {name: value for name, value in values.items() if value is not None}

    def __enter__(self):
        self.saved = {name: getattr(self.module, name) for name in self.values}
        vars(self.module).update(self.values)

    def __exit__(self, exc_type, exc_value, traceback):
        vars(self.module).update(self.saved)
