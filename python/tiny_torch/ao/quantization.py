"""Markers of where a model would be quantised. They pass their input on."""
from ..nn import Module

__all__ = ["DeQuantStub", "QuantStub"]


class QuantStub(Module):
    """Marks where quantised values would begin."""

    def __init__(self, qconfig=None):
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x):
        return x


class DeQuantStub(QuantStub):
    """Marks where quantised values would end."""


class QuantWrapper(Module):
    """A module between the two markers."""

    def __init__(self, module):
        super().__init__()
        self.quant, self.dequant, self.module = QuantStub(), DeQuantStub(), module

    def forward(self, X):
        return self.dequant(self.module(self.quant(X)))
