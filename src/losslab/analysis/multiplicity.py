"""Correction for multiple comparisons: over all pairs, primary metrics and tables of a report.

The family holds one test of values per pair and metric, unless failures left nothing to test, and
one test of failures per pair with so many seeds at which one run failed and the other finished that
it could reject at all (Tarone, "A Modified Bonferroni Method for Discrete Data", 1990).

- **Without margins**: Holm's method.
- **Pairs that are not compared**, of tables with many rows, count as members: which row is the best
  was chosen by the values. Of all pairs, then, each is tested at the level 0.05 / m, since Holm's
  method would need the p-values of all.
- **With a margin** a pair has two null hypotheses, that there is no difference and that the
  difference is at least as large as the margin. At most one of them is true, so both are tested at
  the level 0.05 / m. A decision never releases level to other tests, as it does in Holm's method:
  two losses that are rightly called equivalent still have a true null hypothesis of no difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from losslab.analysis.pairs import Correction, Pair
from losslab.analysis.statistics import LEVEL, holm

_Key = tuple[int, str]


def corrected(pairs: Sequence[Pair], untested: int = 0) -> list[Pair]:
    """Return the pairs with p-values that are corrected for all of them.

    Args:
        pairs: the compared pairs.
        untested: number of pairs that were not compared because others seemed more interesting.
    """
    bonferroni = untested > 0 or any(pair.within is not None for pair in pairs)
    failures = {
        (place, "failures"): pair.failures.p
        for place, pair in enumerate(pairs)
        if pair.failures.testable
    }
    untested *= 1 + any(pair.failures.lost for pair in pairs)  # in which failures may be tested too
    main = _adjusted(failures | _values(pairs, "test"), untested, bonferroni=bonferroni)
    these = _adjusted(
        failures | _values(pairs, "of_these_samples"), untested, bonferroni=bonferroni
    )
    comparisons = max(len(main) + untested, 1)
    rejected = sum(p <= LEVEL for p in main.values())

    def divisor(place: int) -> int:
        """Return by how much a level is divided: Holm's method drops other tests that reject."""
        if bonferroni:
            return comparisons
        own = main.get((place, "values"), 1.0) <= LEVEL
        return max(comparisons - rejected + own, 1)

    return [
        replace(
            pair,
            correction=Correction(
                p=main.get((place, "values"), 1.0),
                p_of_these_samples=these.get((place, "values"), 1.0),
                equivalence_p=min(1.0, comparisons * pair.test.equivalence_p),
                comparisons=comparisons,
                divisor=divisor(place),
                method="Bonferroni" if bonferroni else "Holm",
            ),
            failures=replace(
                pair.failures, adjusted_p=main.get((place, "failures"), pair.failures.p)
            ),
        )
        for place, pair in enumerate(pairs)
    ]


def _values(pairs: Sequence[Pair], test: str) -> dict[_Key, float]:
    """Return the p-values of values, unless failures left too few seeds for any test."""
    return {
        (place, "values"): getattr(pair, test).p
        for place, pair in enumerate(pairs)
        if getattr(pair, test).smallest_p < 1 or not pair.failures.lost
    }


def _adjusted(
    p_values: Mapping[_Key, float], untested: int, *, bonferroni: bool
) -> dict[_Key, float]:
    if bonferroni:
        comparisons = len(p_values) + untested
        return {key: min(1.0, comparisons * p) for key, p in p_values.items()}
    return dict(zip(p_values, holm(list(p_values.values())).tolist(), strict=True))
