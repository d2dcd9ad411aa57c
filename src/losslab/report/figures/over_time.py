"""Curves of a row's runs on a common axis: their mean and its confidence interval."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from losslab.analysis.comparison import ComparisonTable
from losslab.analysis.comparison_groups import Row


@dataclass(frozen=True)
class MeanCurve:
    """Mean over the finished runs of a row, of one curve, with its confidence interval."""

    x: np.ndarray
    """Positions at which all runs have a value."""
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    """Student's 95 % interval of the mean; NaN for a single run."""
    runs: Mapping[int, tuple[np.ndarray, np.ndarray]]
    """Curve of each run, by seed."""


class TableCurves:
    """Curves of all rows of a table, with each file read only once.

    The axis is the epoch, counted from 1; in reinforcement learning the environment step; for
    values that are logged within epochs, such as gradient norms, the training step.
    """

    def __init__(self, table: ComparisonTable) -> None:
        self._curves = {row.label: _curves_by_name(row) for row in table.rows}
        task = table.rows[0].runs[0].config["task"]
        self._steps_per_epoch = task.get("steps_per_epoch")

    @property
    def names(self) -> set[str]:
        """Names of the curves that some row has, with their split."""
        return {name for curves in self._curves.values() for name in curves}

    def axis(self, name: str) -> str:
        """Return the label of a curve's horizontal axis."""
        if _within_epochs(name):
            return "training step"
        return "environment steps" if self._steps_per_epoch else "epoch"

    def band(self, row: Row, name: str) -> MeanCurve | None:
        """Return the mean curve of a row; ``None`` if no finished run has the curve."""
        curves = self._curves[row.label].get(name)
        if curves is None:
            return None
        places = np.unique(np.concatenate([place for place, _ in curves.values()]))
        x = self._x(places, name)
        values = np.full((len(places), len(curves)), np.nan)
        for column, (place, value) in enumerate(curves.values()):
            values[np.searchsorted(places, place), column] = value  # the last of one place counts
        there = np.isfinite(values)
        runs = {
            seed: (x[there[:, column]], values[there[:, column], column])
            for column, seed in enumerate(curves)
        }
        every = there.all(axis=1)
        return MeanCurve(x[every], *_mean_interval(values[every]), runs)

    def _x(self, place: np.ndarray, name: str) -> np.ndarray:
        if _within_epochs(name):
            return place
        return (place + 1) * (self._steps_per_epoch or 1)


def _within_epochs(name: str) -> bool:
    return name.startswith("train/") or name == "lr"  # as version 0.1 wrote train/lr


def _curves_by_name(row: Row) -> dict[str, dict[int, tuple[np.ndarray, np.ndarray]]]:
    """Return the places and values of each curve of the finished runs, by name and seed."""
    found: dict[str, dict[int, tuple[np.ndarray, np.ndarray]]] = {}
    for run in row.done:
        curves = run.read_columns()
        for name in dict.fromkeys(curves.name):
            own = curves.name == name
            place = curves.step if _within_epochs(name) else curves.epoch
            found.setdefault(name, {})[run.seed] = (place[own], curves.value[own])
    return found


def _mean_interval(values: np.ndarray) -> tuple[Any, Any, Any]:
    """Compute the mean and Student's 95 % interval of each row of values."""
    n = values.shape[1]
    mean = values.mean(axis=1)
    if n < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = special.stdtrit(n - 1, 0.975) * values.std(axis=1, ddof=1) / np.sqrt(n)
    return mean, mean - half, mean + half
