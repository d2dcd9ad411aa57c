"""How a training gets to its target, and whether it stays there, from the curves of validation.

The target is an R² of 0.9999: of noiseless values, errors of a hundredth of their spread are left.
"""

import math
from collections.abc import Callable

import numpy as np

from losslab.analysis.load import Run
from losslab.metrics.labels import Metric

TARGET = 0.9999
"""R² on validation that counts as arrived."""
LAST_PART = 0.25
"""Share of the epochs, the last ones, over which oscillation is measured."""


def steps_to_target(run: Run) -> float:
    """Return the optimizer steps after which R² on validation first was at the target; or NaN."""
    curve = run.curves[run.curves["name"] == "val/r2"]
    arrived = curve.loc[curve["value"] >= TARGET, "step"]
    return float(arrived.iloc[0]) if len(arrived) else math.nan


def oscillation(run: Run) -> float:
    """Compute the mean absolute change of the validation error from an epoch to the next.

    The error is the mean absolute error, in the last quarter of the epochs.
    """
    errors = run.curves.loc[run.curves["name"] == "val/mae", "value"].to_numpy()
    last = errors[-math.ceil(LAST_PART * len(errors)) - 1 :]
    return float(np.abs(np.diff(last)).mean()) if len(last) > 1 else math.nan


MEASURES: dict[str, tuple[Metric, Callable[[Run], float]]] = {
    "steps_to_target": (
        Metric(
            "steps_to_target",
            f"optimizer steps to an R² of {TARGET:g}",
            "lower",
            low=0,
            absent_is_worst=True,
        ),
        steps_to_target,
    ),
    "oscillation": (
        Metric("oscillation", "change of the error from epoch to epoch", "lower", low=0),
        oscillation,
    ),
}
"""Measures of the way to a target."""
