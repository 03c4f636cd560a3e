"""The default generator: seeding it, saving and restoring its state."""
from . import _C

__all__ = ["manual_seed", "seed", "initial_seed", "get_rng_state", "set_rng_state", "fork_rng"]

default_generator = _C.default_generator


def _get_state(generator):
    """The generator's state as a uint8 tensor on the CPU: 5,056 elements, or the 16 of a GPU's seed and offset."""
    state = generator._state_bytes()
    return _C._from_bytes(state, _C.uint8, (len(state),))


def _set_state(generator, new_state):
    """Puts the generator in a state that `get_state` gave."""
    if not isinstance(new_state, _C.TensorBase):
        raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
    if new_state.dtype != _C.uint8:
        raise TypeError("RNG state must be a torch.ByteTensor")
    generator._set_state_bytes(_C._to_bytes(new_state))
    return generator


def _clone_state(generator):
    """A generator of its own that goes on from here."""
    return _set_state(_C.Generator(generator.device), _get_state(generator))


_C.Generator.get_state = _get_state
_C.Generator.set_state = _set_state
_C.Generator.clone_state = _clone_state


def manual_seed(seed):
    """Seeds the generators of all devices and returns the CPU's. The same seed gives PyTorch's numbers on the CPU."""
    _C._cuda_manual_seed_all(int(seed) & 0xFFFF_FFFF_FFFF_FFFF)
    return default_generator.manual_seed(int(seed))


def seed():
    """Seeds the generators of all devices from the operating system and returns the 64-bit seed."""
    chosen = default_generator.seed()
    _C._cuda_manual_seed_all(chosen)
    return chosen


def initial_seed():
    """The seed that the default generator started from."""
    return default_generator.initial_seed()


def get_rng_state():
    """The default generator's state as a uint8 tensor."""
    return default_generator.get_state()


def set_rng_state(new_state):
    """Puts the default generator in a state that `get_rng_state` gave."""
    default_generator.set_state(new_state)


class fork_rng:
    """Within the block random numbers are drawn as usual; after it the generators are where they were before: the CPU's,
    and those of the GPUs in `devices` (numbers or names; of none given, of all)."""

    def __init__(self, devices=None, enabled=True, _caller="fork_rng", _devices_kw="devices", device_type="cuda"):
        self.enabled = enabled
        self.devices = devices

    def __enter__(self):
        if self.enabled:
            from . import cuda

            self.state = get_rng_state()
            chosen = self.devices
            # Looking for a GPU takes a while: one that was never looked for has drawn nothing.
            if chosen is None:
                chosen = range(cuda.device_count()) if cuda.is_initialized() else ()
            self.gpus = [(d, cuda.get_rng_state(d)) for d in chosen] if cuda.is_initialized() else []

    def __exit__(self, exc_type, exc_value, traceback):
        if self.enabled:
            from . import cuda

            set_rng_state(self.state)
            for device, state in self.gpus:
                cuda.set_rng_state(state, device)

    def __call__(self, function):
        import functools

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            with fork_rng(self.devices, self.enabled):
                return function(*args, **kwargs)

        return wrapper
