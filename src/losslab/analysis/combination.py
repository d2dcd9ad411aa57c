"""Tests of a mean over several data sets, as pure functions.

Every data set has the same weight, whatever its number of seeds. Data sets count as independent of
each other.
"""

import math
from collections.abc import Sequence

import numpy as np

from losslab.analysis.generalization import MeanTest
from losslab.analysis.statistics import (
    CHUNK,
    DRAWS,
    EXACT_TO,
    LEVEL,
    ROUNDING,
    Interval,
    Values,
    interval_of_all_subsets,
    interval_of_sampled_means,
    require_finite,
    sign_flip_p,
)


def stratified_sign_flips(
    parts: Values, weights: Values, level: float = LEVEL
) -> tuple[float, Interval]:
    r"""Test a weighted mean of differences by flipping the sign of each.

    The mean is the sum of its parts, such as :math:`d_{ij} / (D n_i)` for seed j of n on data set i
    of D. Under the null hypothesis each part is as likely with the opposite sign. If the data sets
    have differences that cancel on average, the test is conservative: their size then counts as
    noise.

    Args:
        parts: the differences times their weights.
        weights: weight of each part; they add up to 1.
        level: level of the test that the interval inverts.

    Returns:
        The two-sided p-value, and the interval of all means that the test does not reject. All
        assignments of signs are counted up to 20 parts, above that 100,000 are sampled.

    Source:
        Fisher, "The Design of Experiments", 1935, section 21; for the interval, Hartigan, "Using
        Subsample Values as Typical Values", 1969.

    Example:
        >>> p, interval = stratified_sign_flips([0.5, 0.25, 0.3, 0.1, 0.2, 0.15], [1 / 6] * 6)
        >>> p, round(interval.low, 2), round(interval.high, 2)  # 2 of 2**6
        (0.03125, 0.6, 3.0)
    """
    array = require_finite("parts", parts)
    shares = require_finite("weights", weights)
    if len(array) <= EXACT_TO:
        return sign_flip_p(array), interval_of_all_subsets(array, shares, level)
    sums, shares = _sampled_sums(np.stack([array, shares]))
    # flipping a subset moves the sum past its opposite if the subset's sum has the other sign
    rounding = ROUNDING * float(np.abs(array).sum())
    hits = int((math.copysign(1.0, array.sum()) * sums <= rounding).sum())
    p = min(1.0, (1 + hits) / (1 + DRAWS))
    return p, interval_of_sampled_means(sums / shares, DRAWS, level)


def _sampled_sums(rows: np.ndarray) -> np.ndarray:
    """Sum each row over sampled subsets of its columns and their complements."""
    count = rows.shape[1]
    stream = np.random.default_rng(0)
    found = []
    for _ in range(0, DRAWS, CHUNK):
        subsets = stream.integers(0, 2, (CHUNK, count), dtype=np.int8)
        subsets = subsets[subsets.any(axis=1) & (subsets == 0).any(axis=1)].astype(float)
        sums = rows @ subsets.T
        found += [sums, rows.sum(axis=1, keepdims=True) - sums]  # with the complements
    return np.concatenate(found, axis=1)


def mean_of_tests(tests: Sequence[MeanTest]) -> MeanTest:
    """Combine the estimates of independent data sets into a test of their mean.

    The degrees of freedom are Satterthwaite's.

    Source:
        Satterthwaite, "An Approximate Distribution of Estimates of Variance Components", 1946.

    Example:
        >>> one = MeanTest(mean=1.0, error=0.3, floor=0.0, freedom=7)
        >>> both = mean_of_tests([one, one])
        >>> round(both.error, 3), round(both.freedom)
        (0.212, 14)
    """
    count = len(tests)
    variances = np.array([test.error**2 for test in tests])
    spread = float((variances**2 / [test.freedom for test in tests]).sum())
    return MeanTest(
        mean=sum(test.mean for test in tests) / count,
        error=math.sqrt(float(variances.sum())) / count,
        floor=math.sqrt(sum(test.floor**2 for test in tests)) / count,
        freedom=float(variances.sum()) ** 2 / spread if spread else math.inf,
    )


def mean_on_same_data(tests: Sequence[MeanTest]) -> MeanTest:
    """Combine estimates from the same samples, which may all err in the same direction.

    The standard error of a mean is at most the mean of the standard errors, whatever their
    correlation.
    """
    count = len(tests)
    return MeanTest(
        mean=sum(test.mean for test in tests) / count,
        error=sum(test.error for test in tests) / count,
        floor=sum(test.floor for test in tests) / count,
        freedom=min(test.freedom for test in tests),
    )
