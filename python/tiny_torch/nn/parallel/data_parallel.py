"""One module on several GPUs, each with a part of the batch."""

from __future__ import annotations

from itertools import chain

import tiny_torch as torch

from ..modules.module import Module
from .parallel_apply import parallel_apply
from .replicate import replicate
from .scatter_gather import _device, gather, scatter_kwargs

__all__ = ["DataParallel", "data_parallel"]


def _ordinals(device_ids):
    """Numbers of GPUs: all of them where none are named."""
    if device_ids is None:
        return list(range(torch.cuda.device_count()))
    return [d if isinstance(d, int) else torch.device(d).index or 0 for d in device_ids]


class DataParallel(Module):
    """Cuts the batch along `dim` over GPUs, runs a copy of `module` on each and joins the results on `output_device`.

    The module and its parameters are on the first GPU, where gradients arrive too. It stands under the name `module`, so
    that state dicts match. Without a GPU the module is called as it is.
    """

    def __init__(self, module, device_ids=None, output_device=None, dim: int = 0) -> None:
        super().__init__()
        self.module = module
        self.dim = dim
        if not torch.cuda.is_available():
            self.device_ids = []
            return
        self.device_ids = _ordinals(device_ids)
        if not self.device_ids:
            raise RuntimeError("no available devices were found")
        self.output_device = self.device_ids[0] if output_device is None else _ordinals([output_device])[0]
        self.src_device_obj = _device(self.device_ids[0])
        if len(self.device_ids) == 1:
            self.module.to(self.src_device_obj)

    def forward(self, *inputs, **kwargs):
        if not self.device_ids:
            return self.module(*inputs, **kwargs)
        for t in chain(self.module.parameters(), self.module.buffers()):
            if t.device != self.src_device_obj:
                raise RuntimeError(
                    f"module must have its parameters and buffers on device {self.src_device_obj} (device_ids[0]) but "
                    f"found one of them on device: {t.device}"
                )
        inputs, kwargs = self.scatter(inputs, kwargs, self.device_ids)
        # A module without arguments is called all the same.
        if not inputs and not kwargs:
            inputs, kwargs = ((),), ({},)
        if len(self.device_ids) == 1:
            return self.module(*inputs[0], **kwargs[0])
        replicas = self.replicate(self.module, self.device_ids[: len(inputs)])
        outputs = self.parallel_apply(replicas, inputs, kwargs)
        return self.gather(outputs, self.output_device)

    def replicate(self, module, device_ids):
        """Copies of the module; without derivatives where none are recorded."""
        return replicate(module, device_ids, not torch.is_grad_enabled())

    def scatter(self, inputs, kwargs, device_ids):
        """The arguments of each copy."""
        return scatter_kwargs(inputs, kwargs, device_ids, dim=self.dim)

    def parallel_apply(self, replicas, inputs, kwargs):
        """The results of the copies."""
        return parallel_apply(replicas, inputs, kwargs, self.device_ids[: len(replicas)])

    def gather(self, outputs, output_device):
        """The results in one place."""
        return gather(outputs, output_device, dim=self.dim)


def data_parallel(module, inputs, device_ids=None, output_device=None, dim: int = 0, module_kwargs=None):
    """Calls `module` on `inputs`, cut over GPUs as [`DataParallel`] does; the result is on `output_device`."""
    inputs = inputs if isinstance(inputs, tuple) else () if inputs is None else (inputs,)
    return DataParallel(module, device_ids, output_device, dim)(*inputs, **(module_kwargs or {}))
