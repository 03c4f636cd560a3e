"""Measures that are not a step's time, each in fresh processes.

`measure(only, threads, turns)` of a module yields `(name, row)` with rows as those of `harness.ratio_row`, and a `unit` by
which figures are divided when they are shown: seconds and bytes are what they hold.
"""

from . import cold_compile, lengths, peak_memory, startup

MODULES = (cold_compile, lengths, peak_memory, startup)
# `{name: (target, in words what is compared)}` of all.
TARGETS = {name: target for module in MODULES for name, target in module.TARGETS.items()}
