"""Correction for multiple comparisons: over all pairs, primary metrics and tables of a report.

The family holds one test of values per pair and metric, unless failures left nothing to test, and
one test of failures per pair with so many seeds at which one run failed and the other finished that
it could reject at all (Tarone, "A Modified Bonferroni Method for Discrete Data", 1990).

- **Without margins**: Holm's method.
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


def corrected(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs with p-values that are corrected for all of them."""
    margins = any(pair.within is not None for pair in pairs)
    failures = {
        (place, "failures"): pair.failures.p
        for place, pair in enumerate(pairs)
        if pair.failures.testable
    }
    main = _adjusted(failures | _values(pairs, "test"), margins)
    these = _adjusted(failures | _values(pairs, "of_these_samples"), margins)
    return [
        replace(
            pair,
            correction=Correction(
                p=main.get((place, "values"), 1.0),
                p_of_these_samples=these.get((place, "values"), 1.0),
                equivalence_p=min(1.0, max(len(main), 1) * pair.test.equivalence_p),
                comparisons=max(len(main), 1),
                divisor=_divisor(main, (place, "values"), margins),
                method="Bonferroni" if margins else "Holm",
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


def _adjusted(p_values: Mapping[_Key, float], margins: bool) -> dict[_Key, float]:
    if margins:
        return {key: min(1.0, len(p_values) * p) for key, p in p_values.items()}
    return dict(zip(p_values, holm(list(p_values.values())).tolist(), strict=True))


def _divisor(adjusted: Mapping[_Key, float], key: _Key, margins: bool) -> int:
    """Return by how much the level of a test is divided: Holm's method drops rejected ones."""
    if margins:
        return max(len(adjusted), 1)
    rejected = sum(p <= LEVEL for other, p in adjusted.items() if other != key)
    return max(len(adjusted) - rejected, 1)
