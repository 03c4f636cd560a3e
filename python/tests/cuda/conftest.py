"""Tests on a GPU: on a real one where there is one, else on the stand-in that `make test-cuda` builds.

The folder is run by itself (`make test-cuda`): which GPU a process has is settled when it first looks for one.
"""

import pytest
import tiny_torch as torch


@pytest.fixture(autouse=True)
def gpu():
    """Every test needs a GPU; one that is not found is a failure, and says what was looked for."""
    if not torch.cuda.is_available():
        pytest.fail(torch.cuda.why_not())
    yield
    torch.set_default_device(None)
    torch.cuda.synchronize()
