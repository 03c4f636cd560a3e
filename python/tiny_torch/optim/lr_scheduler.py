"""Learning rates that change as training goes on."""

from __future__ import annotations

from ._schedules.base import EPOCH_DEPRECATION_WARNING as EPOCH_DEPRECATION_WARNING
from ._schedules.base import LRScheduler
from ._schedules.base import _LRScheduler as _LRScheduler
from ._schedules.combined import ChainedScheduler, SequentialLR
from ._schedules.cycles import CyclicLR, OneCycleLR
from ._schedules.plateau import ReduceLROnPlateau
from ._schedules.shapes import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR",
    "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR",
    "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip
