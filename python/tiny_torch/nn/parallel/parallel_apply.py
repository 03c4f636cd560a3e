"""Calling several modules, each on a device of its own."""

from __future__ import annotations

import tiny_torch as torch

from ..._utils import ExceptionWrapper

__all__ = ["parallel_apply"]


def _first_device(value):
    """The device of the first tensor in nested arguments."""
    if isinstance(value, torch.Tensor):
        return value.device
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return next((d for d in map(_first_device, items) if d is not None), None)


def parallel_apply(modules, inputs, kwargs_tup=None, devices=None):
    """The results of `modules[i](*inputs[i], **kwargs_tup[i])`, with `devices[i]` as the current device.

    The calls only record, one after the other; what they record runs on all devices at once.
    """
    count = len(modules)
    if count != len(inputs):
        raise AssertionError(f"The number of modules {count} is not equal to the number of inputs {len(inputs)}")
    kwargs_tup = ({},) * count if kwargs_tup is None else kwargs_tup
    if len(kwargs_tup) != count:
        raise AssertionError(f"The number of modules {count} is not equal to the number of kwargs {len(kwargs_tup)}")
    devices = [None] * count if devices is None else devices
    if len(devices) != count:
        raise AssertionError(f"The number of modules {count} is not equal to the number of devices {len(devices)}")
    results = []
    for i, (module, args, kwargs, device) in enumerate(zip(modules, inputs, kwargs_tup, devices)):
        args = args if isinstance(args, (list, tuple)) else (args,)
        device = _first_device([args, kwargs]) if device is None else device
        try:
            with torch.cuda.device(device):
                results.append(module(*args, **kwargs))
        except Exception:
            ExceptionWrapper(where=f"in replica {i} on device {device}").reraise()
    return results
