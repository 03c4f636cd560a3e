"""Tests draw the same random numbers each time they run: without a seed they differ from process to process."""
import pytest
import tiny_torch as torch


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
