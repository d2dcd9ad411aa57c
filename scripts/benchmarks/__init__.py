"""Measurements of ``scripts/benchmark.py``, one file each."""
