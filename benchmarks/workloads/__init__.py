"""What the benchmarks time, written once in PyTorch's interface and run by both packages.

A workload is made for a device (`cpu`, `cuda`) and gives `(step, result)`: `step()` does the timed work once, `result()`
gives numbers by which two packages are compared before either is timed.
"""

from collections import namedtuple

from . import inference, kernels, lengths, training

# `make(device)` gives `(step, result)`. `target` is the least ratio that the project wants on a processor: the time of the
# fastest peer by ours. The peers are PyTorch's eager mode and those that are named. `tolerance` is relative.
Workload = namedtuple("Workload", "make target peers tolerance", defaults=((), 1e-3))

WORKLOADS = {
    name: Workload(*row) for module in (training, inference, kernels) for name, row in module.WORKLOADS.items()
}
# Those of measures of their own are not in the table.
EVERY = {**WORKLOADS, **{name: Workload(*row) for name, row in lengths.WORKLOADS.items()}}
