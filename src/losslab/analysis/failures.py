"""Failures of runs, compared as failures: how often each of two losses fails at the same seeds."""

from dataclasses import dataclass, replace

from scipy import special

from losslab.analysis.statistics import LEVEL


@dataclass(frozen=True)
class FailureTest:
    """Exact paired test of how often the runs of two rows fail.

    Attributes:
        failed_a: seeds at which only the run of row ``a`` failed.
        failed_b: seeds at which only the run of row ``b`` failed.
        failed_both: seeds at which both failed, which tell nothing about the difference.
        adjusted_p: p-value after correction over all comparisons; not corrected if no outcome
            could be significant.
        p_over_looks: p-value over all looks of a sweep that was compared before; ``None`` for one
            look.
    """

    failed_a: tuple[int, ...] = ()
    failed_b: tuple[int, ...] = ()
    failed_both: tuple[int, ...] = ()
    adjusted_p: float = 1.0
    p_over_looks: float | None = None

    @property
    def p(self) -> float:
        """P-value of McNemar's exact two-sided test, see :func:`mcnemar_p`."""
        if self.p_over_looks is not None:
            return self.p_over_looks
        return mcnemar_p(len(self.failed_a), len(self.failed_b))

    @property
    def differs(self) -> bool:
        """Return whether one row failed at a seed at which the other finished."""
        return bool(self.failed_a or self.failed_b)

    @property
    def testable(self) -> bool:
        """Return whether any outcome at the seeds that differ could be significant."""
        return mcnemar_p(0, len(self.failed_a) + len(self.failed_b)) <= LEVEL

    @property
    def lost(self) -> int:
        """Number of seeds at which there is no difference of values."""
        return len(self.failed_a) + len(self.failed_b) + len(self.failed_both)

    @property
    def significant(self) -> bool:
        """Return whether one row fails more often, at 5 % over all comparisons."""
        return self.adjusted_p <= LEVEL

    @property
    def a_fails_more(self) -> bool:
        """Return whether row ``a`` failed at more seeds than row ``b``."""
        return len(self.failed_a) > len(self.failed_b)

    @property
    def swapped(self) -> "FailureTest":
        """Return the same test with the two rows exchanged."""
        return replace(self, failed_a=self.failed_b, failed_b=self.failed_a)


def mcnemar_p(only_a: int, only_b: int) -> float:
    r"""Compute the two-sided p-value of McNemar's exact test.

    If both rows fail equally often, each seed at which one of them fails is as likely to be
    either's: the p-value is twice the binomial probability :math:`P(X \le \min(a, b))` with
    :math:`X \sim B(a + b, 1/2)`.

    Args:
        only_a: number of seeds at which only the first row's run failed.
        only_b: number of seeds at which only the second row's run failed.

    Source:
        McNemar, "Note on the Sampling Error of the Difference Between Correlated Proportions or
        Percentages", 1947.

    Example:
        >>> mcnemar_p(6, 0), mcnemar_p(2, 1), mcnemar_p(0, 0)
        (0.03125, 1.0, 1.0)
    """
    return min(1.0, 2 * float(special.bdtr(min(only_a, only_b), only_a + only_b, 0.5)))
