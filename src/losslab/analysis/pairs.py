"""Paired comparison of two rows: values at the seeds at which both finished, failures apart."""

import functools
import math
import statistics as plain
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from losslab.analysis.comparison_groups import Row
from losslab.analysis.failures import FailureTest
from losslab.analysis.location import Center, location
from losslab.analysis.power import needed_seeds
from losslab.analysis.sample_values import differences_by_sample
from losslab.analysis.scope import Design, DifferenceTest, Scope, difference_test
from losslab.analysis.statistics import LEVEL, Interval, probability_of_improvement
from losslab.analysis.summaries import values_by_seed
from losslab.metrics.labels import Metric

TIE = 1e-6
"""Relative tolerance within which two values count as equal, since they differ by rounding."""

HASHES = {"weights": "initial weights", "data": "data", "batches": "batch order"}

Verdict = Literal["better", "equivalent", "undecided"]


@dataclass(frozen=True)
class Correction:
    """Correction of a pair's p-values for all comparisons of the report."""

    p: float
    p_of_these_samples: float
    equivalence_p: float
    comparisons: int = 1
    """Number of tests of the report, which are corrected together."""
    divisor: int = 1
    """Number by which the level is divided for this pair: the tests that are not decided yet."""
    method: str = "Holm"
    """``Holm``, or ``Bonferroni`` with margins, since equivalence must not release any level."""


@dataclass(frozen=True)
class Look:
    """P-values of a pair after one look at a sweep; they hold over the looks up to this one."""

    n: int
    """Number of seeds that were compared."""
    p: float
    p_of_these_samples: float
    equivalence_p: float
    failure_p: float


@dataclass(frozen=True)
class Pair:
    """Paired comparison of two rows by one metric; differences are ``a - b`` per seed."""

    a: str
    b: str
    metric: Metric
    seeds: tuple[int, ...]
    """Seeds at which both rows have a value or a failed run."""
    differences: Mapping[int, float]
    """Difference per seed, for the seeds at which both rows have a value."""
    mean: float
    """Mean of the differences, or the location that was asked for."""
    deviation: float
    test: DifferenceTest
    """Test of the difference, for the scope of the comparison."""
    of_these_samples: DifferenceTest
    """Test for these samples only; the same as ``test`` if the seeds do not share samples."""
    failures: FailureTest
    """Test of how often either row fails."""
    design: Design
    """How the seeds share samples."""
    within: float | None
    """Margin of equivalence in the metric, if there is one."""
    correction: Correction
    hashes: Mapping[str, bool | None]
    """Whether ``weights``, ``data`` and ``batches`` agree at all seeds; ``None`` if unrecorded."""
    by_environment: bool
    """Whether only environment seeds are paired, as in reinforcement learning."""
    looks: tuple[Look, ...] = ()
    """Looks that the p-values cover; empty if the pair was compared once, with all its seeds."""
    decided_after: int | None = None
    """Number of seeds at the look that decided the pair; ``None`` without looks, or undecided."""

    # --- numbers ------------------------------------------------------------------------------

    @property
    def n(self) -> int:
        """Number of paired seeds at which both rows have a value."""
        return len(self.differences)

    @property
    def p(self) -> float:
        """P-value, not corrected for multiplicity."""
        return self.test.p

    @property
    def adjusted_p(self) -> float:
        """P-value after the correction over all comparisons."""
        return self.correction.p

    @property
    def adjusted_p_of_these_samples(self) -> float:
        """The same for the test that holds for these samples only."""
        return self.correction.p_of_these_samples

    @property
    def adjusted_equivalence_p(self) -> float:
        """P-value for equivalence within the margin after the correction; 1 without a margin."""
        return self.correction.equivalence_p

    @property
    def comparisons(self) -> int:
        """Number of comparisons that the correction covers."""
        return self.correction.comparisons

    @property
    def interval(self) -> Interval:
        """95 % interval of the mean difference that the test implies, not corrected."""
        return self.test.interval

    @property
    def advantages(self) -> list[float]:
        """Differences by seed, positive where ``a`` is better."""
        return [self.metric.sign * value for value in self.differences.values()]

    @property
    def wins(self) -> int:
        """Number of seeds at which ``a`` is better."""
        return sum(value > 0 for value in self.advantages)

    @property
    def losses(self) -> int:
        """Number of seeds at which ``a`` is worse."""
        return sum(value < 0 for value in self.advantages)

    @property
    def ties(self) -> int:
        """Number of seeds at which both are equal."""
        return self.n - self.wins - self.losses

    @property
    def improvement(self) -> float:
        """Estimated probability that ``a`` is better: the share of seeds at which it is."""
        return probability_of_improvement(self.advantages) if self.n else math.nan

    @property
    def swapped(self) -> "Pair":
        """Return the same comparison with ``a`` and ``b`` exchanged."""
        return replace(
            self,
            a=self.b,
            b=self.a,
            differences={seed: -value for seed, value in self.differences.items()},
            failures=self.failures.swapped,
            mean=-self.mean,
            test=self.test.swapped,
            of_these_samples=self.of_these_samples.swapped,
        )

    # --- what follows -------------------------------------------------------------------------

    @property
    def significant(self) -> bool:
        """Return whether the difference is significant at 5 % over all comparisons."""
        return self.adjusted_p <= LEVEL

    @functools.cached_property
    def better(self) -> str | None:
        """Label of the row with the better values if the difference is significant."""
        if not self.significant:
            return None
        return self.a if self.metric.sign * self.mean > 0 else self.b

    @property
    def fails_less(self) -> str | None:
        """Label of the row that fails at fewer seeds if that difference is significant."""
        if not self.failures.significant:
            return None
        return self.b if self.failures.a_fails_more else self.a

    @property
    def preferred(self) -> str | None:
        """Label of the row that values or failures favour; ``None`` if they contradict."""
        found = {self.better, self.fails_less} - {None}
        return found.pop() if len(found) == 1 else None

    @property
    def contradictory(self) -> bool:
        """Return whether one row has the better values and the other fails less often."""
        return self.better is not None and self.preferred is None

    def other(self, label: str) -> str:
        """Return the label of the other row."""
        return self.b if label == self.a else self.a

    @property
    def equivalent(self) -> bool:
        """Return whether the rows are equivalent within the margin, and no pair was lost."""
        return self.adjusted_equivalence_p <= LEVEL

    @property
    def verdict(self) -> Verdict:
        """Return what was decided about the values."""
        if self.equivalent:
            return "equivalent"
        return "better" if self.significant else "undecided"

    # --- what more seeds or samples would show ------------------------------------------------

    @property
    def needed(self) -> int:
        """Minimum number of seeds with which a difference can be significant."""
        if self.test.estimate is not None:
            return 2
        return needed_seeds(self.correction.divisor)

    @property
    def underpowered(self) -> bool:
        """Return whether there are too few seeds for any difference to be significant."""
        return self.test.smallest_p > LEVEL / self.correction.divisor

    @property
    def mde(self) -> float:
        """Minimum detectable effect: smallest true difference found with 80 % power."""
        return self.test.minimum_detectable_effect(self.deviation, self.n, self._level)

    @property
    def seeds_for_margin(self) -> int | None:
        """Number of seeds that find a true difference as large as the margin."""
        if self.within is None:
            return None
        return self.test.seeds_for(self.within, self.deviation, self.n, self._level)

    @property
    def smallest_ever(self) -> float:
        """Smallest difference that any number of seeds finds; 0 if the samples do not limit it."""
        return self.test.smallest_ever(self._level)

    @property
    def limited_by_samples(self) -> bool:
        """Return whether most of the variance of the mean stays with any number of seeds."""
        estimate = self.test.estimate
        return estimate is not None and 2 * estimate.floor**2 > estimate.error**2

    @property
    def samples_to_see(self) -> int | None:
        """Number of samples with which some number of seeds would find the observed difference.

        ``None`` if seeds and not samples are the limit, or the difference is significant.
        """
        if self.significant or not (self.design.total and 0 < abs(self.mean) < self.smallest_ever):
            return None
        return math.ceil(self.design.total * (self.smallest_ever / abs(self.mean)) ** 2)

    @property
    def _level(self) -> float:
        return LEVEL / self.comparisons

    # --- whether the seeds are paired ---------------------------------------------------------

    @property
    def paired(self) -> bool:
        """Return whether data, initial weights and batch order agree at each seed."""
        if self.by_environment:
            return self.hashes["data"] is True
        return all(same is True for same in self.hashes.values())

    @property
    def unequal(self) -> list[str]:
        """Names of what differed between the rows at the same seed, according to the hashes."""
        return [HASHES[name] for name, same in self.hashes.items() if same is False]


def compare_rows(
    a: Row,
    b: Row,
    metric: Metric,
    split: str = "test",
    scope: Scope = "samples",
    *,
    center: Center = "mean",
    within: float | None = None,
) -> Pair:
    """Compare two rows seed by seed, without correcting for other comparisons."""
    ours, theirs = values_by_seed(a, metric, split), values_by_seed(b, metric, split)
    seeds = tuple(seed for seed in ours if seed in theirs)
    failures = _failures(ours, theirs, seeds)
    differences = {
        seed: difference(ours[seed], theirs[seed])
        for seed in seeds
        if math.isfinite(ours[seed]) and math.isfinite(theirs[seed])
    }
    margin = None if failures.lost else within  # the lost pairs may differ by more
    test, of_these_samples = _tests(a, b, metric, split, scope, differences, center, margin)
    numbers = list(differences.values())
    return Pair(
        a=a.label,
        b=b.label,
        metric=metric,
        seeds=seeds,
        differences=differences,
        mean=location(numbers, center),
        deviation=plain.stdev(numbers) if len(numbers) > 1 else math.nan,
        test=test,
        of_these_samples=of_these_samples,
        failures=replace(failures, adjusted_p=failures.p),
        design=a.runs[0].design,
        within=within,
        correction=Correction(test.p, of_these_samples.p, test.equivalence_p),
        hashes=_common_hashes(a, b, seeds),
        by_environment="data.env_id" in a.settings,
    )


def _failures(
    ours: Mapping[int, float], theirs: Mapping[int, float], seeds: Sequence[int]
) -> FailureTest:
    sides = {seed: (math.isinf(ours[seed]), math.isinf(theirs[seed])) for seed in seeds}

    def at(a_failed: bool, b_failed: bool) -> tuple[int, ...]:
        return tuple(seed for seed in seeds if sides[seed] == (a_failed, b_failed))

    return FailureTest(at(True, False), at(False, True), at(True, True))


def _tests(
    a: Row,
    b: Row,
    metric: Metric,
    split: str,
    scope: Scope,
    differences: Mapping[int, float],
    center: Center,
    within: float | None,
) -> tuple[DifferenceTest, DifferenceTest]:
    """Test the differences for the scope, and for these samples only."""
    design, numbers = a.runs[0].design, list(differences.values())
    by_sample = None
    if design.sampling == "fixed_test" and (scope, center, split) == ("samples", "mean", "test"):
        ours, theirs = ([row.by_seed[seed] for seed in differences] for row in (a, b))
        by_sample = differences_by_sample(ours, theirs, metric.name)
    test = difference_test(
        numbers, design, scope, center=center, within=within, by_sample=by_sample
    )
    if test.holds_for == design.of_seeds:
        return test, test
    return test, difference_test(numbers, design, "data", center=center, within=within)


def difference(one: float, other: float) -> float:
    """Return ``one - other``, or exactly 0 if they differ only by rounding."""
    if abs(one - other) <= TIE * max(abs(one), abs(other)):
        return 0.0
    return one - other


def _common_hashes(a: Row, b: Row, seeds: Sequence[int]) -> dict[str, bool | None]:
    ours, theirs = a.by_seed, b.by_seed

    def agree(name: str) -> bool | None:
        hashes = [
            (ours[seed].record["hashes"].get(name), theirs[seed].record["hashes"].get(name))
            for seed in seeds
        ]
        if not hashes or any(None in sides for sides in hashes):
            return None
        return all(one == other for one, other in hashes)

    return {name: agree(name) for name in HASHES}
