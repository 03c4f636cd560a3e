"""Apple's GPU: answers for programs that ask whether there is one."""


def is_available():
    return False


def device_count():
    return 0


def synchronize():
    """Waits until everything asked for is computed."""
    from . import _C

    _C._flush()


def empty_cache():
    pass


def manual_seed(seed):
    pass


def seed():
    pass


def set_per_process_memory_fraction(fraction):
    pass


def current_allocated_memory():
    return 0


driver_allocated_memory = recommended_max_memory = current_allocated_memory
