"""Functional forms written over other operators.

Each is used only while the native module has no operator of that name: `functional.py` puts native ones first.
"""
