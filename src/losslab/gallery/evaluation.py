"""Evaluate a claim by its preregistered comparisons."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from losslab.analysis import statistics
from losslab.analysis.comparison_groups import Row
from losslab.analysis.multiplicity import corrected
from losslab.analysis.pairs import Pair, compare_rows
from losslab.analysis.statistics import LEVEL
from losslab.gallery.claim import Claim, PreregisteredComparison
from losslab.gallery.rows import (
    baseline,
    constant,
    measured_as,
    metric_named,
    multiplied,
    of_slope,
    picked,
    slopes,
    with_setting,
)
from losslab.metrics.labels import Metric

Outcome = Literal["held", "refuted", "undecided"]
OUTCOMES: tuple[Outcome, ...] = ("held", "refuted", "undecided")


@dataclass(frozen=True)
class ComparisonResult:
    """Preregistered comparison with its result."""

    comparison: PreregisteredComparison
    pair: Pair
    """Paired differences of the row minus what it is compared with, with p-values that are
    corrected for all comparisons of the claim."""

    @property
    def adjusted_p(self) -> float:
        """P-value for what was expected: a difference, or equivalence within the margin."""
        if self.comparison.within is None:
            return self.pair.adjusted_p
        return self.pair.adjusted_equivalence_p

    @property
    def outcome(self) -> Outcome:
        """Return whether what was expected was shown, its opposite was, or neither."""
        pair = self.pair
        if self.comparison.within is not None:
            if pair.equivalent:
                return "held"
            exceeds = pair.comparisons * _p_of_exceeding(pair, self.comparison.within) <= LEVEL
            return "refuted" if exceeds else "undecided"
        # a run that never reaches what is measured counts, while other failures are apart
        favoured = pair.preferred if pair.metric.absent_is_worst else pair.better
        if favoured is None:
            return "undecided"
        return "held" if favoured == pair.a else "refuted"


def evaluate_claim(claim: Claim, rows: Sequence[Row]) -> list[ComparisonResult]:
    """Test the preregistered comparisons of a claim, corrected for all of them.

    Raises:
        ValueError: if a comparison does not pick exactly one row, or a trend not enough of them.
    """
    pairs = corrected([_pair(comparison, rows) for comparison in claim.preregistered])
    return [ComparisonResult(*each) for each in zip(claim.preregistered, pairs, strict=True)]


def _pair(comparison: PreregisteredComparison, rows: Sequence[Row]) -> Pair:
    if comparison.trend is not None:
        row, other = _slopes(comparison, comparison.trend, rows)
        metric = of_slope(metric_named(comparison.metric, row), comparison.trend)
    else:
        row = picked(rows, comparison.row)
        other = _other(comparison, row, rows)
        metric = metric_named(comparison.metric, row)
    if comparison.times != 1:
        other = multiplied(other, comparison.metric, comparison.times)
    return compare_rows(row, other, _expecting(comparison, metric), within=comparison.within)


def _expecting(comparison: PreregisteredComparison, metric: Metric) -> Metric:
    """Return the metric with the expected direction as the better one, whatever it is."""
    if comparison.expected == "equal":
        return metric
    return replace(metric, better=comparison.expected)


def _slopes(comparison: PreregisteredComparison, key: str, rows: Sequence[Row]) -> tuple[Row, Row]:
    """Return the slopes of the metric over a setting, and what they are compared with."""
    assert isinstance(comparison.than, Mapping)
    ours = slopes(with_setting(rows, comparison.row, key), comparison.metric)
    if "of" not in comparison.than:
        return ours, constant(ours, comparison.metric, 0.0)
    return ours, slopes(with_setting(rows, comparison.than["of"], key), comparison.metric)


def _other(comparison: PreregisteredComparison, row: Row, rows: Sequence[Row]) -> Row:
    than = comparison.than
    if not isinstance(than, Mapping):
        return constant(row, comparison.metric, than)
    if "baseline" in than:
        return baseline(row, than["baseline"])
    if "metric" in than:
        return measured_as(row, than["metric"], comparison.metric)
    return picked(rows, than)


def _p_of_exceeding(pair: Pair, within: float) -> float:
    """Return the p-value of the test that the difference is at most as large as the margin."""
    beyond = abs(pair.mean) - within
    if not beyond > 0 or pair.failures.lost:
        return 1.0
    if pair.test.estimate is not None:
        return replace(pair.test.estimate, mean=beyond).p
    sign = math.copysign(1, pair.mean)
    return statistics.sign_flip_p([sign * each - within for each in pair.differences.values()])


def conclusion(results: Sequence[ComparisonResult]) -> str:
    """Summarize a claim from the outcomes of its comparisons.

    Returns:
        For example ``held in 2 of 4 comparisons, 1 refuted, 1 undecided``.
    """
    outcomes = [each.outcome for each in results]
    counts = {each: outcomes.count(each) for each in OUTCOMES if each in outcomes}
    if len(counts) == 1:
        [only] = counts
        number = "both" if len(outcomes) == 2 else f"all {len(outcomes)}"
        return only if len(outcomes) == 1 else f"{only} in {number} comparisons"
    first, *rest = (f"{count} {outcome}" for outcome, count in counts.items())
    if "held" in counts:
        first = f"held in {counts['held']} of {len(outcomes)} comparisons"
    return ", ".join([first, *rest])
