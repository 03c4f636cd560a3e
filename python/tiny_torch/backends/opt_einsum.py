"""The order of contractions in `einsum`."""

enabled = False
strategy = None


def is_available():
    return False


def get_opt_einsum():
    return None
