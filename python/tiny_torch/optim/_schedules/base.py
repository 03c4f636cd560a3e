"""`LRScheduler`, the base class."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from weakref import ref

import tiny_torch as torch

from ..optimizer import Optimizer

EPOCH_DEPRECATION_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. Please use "
    "`scheduler.step()` to step the scheduler. During the deprecation, if epoch is different from None, the closed form "
    "is used instead of the new chainable form, where available. Please open an issue if you are unable to replicate "
    "your use case: https://github.com/pytorch/pytorch/issues/new/choose."
)
_HOW_TO = "See more details at https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"


def _warn(text, category=UserWarning, stacklevel=3):
    import warnings

    warnings.warn(text, category, stacklevel=stacklevel)


def _copy(value):
    return value.clone() if isinstance(value, torch.Tensor) else value


def _set(group, key, value):
    """A rate held in a tensor is changed in place, so that whoever holds the tensor sees it."""
    if isinstance(group[key], torch.Tensor):
        group[key].fill_(float(value))
    else:
        group[key] = value


def _values(optimizer, key):
    return [_copy(group[key]) for group in optimizer.param_groups]


def _per_group(name, optimizer, param):
    """One value for each group, from one value or a list of them."""
    n = len(optimizer.param_groups)
    if isinstance(param, (list, tuple)):
        if len(param) != n:
            raise ValueError(
                f"{name} must have the same length as optimizer.param_groups. {name} has {len(param)} values, "
                f"param_groups has {n}."
            )
        return list(param)
    return [param] * n


class LRScheduler:
    """Sets the learning rate of each group; a subclass says to what in `get_lr`."""

    _get_lr_called_within_step: bool = False
    _is_initial: bool = False

    def __init__(self, optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        if last_epoch == -1:
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", _copy(group["lr"]))
        else:
            for i, group in enumerate(optimizer.param_groups):
                if "initial_lr" not in group:
                    raise KeyError(
                        f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with "
                        "last_epoch >= 0.\nThis typically happens when:\n"
                        "1. You're trying to resume training from a checkpoint but haven't properly loaded the optimizer "
                        "state\n2. You're using last_epoch >= 0 for a fresh training run (not recommended)"
                    )
        self.base_lrs = _values(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        self._watch_steps(optimizer)
        self._initial_step()

    @staticmethod
    def _watch_steps(optimizer) -> None:
        """Makes the optimizer remember that it has stepped, to warn of calls in the wrong order."""
        step = optimizer.step
        if hasattr(step, "_wrapped_by_lr_sched"):
            return
        owner, function = ref(optimizer), step.__func__

        @wraps(function)
        def watched(*args, **kwargs):
            opt = owner()
            opt._opt_called = True
            return function.__get__(opt, opt.__class__)(*args, **kwargs)

        watched._wrapped_by_lr_sched = True
        optimizer.step = watched

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict:
        """Everything but the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict) -> None:
        """Takes the state of another schedule."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list:
        """The rate of each group as last set."""
        return _values_of(self._last_lr)

    def get_lr(self) -> list:
        """The next rate of each group."""
        raise NotImplementedError

    def _warn_outside_step(self):
        if not self._get_lr_called_within_step:
            _warn("To get the last learning rate computed by the scheduler, please use `get_last_lr()`.", stacklevel=4)

    @contextmanager
    def _within_step(self):
        self._get_lr_called_within_step = True
        try:
            yield
        finally:
            self._get_lr_called_within_step = False

    def step(self, epoch: int | None = None) -> None:
        """Moves on to the next rate."""
        if self._step_count == 1:
            if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
                _warn(
                    "Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization. "
                    "Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`. " + _HOW_TO
                )
            elif not getattr(self.optimizer, "_opt_called", False):
                _warn(
                    "Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch 1.1.0 and later, you "
                    "should call them in the opposite order: `optimizer.step()` before `lr_scheduler.step()`.  Failure "
                    "to do this will result in PyTorch skipping the first value of the learning rate schedule. "
                    + _HOW_TO
                )
        self._step_count += 1
        if epoch is not None:
            _warn(EPOCH_DEPRECATION_WARNING)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        with self._within_step():
            if epoch is None:
                self.last_epoch += 1
                values = self.get_lr()
            else:
                self.last_epoch = epoch
                closed = getattr(self, "_get_closed_form_lr", None)
                values = closed() if closed is not None else self.get_lr()
        for group, lr in zip(self.optimizer.param_groups, values):
            _set(group, "lr", lr)
        self._last_lr = _values(self.optimizer, "lr")

    def _rates(self):
        return [group["lr"] for group in self.optimizer.param_groups]


def _values_of(rates):
    return [_copy(x) for x in rates]


class _LRScheduler(LRScheduler):
    """The old name of `LRScheduler`."""
