"""Tests of a mean difference for new samples, when the seeds share a finite sample of data.

Seeds that draw their splits from the same samples, or are tested on the same samples, are not
independent: with more seeds the mean converges to its value on *these* samples, and a test that
treats seeds as independent finds differences that new samples would not show. Two designs are
covered:

- **Redrawn splits**: every seed draws training and test samples anew from the same N samples. The
  seeds' variance is increased by the share of the samples that are tested (:func:`corrected_t`).
- **A fixed test split**: every seed is tested on the same samples. Seeds and test samples are
  crossed, and both contribute to the variance (:func:`crossed_t`). What the training samples that
  the seeds share contribute cannot be estimated from it, so conclusions hold for networks trained
  on them.

``docs/comparison.md`` has the simulated rates of false claims and the power of both.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from losslab.analysis.statistics import ROUNDING, require_finite, require_known

Values = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class MeanTest:
    """Estimate of a mean with its standard error, as a t-distributed statistic.

    If all differences are equal, as those of two or three seeds often are for a metric that counts
    test samples, the standard error says nothing, and the test is that of sign flips.

    Attributes:
        mean: estimated mean.
        error: standard error of the mean, in its unit.
        floor: part of the standard error that no number of seeds removes.
        freedom: degrees of freedom.
    """

    mean: float
    error: float
    floor: float
    freedom: float

    @property
    def p(self) -> float:
        """P-value of the two-sided test that the mean is 0."""
        if self.mean == 0 or math.isnan(self.error):
            return 1.0
        if self.error == 0:
            return float(0.5**self.freedom)
        return float(2 * special.stdtr(self.freedom, -abs(self.mean) / self.error))

    def equivalence_p(self, within: float) -> float:
        """Return the p-value for equivalence, by two one-sided tests (TOST)."""
        distance = float(require_known("within", within)) - abs(self.mean)
        if math.isnan(self.error) or distance <= 0:
            return 1.0
        if self.error == 0:
            return float(0.5 ** (self.freedom + 1))
        return float(special.stdtr(self.freedom, -distance / self.error))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the confidence interval that the test implies."""
        if self.error == 0 and 0.5**self.freedom > 1 - confidence:
            return -math.inf, math.inf
        half = float(special.stdtrit(self.freedom, (1 + confidence) / 2)) * self.error
        return self.mean - half, self.mean + half

    def with_seeds(self, now: int, then: int) -> "MeanTest":
        """Return the estimate that ``then`` seeds instead of ``now`` would give.

        Only the part of the variance above the floor falls with the seeds.
        """
        falling = max(self.error**2 - self.floor**2, 0.0) * now / then
        error = math.sqrt(self.floor**2 + falling)
        return MeanTest(self.mean, error, self.floor, max(self.freedom + then - now, 1))


def corrected_t(differences: Values, test_share: float) -> MeanTest:
    r"""Test the mean of paired differences whose seeds redraw their splits from the same samples.

    .. math:: \operatorname{Var}(\bar d) = s^2 \left(\frac{1}{n} + \frac{n_\text{test}}
        {n_\text{train}}\right)

    The second term does not depend on the number of seeds: it stands for the samples that all seeds
    share.

    Args:
        differences: one per seed, ``(n,)``.
        test_share: number of test samples divided by the number of training samples.

    Source:
        Nadeau and Bengio, "Inference for the Generalization Error", 2003, equation 8.

    Example:
        >>> test = corrected_t([1.0, 2.0, 3.0, 2.0], test_share=1 / 3)
        >>> round(test.p, 3), round(test.floor / test.error, 3)
        (0.049, 0.756)
    """
    array = require_finite("differences", differences)
    require_known("test_share", test_share)
    n = len(array)
    if n < 2:
        return MeanTest(float(array.mean()) if n else math.nan, math.nan, math.nan, math.nan)
    equal = np.ptp(array) <= ROUNDING * np.abs(array).max()
    variance = 0.0 if equal else float(array.var(ddof=1))
    return MeanTest(
        mean=float(array.mean()),
        error=math.sqrt(variance * (1 / n + test_share)),
        floor=math.sqrt(variance * test_share),
        freedom=n - 1,
    )


def crossed_t(differences: np.ndarray) -> MeanTest:
    r"""Test the mean of differences of seeds that are tested on the same samples.

    In the model :math:`d_{ij} = \mu + a_i + b_j + e_{ij}` seeds :math:`a` and test samples
    :math:`b` are random, and

    .. math:: \operatorname{Var}(\bar d) = \frac{\sigma_a^2}{n} + \frac{\sigma_b^2}{m} +
        \frac{\sigma_e^2}{nm}

    The components come from the mean squares of a two-way analysis of variance without replication;
    their sum is at least that of either effect alone. The degrees of freedom are those of the
    effect with fewer levels, since Satterthwaite's, which are larger, exceed the level
    (``docs/comparison.md``).

    Args:
        differences: difference per seed and test sample, ``(n, m)``.

    Source:
        Searle, Casella and McCulloch, "Variance Components", 1992, section 4.3.

    Example:
        >>> crossed_t(np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]])).freedom
        1
    """
    n, m = require_finite("differences", differences).shape
    mean = float(differences.mean()) if differences.size else math.nan
    if n < 2 or m < 2:
        return MeanTest(mean, math.nan, math.nan, math.nan)
    rows, columns = differences.mean(axis=1), differences.mean(axis=0)
    residuals = differences - rows[:, None] - columns[None, :] + mean
    of_seeds = m * float(((rows - mean) ** 2).sum()) / (n - 1)
    of_samples = n * float(((columns - mean) ** 2).sum()) / (m - 1)
    of_both = float((residuals**2).sum()) / ((n - 1) * (m - 1))
    total = max(of_seeds + of_samples - of_both, of_seeds, of_samples)
    return MeanTest(
        mean=mean,
        error=math.sqrt(total / (n * m)),
        floor=math.sqrt(max(of_samples - of_both, 0.0) / (n * m)),
        freedom=min(n, m) - 1,
    )
