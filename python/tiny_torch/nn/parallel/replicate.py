"""Copies of a module on several devices."""

from __future__ import annotations

from .scatter_gather import _device

__all__ = ["replicate"]


def replicate(network, devices, detach: bool = False):
    """A list with a copy of `network` for each of `devices`.

    Derivatives flow back from the copies' parameters, which are no leaves, to the network's. On the device where the
    network is, the copy has the network's own buffers: what batch normalisation writes there is kept.
    """
    modules = list(network.modules())
    place = {module: i for i, module in enumerate(modules)}
    copies = []
    for device in map(_device, devices):
        moved = {}

        def there(tensor):
            if tensor is None:
                return None
            if id(tensor) not in moved:
                moved[id(tensor)] = tensor.detach().to(device) if detach else tensor.to(device)
            return moved[id(tensor)]

        replicas = [module._replicate_for_data_parallel() for module in modules]
        for module, replica in zip(modules, replicas):
            for name, child in module._modules.items():
                replica._modules[name] = None if child is None else replicas[place[child]]
            # Parameters of a copy are values, not leaves: they are plain attributes.
            replica._former_parameters = {name: there(p) for name, p in module._parameters.items()}
            replica._parameters.clear()
            replica.__dict__.update(replica._former_parameters)
            for name, buffer in module._buffers.items():
                replica._buffers[name] = there(buffer)
        copies.append(replicas[0])
    return copies
