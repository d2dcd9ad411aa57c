"""Summaries of rows: location, interval, failures and collapses of one metric over seeds."""

import functools
import math
import statistics as plain
from collections.abc import Mapping
from dataclasses import dataclass

from losslab.analysis import location
from losslab.analysis.collapses import collapsed
from losslab.analysis.comparison_groups import Row
from losslab.analysis.location import Center
from losslab.analysis.statistics import Interval
from losslab.metrics.labels import Metric


@dataclass(frozen=True)
class Summary:
    """Location, spread and confidence interval of one metric in one row."""

    metric: Metric
    values: Mapping[int, float]
    """Value per seed, for the finished runs that have the metric."""
    failed: tuple[int, ...]
    """Seeds whose run diverged or finished without reaching the metric."""
    collapsed: tuple[int, ...]
    """Seeds whose run finished far below the others, see :mod:`losslab.analysis.collapses`."""
    mean: float
    """Mean over seeds, or the location that was asked for."""
    deviation: float
    """Standard deviation over seeds; NaN for fewer than two seeds."""
    center: Center = "mean"
    """Location that was asked for."""

    @functools.cached_property
    def interval(self) -> Interval:
        """95 % confidence interval of the mean, which not every reader asks for."""
        numbers = list(self.values.values())
        low, high, method = location.location_interval(numbers, self.center)
        return Interval(max(low, self.metric.low), min(high, self.metric.high), method)

    @property
    def n(self) -> int:
        """Number of seeds that the mean is taken over."""
        return len(self.values)

    @property
    def undefined(self) -> bool:
        """Return whether the row lacks the metric, as a hinge loss lacks calibration."""
        return not self.values and not self.failed

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Key to sort by: rows without values last, then those that fail, then by the mean."""
        share = len(self.failed) / max(self.n + len(self.failed), 1)
        return math.isnan(self.mean), share, -self.metric.sign * self.mean


def summarize(row: Row, metric: Metric, split: str = "test", center: Center = "mean") -> Summary:
    """Summarize a metric of a row over the seeds that finished."""
    found = values_by_seed(row, metric, split)
    values = {seed: value for seed, value in found.items() if math.isfinite(value)}
    numbers = list(values.values())
    return Summary(
        metric=metric,
        values=values,
        failed=tuple(seed for seed in found if seed not in values),
        collapsed=collapsed(values, metric),
        mean=location.location(numbers, center),
        deviation=plain.stdev(numbers) if len(numbers) > 1 else math.nan,
        center=center,
    )


def values_by_seed(row: Row, metric: Metric, split: str) -> dict[int, float]:
    """Return the value per seed, infinite for a failed run; other missing runs are left out.

    So are runs whose split does not define the metric, as a test split without the rarest class.
    """
    measured = {
        run.seed: run.metrics(split)[metric.name]
        for run in row.done
        if metric.name in run.metrics(split) and not _undefined(run.metrics(split), metric.name)
    }
    if row.done and not measured and not metric.absent_is_worst:
        return {}  # the loss defines no such metric: a hinge has no calibration
    values: dict[int, float] = {}
    for run in row.runs:
        value = measured.get(run.seed, math.nan)
        absent = run.outcome == "done" and metric.absent_is_worst
        if math.isfinite(value):
            values[run.seed] = value
        elif run.outcome == "diverged" or run.seed in measured or absent:
            values[run.seed] = math.inf
    return values


def _undefined(metrics: Mapping[str, float], name: str) -> bool:
    """Return whether a metric is missing although predictions are finite, as the loss shows."""
    return math.isnan(metrics[name]) and math.isfinite(metrics.get("loss", math.nan))
