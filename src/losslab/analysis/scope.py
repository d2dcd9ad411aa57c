"""Scope of conclusions: what they hold for, and the test of a difference that fits it.

A finite data set is one sample. Whether its seeds redraw the splits or share a test split, they are
not independent, so a conclusion about new samples needs another test than a conclusion about these
samples, see :mod:`losslab.analysis.generalization`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from losslab.analysis import location, power, statistics
from losslab.analysis.generalization import MeanTest, corrected_t, crossed_t
from losslab.analysis.location import Center
from losslab.analysis.statistics import Interval
from losslab.config.past import SAMPLING
from losslab.runs.record import Record

Scope = Literal["samples", "data"]
"""``samples``: conclusions hold for new samples of the same kind; ``data``: for these samples."""

NEW_SAMPLES, NEW_TEST_SAMPLES, THESE_SAMPLES = "new samples", "new test samples", "these samples"


@dataclass(frozen=True)
class Design:
    """How the seeds of a comparison share samples.

    Attributes:
        sampling: ``fresh``, ``redrawn`` or ``fixed_test``, see ``losslab.data.raw.Sampling``.
        total: number of samples that the splits divide; 0 if unknown.
        test_share: number of test samples divided by that of training samples; NaN if unknown.
    """

    sampling: str
    total: int = 0
    test_share: float = math.nan

    @property
    def of_seeds(self) -> str:
        """What conclusions hold for that treat the seeds as independent."""
        return NEW_SAMPLES if self.sampling == "fresh" else THESE_SAMPLES


@dataclass(frozen=True)
class DifferenceTest:
    """Test of the location of paired differences, for one scope.

    Attributes:
        method: ``sign flips``, ``corrected t``, ``crossed t``, ``sign test`` (of the median) or
            ``trimmed sign flips`` (of the interquartile mean).
        holds_for: ``new samples``, ``new test samples`` (of networks trained on these training
            samples) or ``these samples``.
        p: p-value of the two-sided test that the location is 0.
        interval: interval that the test implies.
        equivalence_p: p-value for equivalence within the margin; 1 without a margin.
        smallest_p: smallest p-value that this number of seeds can give.
        estimate: standard error and degrees of freedom of a t-test, else ``None``.
    """

    method: str
    holds_for: str
    p: float
    interval: Interval
    equivalence_p: float = 1.0
    smallest_p: float = 0.0
    estimate: MeanTest | None = None

    @property
    def swapped(self) -> "DifferenceTest":
        """Return the same test with the two sides exchanged."""
        low, high, method = self.interval
        estimate = self.estimate and replace(self.estimate, mean=-self.estimate.mean)
        return replace(self, interval=Interval(-high, -low, method), estimate=estimate)

    def minimum_detectable_effect(
        self, deviation: float, now: int, level: float, seeds: int | None = None
    ) -> float:
        """Return the smallest true difference that the test finds with 80 % power.

        The upper bound of the spread is used, see :func:`~losslab.analysis.power.deviation_bound`.

        Args:
            deviation: standard deviation of the differences.
            now: number of differences.
            level: level of the test.
            seeds: number of seeds to plan for. Default: ``now``.

        Returns:
            The difference; NaN if the spread is unknown, or for another location than the mean,
            for which the power depends on more than the spread.
        """
        seeds = now if seeds is None else seeds
        if (
            now < 2
            or math.isnan(deviation)
            or self.method in (location.SIGN_TEST, location.TRIMMED)
        ):
            return math.nan
        if self.estimate is None:
            bound = deviation * power.deviation_bound(now - 1)
            return power.minimum_detectable_effect(bound, seeds, level)
        if math.isnan(self.estimate.error):
            return math.inf
        planned = self.estimate.with_seeds(now, seeds)
        bound = planned.error * power.deviation_bound(self.estimate.freedom)
        return bound * power.noncentrality(planned.freedom, level)

    def seeds_for(self, difference: float, deviation: float, now: int, level: float) -> int | None:
        """Return the number of seeds that find a true difference of this size with 80 % power.

        Returns:
            The number; ``None`` if the spread is unknown or no number of seeds is enough.
        """
        return power.smallest_count(
            lambda seeds: (
                self.minimum_detectable_effect(deviation, now, level, seeds)
                <= difference * (1 + 1e-12)
            ),
            least=2 if self.estimate is not None else power.needed_seeds(1, level),
        )

    def smallest_ever(self, level: float) -> float:
        """Return the smallest difference that any number of seeds finds on these samples."""
        if self.estimate is None or math.isnan(self.estimate.floor):
            return 0.0
        return self.estimate.floor * power.noncentrality(math.inf, level)


def design_of(record: Record, config: Mapping[str, Any]) -> Design:
    """Determine how the seeds of a run's comparison share samples.

    Records of version 0.1 do not say so: it then follows from the data set and its fractions.
    """
    if record["sampling"] is not None:
        sizes = record["sizes"]
        share = sizes["test"] / sizes["train"] if "train" in sizes else math.nan
        return Design(record["sampling"], sum(sizes.values()), share)
    data = config.get("data") or {}
    sampling = SAMPLING.get(str(data.get("_target_")), "redrawn")
    if data.get("split_seed") is not None:
        sampling = "fixed_test"
    val, test_fraction = data.get("val_fraction", 0.2), data.get("test_fraction", 0.2)
    return Design(sampling, test_share=test_fraction / (1 - val - test_fraction))


def difference_test(
    differences: Sequence[float],
    design: Design,
    scope: Scope,
    *,
    center: Center = "mean",
    within: float | None = None,
    by_sample: np.ndarray | None = None,
) -> DifferenceTest:
    """Test whether the location of the seeds' differences is 0, or closer to 0 than a margin.

    Args:
        differences: one per seed.
        design: how the seeds share samples.
        scope: what the conclusion is to hold for. With ``center`` other than the mean, conclusions
            about a finite data set hold for these samples.
        center: location that is tested.
        within: margin of equivalence.
        by_sample: differences ``(n, m)`` per seed and test sample, needed for conclusions about new
            samples with a fixed test split.
    """
    if scope == "samples" and center == "mean":
        if design.sampling == "redrawn" and not math.isnan(design.test_share):
            estimate = corrected_t(differences, design.test_share)
            return _t_test("corrected t", NEW_SAMPLES, estimate, within)
        if design.sampling == "fixed_test" and by_sample is not None:
            return _t_test("crossed t", NEW_TEST_SAMPLES, crossed_t(by_sample), within)
    return _signs_test(differences, design.of_seeds, within, center)


def _t_test(
    method: str, holds_for: str, estimate: MeanTest, within: float | None
) -> DifferenceTest:
    return DifferenceTest(
        method=method,
        holds_for=holds_for,
        p=estimate.p,
        interval=Interval(*estimate.interval(), method),
        equivalence_p=1.0 if within is None else estimate.equivalence_p(within),
        smallest_p=1.0 if math.isnan(estimate.error) else 0.0,
        estimate=estimate,
    )


def _signs_test(
    differences: Sequence[float], holds_for: str, within: float | None, center: Center
) -> DifferenceTest:
    """Test by the signs of the differences, whose distribution need not be known."""
    method, p, interval, equivalence_p = _BY_SIGNS[center]
    if not len(differences):
        nothing = Interval(-math.inf, math.inf, method)
        return DifferenceTest(method, holds_for, p=1.0, interval=nothing, smallest_p=1.0)
    return DifferenceTest(
        method=method,
        holds_for=holds_for,
        p=p(differences),
        interval=interval(differences),
        equivalence_p=1.0 if within is None else equivalence_p(differences, within),
        smallest_p=2.0 ** (1 - len(differences)),
    )


_BY_SIGNS: dict[Center, tuple[str, Any, Any, Any]] = {
    "mean": (
        "sign flips",
        statistics.sign_flip_p,
        statistics.sign_flip_interval,
        statistics.equivalence_p,
    ),
    "median": (
        location.SIGN_TEST,
        location.sign_test_p,
        location.sign_test_interval,
        location.sign_test_equivalence_p,
    ),
    "iqm": (
        location.TRIMMED,
        location.trimmed_flip_p,
        location.trimmed_flip_interval,
        location.trimmed_flip_equivalence_p,
    ),
}
"""Method, test, interval and test of equivalence of each location."""
