"""Curves of a row's runs on a common axis: their mean and its confidence interval."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from losslab.analysis.comparison import ComparisonTable
from losslab.analysis.comparison_groups import Row
from losslab.analysis.load import Run


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
        self._frames = {row.label: _frame(row) for row in table.rows}
        task = table.rows[0].runs[0].config["task"]
        self._steps_per_epoch = task.get("steps_per_epoch")

    @property
    def names(self) -> set[str]:
        """Names of the curves that some row has, with their split."""
        return {name for frames in self._frames.values() for name in frames}

    def axis(self, name: str) -> str:
        """Return the label of a curve's horizontal axis."""
        if _within_epochs(name):
            return "training step"
        return "environment steps" if self._steps_per_epoch else "epoch"

    def band(self, row: Row, name: str) -> MeanCurve | None:
        """Return the mean curve of a row; ``None`` if no finished run has the curve."""
        frame = self._frames[row.label].get(name)
        if frame is None:
            return None
        place = "step" if _within_epochs(name) else "epoch"
        grid = frame.drop_duplicates([place, "seed"], keep="last").pivot(
            index=place, columns="seed", values="value"
        )
        x = self._x(grid.index.to_numpy(), name)
        values = grid.to_numpy()
        there = np.isfinite(values)
        runs = {
            int(seed): (x[there[:, column]], values[there[:, column], column])
            for column, seed in enumerate(grid.columns)
        }
        every = there.all(axis=1)
        return MeanCurve(x[every], *_mean_interval(values[every]), runs)

    def _x(self, place: np.ndarray, name: str) -> np.ndarray:
        if _within_epochs(name):
            return place
        return (place + 1) * (self._steps_per_epoch or 1)


def _within_epochs(name: str) -> bool:
    return name.startswith("train/") or name == "lr"  # as version 0.1 wrote train/lr


def _frame(row: Row) -> dict[str, pd.DataFrame]:
    """Return the points of all finished runs with their ``seed``, by curve name."""
    frames = [_with_seed(run) for run in row.done]
    if not frames:
        return {}
    points = pd.concat(frames, ignore_index=True)
    return dict(iter(points.groupby("name", sort=False)))  # type: ignore[arg-type]


def _with_seed(run: Run) -> pd.DataFrame:
    return run.curves.assign(seed=run.seed)


def _mean_interval(values: np.ndarray) -> tuple[Any, Any, Any]:
    """Compute the mean and Student's 95 % interval of each row of values."""
    n = values.shape[1]
    mean = values.mean(axis=1)
    if n < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = special.stdtrit(n - 1, 0.975) * values.std(axis=1, ddof=1) / np.sqrt(n)
    return mean, mean - half, mean + half
