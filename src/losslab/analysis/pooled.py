"""Pool the differences between losses over several data sets.

A pooled conclusion is about the mean of the differences on the data sets that were compared, not
about other data sets; for these see :mod:`losslab.analysis.ranking`. Every data set has the same
weight. Comparison groups on one data set share samples, so together they count as one data set.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from losslab.analysis import statistics
from losslab.analysis.combination import mean_of_tests, mean_on_same_data, stratified_sign_flips
from losslab.analysis.comparison import Comparison, ComparisonTable
from losslab.analysis.comparison_groups import Row
from losslab.analysis.generalization import MeanTest, corrected_t
from losslab.analysis.pairs import Pair
from losslab.analysis.power import needed_seeds
from losslab.analysis.statistics import LEVEL, Interval
from losslab.metrics.labels import Metric

Unit = Literal["metric", "relative", "standardized"]
"""Unit of pooled differences: the metric's own; the mean of both losses on the data set; or the
root mean square of the differences on the data set."""

WEAKEST_FIRST = ("these samples", "new test samples", "new samples")
"""What conclusions on single data sets hold for; a pooled one holds for the weakest of them."""


@dataclass(frozen=True)
class PooledPair:
    """Pooled comparison of two losses by one metric; differences are ``a - b``."""

    a: str
    b: str
    metric: Metric
    data_sets: tuple[str, ...]
    """Names of the data sets."""
    groups: int
    """Number of comparison groups on them."""
    left_out: tuple[str, ...]
    """Names of comparison groups with too few seeds at which both losses finished."""
    failed: Mapping[str, int]
    """Number of failed runs by loss, which have no value to pool."""
    unit: Unit
    mean: float
    """Mean over data sets of the mean differences, in the unit."""
    interval: Interval
    """95 % interval that the test implies, not corrected."""
    p: float
    smallest_p: float
    """Smallest p-value that this number of seeds can give."""
    method: str
    """``stratified sign flips`` or ``Satterthwaite's t``."""
    holds_for: str
    """Kind of samples of these data sets, see :data:`WEAKEST_FIRST`."""
    seeds: int
    """Number of paired seeds over all data sets."""
    ahead: tuple[int, int]
    """Number of comparison groups in which the mean of ``a``, and of ``b``, is better."""
    significant_alone: tuple[int, int]
    """Number of comparison groups in which ``a``, and ``b``, is significantly better."""
    adjusted_p: float = 1.0
    """P-value after Holm's correction over the pooled comparisons."""
    comparisons: int = 1
    """Number of pooled comparisons."""

    @property
    def where(self) -> str:
        """Name what was pooled: ``these 3 data sets``."""
        count = len(self.data_sets)
        if count == 1:
            return f"these {self.groups} comparison groups of {self.data_sets[0]}"
        if count == self.groups:
            return f"these {count} data sets"
        return f"these {self.groups} comparison groups of {count} data sets"

    @property
    def needed(self) -> int:
        """Minimum number of seeds with which the sign-flip test can find a difference."""
        return needed_seeds(self.comparisons)

    @property
    def underpowered(self) -> bool:
        """Return whether there are too few seeds for any difference to be significant."""
        return self.smallest_p > LEVEL / self.comparisons

    @property
    def better(self) -> str | None:
        """Name of the better loss if the difference is significant, else ``None``."""
        if self.underpowered or self.adjusted_p > LEVEL:
            return None
        return self.a if self.metric.sign * self.mean > 0 else self.b

    @property
    def swapped(self) -> "PooledPair":
        """Return the same comparison with ``a`` and ``b`` exchanged."""
        low, high, method = self.interval
        return replace(
            self,
            a=self.b,
            b=self.a,
            mean=-self.mean,
            interval=Interval(-high, -low, method),
            ahead=self.ahead[::-1],
            significant_alone=self.significant_alone[::-1],
        )


class Entry(NamedTuple):
    """Two losses in one comparison group."""

    group: str
    """Name of the comparison group."""
    data_set: tuple[str, ...]
    """Name of the data set and what identifies it: groups with the same one share samples."""
    pair: Pair
    level: float
    """Mean of both rows' values."""
    failed: Mapping[str, int]
    """Number of failed runs by loss."""


def pooled_pairs(comparison: Comparison) -> list[PooledPair]:
    """Pool the pairs that were compared in several comparison groups by the same metric.

    Only means are pooled, not medians and interquartile means.
    """
    if comparison.center != "mean":
        return []
    pools = [pool(a, b, entries) for (a, b, _), entries in entries_of(comparison).items()]
    found = [pair for pair in pools if pair is not None]
    adjusted = statistics.holm([pair.p for pair in found])
    return [
        replace(pair, adjusted_p=float(p), comparisons=len(found))
        for pair, p in zip(found, adjusted, strict=True)
    ]


# --- the same two losses in several comparison groups ---------------------------------------------


def entries_of(comparison: Comparison) -> dict[tuple[str, str, str], list[Entry]]:
    """Return where two losses were compared by a metric, by their sorted names and its name."""
    found: dict[tuple[str, str, str], list[Entry]] = {}
    for table in comparison.tables:
        rows = {row.label: row for row in table.rows}
        for pair in table.pairs:
            # a label may hold the options that a loss was tuned to on this data set
            a, b = (loss_name(table, rows[label]) for label in (pair.a, pair.b))
            if a != b:
                oriented = pair if a < b else pair.swapped
                key = (*sorted((a, b)), pair.metric.name)
                found.setdefault(key, []).append(_entry(table, rows, oriented))  # type: ignore[arg-type]
    return found


def loss_name(table: ComparisonTable, row: Row) -> str:
    """Return the loss if it has only one row, else the row's label."""
    losses = [other.loss for other in table.rows]
    return row.loss if losses.count(row.loss) == 1 else row.label


def data_set_of(row: Row) -> tuple[str, ...]:
    """Identify a data set: by its name in conf/, and by the path or environment chosen."""
    keys = ("data.path", "data.env_id")
    return (row.runs[0].data, *(str(row.settings[key]) for key in keys if key in row.settings))


def _entry(table: ComparisonTable, rows: Mapping[str, Row], pair: Pair) -> Entry:
    sides = [rows[pair.a], rows[pair.b]]
    summaries = [table.summary(row, pair.metric) for row in sides]
    values = [summary.values[seed] for summary in summaries for seed in pair.differences]
    failed = {
        loss_name(table, row): len(summary.failed)
        for row, summary in zip(sides, summaries, strict=True)
    }
    level = math.fsum(values) / len(values) if values else math.nan
    return Entry(table.name, data_set_of(sides[0]), pair, level, failed)


# --- one pool -------------------------------------------------------------------------------------


def pool(a: str, b: str, entries: Sequence[Entry]) -> PooledPair | None:
    """Pool two losses, without correcting for other pooled comparisons.

    If seeds are independent on every data set, signs are flipped within the data sets; otherwise
    the estimates of the data sets, each with a variance that fits its design, are combined.

    Returns:
        The pooled comparison; ``None`` if fewer than two groups can be pooled, or estimates have no
        common unit.
    """
    metric = entries[0].pair.metric
    by_signs = not any(entry.pair.test.estimate for entry in entries)
    usable = [entry for entry in entries if _is_usable(entry, by_signs)]
    unit = unit_of(metric)
    if len(usable) < 2 or (unit == "standardized" and not by_signs):
        return None
    p, mean, interval, strata = (_by_signs if by_signs else _by_estimates)(usable, unit)
    holds_for = min((entry.pair.test.holds_for for entry in usable), key=WEAKEST_FIRST.index)
    failed = {name: sum(entry.failed[name] for entry in usable) for name in (a, b)}
    return PooledPair(
        *(a, b, metric),
        data_sets=tuple(dict.fromkeys(" ".join(entry.data_set) for entry in usable)),
        groups=len(usable),
        left_out=tuple(entry.group for entry in entries if entry not in usable),
        failed=failed,
        unit=unit,
        mean=mean,
        interval=interval,
        p=p,
        smallest_p=2.0 ** (1 - strata) if by_signs else 0.0,
        method="stratified sign flips" if by_signs else "Satterthwaite's t",
        holds_for=holds_for,
        seeds=strata,
        ahead=_counts(metric.sign * entry.pair.mean for entry in usable),
        significant_alone=_counts(
            {entry.pair.a: 1, entry.pair.b: -1}.get(str(entry.pair.better), 0) for entry in usable
        ),
    )


def _counts(signs: Iterator[float]) -> tuple[int, int]:
    found = list(signs)
    return sum(sign > 0 for sign in found), sum(sign < 0 for sign in found)


def _is_usable(entry: Entry, by_signs: bool) -> bool:
    """Return whether both losses finished at enough seeds."""
    return len(entry.pair.differences) >= (1 if by_signs else 2)


def unit_of(metric: Metric) -> Unit:
    """Choose the unit of pooled differences.

    Metrics with an upper bound, such as accuracies and correlations, mean the same on each data
    set. Errors without a bound are in the unit of the target and are compared relative to their
    size.
    """
    if metric.percent or metric.unit or math.isfinite(metric.high):
        return "metric"
    return "relative" if metric.low >= 0 else "standardized"


def _factor(entry: Entry, unit: Unit) -> float:
    """Return the number that brings differences to the unit.

    No factor changes if the two losses are exchanged at some seeds, so sign flips stay exact.
    """
    values = entry.pair.differences.values()
    scale = 1.0
    if unit == "relative":
        scale = entry.level
    elif unit == "standardized":
        scale = math.sqrt(math.fsum(value**2 for value in values) / len(values))
    return 1 / scale if scale else 1.0


def _by_data_set(entries: Sequence[Entry]) -> list[list[Entry]]:
    data_sets = dict.fromkeys(entry.data_set for entry in entries)
    return [[entry for entry in entries if entry.data_set == each] for each in data_sets]


def _by_signs(entries: Sequence[Entry], unit: Unit) -> tuple[float, float, Interval, int]:
    """Flip signs per data set and seed; groups on one data set are flipped together."""
    parts: dict[Any, float] = {}
    weights: dict[Any, float] = {}
    data_sets = _by_data_set(entries)
    for place, groups in enumerate(data_sets):
        for entry in groups:
            weight = 1 / (len(data_sets) * len(groups) * len(entry.pair.differences))
            for seed, difference in entry.pair.differences.items():
                key = (place, seed)
                weights[key] = weights.get(key, 0.0) + weight
                parts[key] = parts.get(key, 0.0) + weight * _factor(entry, unit) * difference
    p, interval = stratified_sign_flips(list(parts.values()), list(weights.values()))
    return p, math.fsum(parts.values()), interval, len(parts)


def _by_estimates(entries: Sequence[Entry], unit: Unit) -> tuple[float, float, Interval, int]:
    """Combine the estimates of the data sets and their standard errors."""
    test = mean_of_tests(
        [
            mean_on_same_data([_estimate(entry, _factor(entry, unit)) for entry in groups])
            for groups in _by_data_set(entries)
        ]
    )
    interval = Interval(*test.interval(), "Satterthwaite's t")
    seeds = {(entry.data_set, seed) for entry in entries for seed in entry.pair.differences}
    return test.p, test.mean, interval, len(seeds)


def _estimate(entry: Entry, factor: float) -> MeanTest:
    """Return the estimate of a group's mean difference; independent seeds give Student's t."""
    found = entry.pair.test.estimate
    if found is None:
        found = corrected_t(list(entry.pair.differences.values()), test_share=0.0)
    return replace(
        found, mean=factor * found.mean, error=factor * found.error, floor=factor * found.floor
    )
