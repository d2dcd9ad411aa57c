"""Evaluate a claim by its preregistered comparisons."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from losslab.analysis import statistics
from losslab.analysis.comparison_groups import Row
from losslab.analysis.pairs import Pair, compare_rows
from losslab.analysis.statistics import LEVEL
from losslab.gallery.claim import Claim, PreregisteredComparison
from losslab.gallery.rows import baseline, constant, metric_named, picked

Outcome = Literal[
    "held", "the opposite", "no significant difference", "equivalence not shown", "underpowered"
]


@dataclass(frozen=True)
class ComparisonResult:
    """Preregistered comparison with its result."""

    comparison: PreregisteredComparison
    pair: Pair
    """Paired differences of the row minus what it is compared with."""
    p: float
    """P-value of the two-sided sign-flip test; for equality of two one-sided tests."""
    adjusted_p: float
    """P-value after Holm's correction over the claim's comparisons."""
    outcome: Outcome


def evaluate_claim(claim: Claim, rows: Sequence[Row]) -> list[ComparisonResult]:
    """Test the preregistered comparisons of a claim, with Holm's correction over all of them.

    Raises:
        ValueError: if a comparison does not pick exactly one row.
    """
    planned = claim.preregistered
    pairs = [_pair(comparison, rows) for comparison in planned]
    p_values = [
        _p(comparison, pair) for comparison, pair in zip(claim.preregistered, pairs, strict=True)
    ]
    adjusted = statistics.holm(p_values)
    return [
        ComparisonResult(
            comparison, pair, p, float(corrected), _outcome(comparison, pair, corrected, len(pairs))
        )
        for comparison, pair, p, corrected in zip(planned, pairs, p_values, adjusted, strict=True)
    ]


def _pair(comparison: PreregisteredComparison, rows: Sequence[Row]) -> Pair:
    row = picked(rows, comparison.row)
    if isinstance(comparison.than, Mapping):
        name = comparison.than.get("baseline")
        other = picked(rows, comparison.than) if name is None else baseline(row, str(name))
    else:
        other = constant(row, comparison.metric, comparison.than)
    metric = metric_named(comparison.metric, row)
    if comparison.expected != "equal":
        # the expected direction counts as better, whatever it is for the metric
        metric = replace(metric, better=comparison.expected)
    return compare_rows(row, other, metric, within=comparison.within)


def _p(comparison: PreregisteredComparison, pair: Pair) -> float:
    if comparison.within is None:
        return pair.p
    return pair.test.equivalence_p


def _outcome(
    comparison: PreregisteredComparison, pair: Pair, adjusted_p: float, comparisons: int
) -> Outcome:
    if pair.test.smallest_p > LEVEL / comparisons:
        return "underpowered"
    if adjusted_p > LEVEL:
        equality = comparison.expected == "equal"
        return "equivalence not shown" if equality else "no significant difference"
    if comparison.expected == "equal" or pair.metric.sign * pair.mean > 0:
        return "held"
    return "the opposite"


def conclusion(results: Sequence[ComparisonResult]) -> str:
    """Summarize a claim in a few words, from its comparisons alone."""
    outcomes = [each.outcome for each in results]
    held, m = outcomes.count("held"), len(outcomes)
    if held == m:
        return "held"
    if "underpowered" in outcomes:
        return "underpowered"
    if held:
        return f"held in {held} of {m} comparisons"
    if "the opposite" in outcomes:
        return "did not hold"
    equality = set(outcomes) == {"equivalence not shown"}
    return "equivalence not shown" if equality else "no significant difference"


def mde(result: ComparisonResult, comparisons: int) -> float:
    """Compute the minimum detectable effect of a comparison at 80 % power."""
    deviation, n = result.pair.deviation, result.pair.n
    if math.isnan(deviation):
        return math.nan
    return result.pair.test.minimum_detectable_effect(deviation, n, LEVEL / comparisons)
