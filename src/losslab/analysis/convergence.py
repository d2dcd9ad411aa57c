"""Whether training went on for long enough, from the monitor's validation curves."""

import statistics as plain

import numpy as np

from losslab.analysis.comparison_groups import Row
from losslab.analysis.load import Run
from losslab.metrics.labels import metric_of

LATE = 0.2
"""Share of the epochs, at the end, over which the monitor must not improve any more."""

AT_CHANCE = 0.02
"""Share of the way from chance to perfect below which a monitor has learned nothing."""


def started_at_best(row: Row) -> bool:
    """Return whether the best epoch of at least half of a row's finished runs is the first."""
    return bool(row.done) and 2 * len(first_is_best(row)) >= len(row.done)


def first_is_best(row: Row) -> list[Run]:
    """Return the finished runs of several epochs whose best epoch is the first."""
    return [
        run
        for run in row.done
        if (best := run.record["best"]) and best["epoch"] == 0 and run.record["epochs"] > 1
    ]


def at_chance(row: Row) -> list[Run]:
    """Return the finished runs whose monitor never leaves chance level.

    It stays constant, or within 2 % of the way from chance to perfect.
    """
    return [run for run in row.done if _at_chance(run)]


def _at_chance(run: Run) -> bool:
    values = run.monitored
    if len(values) < 2:
        return False
    metric = metric_of(run.config["task"]["monitor"], run.config["task"])
    if np.ptp(values) <= 1e-6 * np.abs(values).max():
        return True
    scaled = metric.sign > 0 and np.isfinite(metric.high)
    return bool(scaled and values.max() - metric.chance < AT_CHANCE * (metric.high - metric.chance))


def not_converged(row: Row) -> bool:
    """Return whether a row was still improving when its training ended.

    The last epoch is the best of at least half of the finished runs, and over the last fifth of the
    epochs the monitor improved, on average over seeds, by more than its standard deviation over
    seeds at the end (with one seed: at all).
    """
    curves = [values for run in row.done if len(values := run.monitored) > 2]
    ended_at_best = sum(values[-1] == values.max() for values in curves)
    if not curves or 2 * ended_at_best < len(curves):
        return False
    gains = [values[-1] - values[_late(len(values))] for values in curves]
    ends = [float(values[-1]) for values in curves]
    return plain.fmean(gains) > (plain.stdev(ends) if len(ends) > 1 else 0.0)


def _late(epochs: int) -> int:
    """Return the epoch from which the gain is measured: at least one epoch before the last."""
    return min(epochs - 2, round((1 - LATE) * (epochs - 1)))
