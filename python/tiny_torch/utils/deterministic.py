"""Settings of deterministic mode."""

fill_uninitialized_memory = True
