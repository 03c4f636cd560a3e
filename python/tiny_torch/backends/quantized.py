"""Quantised engines: none."""

engine = "none"
supported_engines = ["none"]
