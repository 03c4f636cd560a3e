"""The default generator: seeding it, saving and restoring its state."""
from . import _C

__all__ = ["manual_seed", "seed", "initial_seed", "get_rng_state", "set_rng_state", "fork_rng"]

default_generator = _C.default_generator


def _get_state(generator):
    """The generator's state as a uint8 tensor of 5,056 elements."""
    return _C._from_bytes(generator._state_bytes(), _C.uint8, (5056,))


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
    return _set_state(_C.Generator(), _get_state(generator))


_C.Generator.get_state = _get_state
_C.Generator.set_state = _set_state
_C.Generator.clone_state = _clone_state


def manual_seed(seed):
    """Seeds the generators of all devices and returns the CPU's. The same seed gives PyTorch's numbers on the CPU."""
    _C._cuda_manual_seed_all(int(seed) & 0xFFFF_FFFF_FFFF_FFFF)
    return default_generator.manual_seed(int(seed))


def seed():
    """Seeds the default generator from the operating system and returns the 64-bit seed."""
    return default_generator.seed()


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
    """Within the block random numbers are drawn as usual; after it the generator is where it was before."""

    def __init__(self, devices=None, enabled=True, _caller="fork_rng", _devices_kw="devices", device_type="cuda"):
        self.enabled = enabled

    def __enter__(self):
        if self.enabled:
            self.state = get_rng_state()

    def __exit__(self, exc_type, exc_value, traceback):
        if self.enabled:
            set_rng_state(self.state)

    def __call__(self, function):
        import functools

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            with fork_rng(enabled=self.enabled):
                return function(*args, **kwargs)

        return wrapper
