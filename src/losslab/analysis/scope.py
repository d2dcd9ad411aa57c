"""Scope of conclusions: what they hold for, and the test of a mean difference that fits it.

A finite data set is one sample. Whether its seeds redraw the splits or share a test split, they are
not independent, so a conclusion about new samples needs another test than a conclusion about these
samples, see :mod:`losslab.analysis.generalization`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from losslab.analysis import statistics
from losslab.analysis.generalization import MeanTest, corrected_t
from losslab.analysis.statistics import Interval
from losslab.config.past import SAMPLING
from losslab.runs.record import Record

Scope = Literal["samples", "data"]
"""``samples``: conclusions hold for new samples of the same kind; ``data``: for these samples."""

NO_INTERVAL = Interval(-math.inf, math.inf, "none")
NEW_SAMPLES, THESE_SAMPLES = "new samples", "these samples"


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


@dataclass(frozen=True)
class DifferenceTest:
    """Test of a mean difference, for one scope.

    Attributes:
        method: ``sign flips``, ``signed ranks`` or ``corrected t``.
        holds_for: ``new samples`` or ``these samples``.
        p: p-value of the two-sided test.
        interval: interval that the test implies.
        estimate: standard error and degrees of freedom of a t-test, else ``None``.
    """

    method: str
    holds_for: str
    p: float
    interval: Interval
    estimate: MeanTest | None = None

    @property
    def swapped(self) -> "DifferenceTest":
        """Return the same test with the two sides exchanged."""
        low, high, method = self.interval
        estimate = self.estimate and replace(self.estimate, mean=-self.estimate.mean)
        return replace(self, interval=Interval(-high, -low, method), estimate=estimate)

    def minimum_detectable_effect(self, deviation: float, pairs: int, level: float) -> float:
        """Return the smallest true difference that the test finds with 80 % power."""
        if self.estimate is None:
            return statistics.minimum_detectable_effect(deviation, pairs, level)
        if math.isnan(self.estimate.error):
            return math.inf
        return self.estimate.error * statistics.noncentrality(self.estimate.freedom, level)

    def equivalence_p(self, differences: Sequence[float], within: float) -> float:
        """Return the p-value for equivalence: that the mean is closer to 0 than ``within``."""
        if self.estimate is None:
            return statistics.equivalence_p(differences, within)
        return self.estimate.equivalence_p(within)

    def smallest_ever(self, level: float) -> float:
        """Return the smallest difference that any number of seeds finds on these samples."""
        if self.estimate is None or math.isnan(self.estimate.floor):
            return 0.0
        return self.estimate.floor * statistics.noncentrality(math.inf, level)

    def needed_seeds(self, comparisons: int) -> int:
        """Return the smallest number of seeds with which a difference can be significant."""
        return 2 if self.estimate is not None else statistics.needed_seeds(comparisons)


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


def difference_test(differences: Sequence[float], design: Design, scope: Scope) -> DifferenceTest:
    """Test whether the mean of the seeds' differences is 0.

    Args:
        differences: one per seed.
        design: how the seeds share samples.
        scope: what the conclusion is to hold for. A fixed test split allows conclusions about
            these samples only.
    """
    if scope == "samples" and design.sampling == "redrawn" and not math.isnan(design.test_share):
        estimate = corrected_t(differences, design.test_share)
        interval = Interval(*estimate.interval(), "corrected t")
        return DifferenceTest("corrected t", NEW_SAMPLES, estimate.p, interval, estimate)
    fresh = design.sampling == "fresh"
    return DifferenceTest(
        "sign flips",
        NEW_SAMPLES if fresh else THESE_SAMPLES,
        statistics.sign_flip_p(differences) if len(differences) else 1.0,
        statistics.sign_flip_interval(differences) if len(differences) else NO_INTERVAL,
    )


def rank_test(advantages: Sequence[float], design: Design) -> DifferenceTest:
    """Test whether one row is better at more seeds, if runs failed: by signed ranks."""
    p = statistics.sign_flip_p(statistics.signed_ranks(advantages))
    scope = NEW_SAMPLES if design.sampling == "fresh" else THESE_SAMPLES
    return DifferenceTest("signed ranks", scope, p, NO_INTERVAL)
