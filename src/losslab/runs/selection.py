"""Order of two epochs of a run by their metrics."""

import math
from typing import Literal

Mode = Literal["min", "max"]

FLOAT32 = 1.2e-7
"""Relative rounding error of float32, in which networks compute and version 0.1 recorded."""


def order(value: float, reference: float, mode: Mode) -> int:
    """Return 1 if a value is better than another, 0 if they are equal up to rounding, else -1.

    NaN is worse than any number and equal to NaN.

    Example:
        >>> order(0.9, 0.8, "max"), order(0.9, 0.8, "min"), order(0.9, 0.9 + 1e-9, "max")
        (1, -1, 0)
        >>> order(0.9, float("nan"), "max")
        1
    """
    if math.isnan(value) or math.isnan(reference):
        return int(math.isnan(reference)) - int(math.isnan(value))
    if math.isclose(value, reference, rel_tol=FLOAT32):
        return 0
    return 1 if (value < reference) == (mode == "min") else -1
