"""Whether a claim held: its planned comparisons, and nothing that was seen afterwards."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from losslab.analysis import statistics
from losslab.analysis.comparison import Pair, ahead, compare_rows
from losslab.analysis.groups import Row
from losslab.analysis.statistics import LEVEL
from losslab.gallery.claim import Claim, Planned
from losslab.gallery.rows import baseline, constant, metric_named, picked

Outcome = Literal["held", "the opposite", "not distinguishable", "too few seeds"]


@dataclass(frozen=True)
class Judged:
    """A planned comparison with what came of it."""

    planned: Planned
    pair: Pair
    """The differences are those of the row minus what it is compared with."""
    p: float
    """Two-sided, of the sign-flip test; for equality the larger of two one-sided ones."""
    adjusted_p: float
    """By Holm over the claim's planned comparisons."""
    outcome: Outcome


def judge(claim: Claim, rows: Sequence[Row]) -> list[Judged]:
    """Each planned comparison, with Holm's correction over all of them.

    Raises:
        ValueError: if a comparison picks no row, or several.
    """
    pairs = [_pair(planned, rows) for planned in claim.planned]
    p_values = [_p(planned, pair) for planned, pair in zip(claim.planned, pairs, strict=True)]
    adjusted = statistics.holm(p_values)
    return [
        Judged(planned, pair, p, float(corrected), _outcome(planned, pair, corrected, len(pairs)))
        for planned, pair, p, corrected in zip(
            claim.planned, pairs, p_values, adjusted, strict=True
        )
    ]


def _pair(planned: Planned, rows: Sequence[Row]) -> Pair:
    row = picked(rows, planned.row)
    if isinstance(planned.than, Mapping):
        name = planned.than.get("baseline")
        other = picked(rows, planned.than) if name is None else baseline(row, str(name))
    else:
        other = constant(row, planned.metric, planned.than)
    metric = metric_named(planned.metric, row)
    if planned.expected != "equal":
        # better is what the claim expects, whatever the metric is for elsewhere
        metric = replace(metric, better=planned.expected)
    return compare_rows(row, other, metric)


def _p(planned: Planned, pair: Pair) -> float:
    if planned.within is None:
        return pair.p
    return equivalence_p(list(pair.differences.values()), planned.within)


def equivalence_p(differences: Sequence[float], within: float) -> float:
    """The p-value of two one-sided sign-flip tests that the mean is nearer to 0 than ``within``.

    Source:
        Schuirmann, "A Comparison of the Two One-Sided Tests Procedure and the Power Approach",
        1987.

    Example:
        >>> equivalence_p([0.01, -0.02, 0.0, 0.01, 0.02, -0.01], within=0.1)  # 1 of 2**6
        0.015625
    """
    if not differences:
        return 1.0
    below = [within - value for value in differences]
    above = [within + value for value in differences]
    return max(_one_sided_p(below), _one_sided_p(above))


def _one_sided_p(values: Sequence[float]) -> float:
    """Of the sign-flip test against a mean of 0 or less; signs come in pairs of opposites."""
    if sum(values) <= 0:
        return 1.0
    return statistics.sign_flip_p(values) / 2


def _outcome(planned: Planned, pair: Pair, adjusted_p: float, comparisons: int) -> Outcome:
    if pair.n < statistics.needed_seeds(comparisons):
        return "too few seeds"
    if adjusted_p > LEVEL:
        return "not distinguishable"
    if planned.expected == "equal" or ahead(pair) > 0:
        return "held"
    return "the opposite"


def verdict(judged: Sequence[Judged]) -> str:
    """The whole claim in a few words, from its comparisons alone."""
    outcomes = [each.outcome for each in judged]
    held, m = outcomes.count("held"), len(outcomes)
    if held == m:
        return "held"
    if "too few seeds" in outcomes:
        return "too few seeds to tell"
    if held:
        return f"held in {held} of {m} comparisons"
    return "did not hold" if "the opposite" in outcomes else "not distinguishable"


def detectable(judged: Judged, comparisons: int) -> float:
    """The smallest true difference that would have been found with a power of 80 %."""
    deviation, n = judged.pair.deviation, judged.pair.n
    if math.isnan(deviation):
        return math.nan
    return statistics.minimum_detectable_effect(deviation, n, LEVEL / comparisons)
