"""Workloads for peers that do not speak PyTorch's interface."""
