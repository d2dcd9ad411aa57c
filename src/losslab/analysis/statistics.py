"""Tests and confidence intervals for paired differences, as pure functions.

``docs/comparison.md`` explains what each number means and why it was chosen.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from losslab.analysis.subsets import ordered_mean, share_beyond

LEVEL = 0.05
"""Family-wise error rate of a comparison."""

BCA_FROM = 20
"""Minimum number of values for the bootstrap, whose 95 % interval covers 84 to 90 % below it."""

EXACT_TO = 20
"""Maximum number of differences for which all sign flips are counted."""

ROUNDING = 1e-9
"""Relative tolerance within which two differences are of equal size."""

DRAWS = 100_000
CHUNK = 10_000
RESAMPLES = 10_000

Values = Sequence[float] | np.ndarray


def require_known(name: str, values: Values | float) -> np.ndarray:
    """Convert an argument to an array, and raise ``ValueError`` if it holds NaN.

    A comparison with NaN is false, so that a test would count it as evidence for one side.
    """
    array = np.asarray(values, dtype=float)
    if np.isnan(array).any():
        raise ValueError(f"{name} must not be NaN, got {_shown(array)}")
    return array


def require_finite(name: str, values: Values | float) -> np.ndarray:
    """Convert an argument to an array, and raise ``ValueError`` if it is NaN or infinite."""
    array = np.asarray(values, dtype=float)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {_shown(array)}")
    return array


def _shown(array: np.ndarray) -> str:
    """Return the first ten numbers that are not finite, and how many numbers there are."""
    wrong = array[~np.isfinite(array)]
    return f"{', '.join(map(str, wrong[:10].tolist()))} among {array.size} numbers"


class Interval(NamedTuple):
    """95 % confidence interval of a mean."""

    low: float
    high: float
    method: str
    """``Student's t``, ``BCa``, or ``none`` for a single value, whose spread is unknown."""


def mean_interval(values: Values, confidence: float = 0.95) -> Interval:
    """Compute a confidence interval of the mean: Student's t below 20 values, else BCa.

    Example:
        >>> low, high, method = mean_interval([1.0, 2.0, 3.0])
        >>> round(low, 3), round(high, 3), method
        (-0.484, 4.484, "Student's t")
    """
    values = require_finite("values", values)
    if len(values) < 2:
        return Interval(math.nan, math.nan, "none")
    if len(values) < BCA_FROM:
        return t_interval(values, confidence)
    return bca_interval(values, confidence)


def t_interval(values: Values, confidence: float = 0.95) -> Interval:
    r"""Compute Student's interval of the mean, :math:`\bar x \pm t_{n-1} s / \sqrt n`."""
    array = require_finite("values", values)
    n = len(array)
    half = special.stdtrit(n - 1, (1 + confidence) / 2) * array.std(ddof=1) / math.sqrt(n)
    return Interval(float(array.mean() - half), float(array.mean() + half), "Student's t")


def bca_interval(
    values: Values, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Compute the expanded BCa bootstrap interval of the mean.

    The resamples are drawn from a fixed seed, so the same values give the same interval.

    Source:
        Efron, "Better Bootstrap Confidence Intervals", 1987; expanded for small samples as in
        Hesterberg, "What Teachers Should Know about the Bootstrap", 2015, section 3.2.
    """
    array = require_finite("values", values)
    n, mean = len(array), array.mean()
    if np.ptp(array) == 0:
        return Interval(float(mean), float(mean), "BCa")
    means = array[_resampled(n, resamples, seed)].mean(axis=1)
    # a tie counts half, or discrete values would read as bias
    below = ((means < mean).mean() + (means <= mean).mean()) / 2
    bias = special.ndtri(below)
    # jackknife: the mean without value i is the mean minus a multiple of the value's deviation
    deviations = array - mean
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    # resampled means spread too little by sqrt(1 - 1/n), and Student's t allows for a spread that
    # is estimated: without either, 20 normal values would be covered in 93 % of cases
    wide = special.stdtrit(n - 1, (1 + confidence) / 2) * math.sqrt(n / (n - 1))
    shifted = bias + np.array([-wide, wide])
    levels = special.ndtr(bias + shifted / (1 - acceleration * shifted))
    low, high = np.quantile(means, levels)
    return Interval(float(low), float(high), "BCa")


@functools.lru_cache(maxsize=1)
def _resampled(n: int, resamples: int, seed: int) -> np.ndarray:
    """Return the places of n values in each resample; most rows of a table have equally many."""
    return np.random.default_rng(seed).integers(n, size=(resamples, n))


def sign_flip_p(differences: Values, draws: int = DRAWS, seed: int = 0) -> float:
    """Compute the two-sided sign-flip p-value of paired differences.

    Under the null hypothesis each difference is as likely with the opposite sign. The p-value is
    the share of all 2^n sign assignments whose sum is at least as far from 0, which is exact for
    any distribution. Above 20 differences the signs are sampled: p = (1 + hits) / (1 + draws).

    Args:
        differences: finite differences, one per seed.
        draws: number of sampled sign assignments above 20 differences.
        seed: seed of the sample.

    Source:
        Fisher, "The Design of Experiments", 1935, section 21. Phipson and Smyth, "Permutation
        P-values Should Never Be Zero", 2010.

    Example:
        >>> sign_flip_p([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])  # 2 of 2**6
        0.03125
    """
    array = require_finite("differences", differences)
    total = float(array.sum())
    reached = abs(total) - 1e-9 * float(np.abs(array).sum())  # equal sums may differ by rounding
    if len(array) <= EXACT_TO:
        return share_beyond(array, reached)
    sums, _ = _sampled_sums(array.tobytes(), draws, seed)
    hits = int((np.abs(total - 2 * sums) >= reached).sum())
    return (1 + hits) / (1 + draws)


def sign_flip_interval(
    differences: Values, confidence: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Interval:
    r"""Compute the confidence interval that the sign-flip test implies.

    It holds every :math:`\delta` for which the test of the differences minus :math:`\delta` has
    p > 0.05, so interval and test never disagree. Flipping a subset of the signs moves the sum past
    its opposite exactly if the subset's mean is on the other side of :math:`\delta`: the ends of
    the interval are order statistics of the means of all subsets (of sampled ones above n = 20).

    Returns:
        The interval; infinite below 6 differences, with which no difference can be significant.

    Source:
        Hartigan, "Using Subsample Values as Typical Values", 1969.

    Example:
        >>> sign_flip_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])  # p = 2 / 2**6 outside of it
        Interval(low=1.0, high=6.0, method='sign flips')
    """
    array = require_finite("differences", differences)
    if len(array) <= EXACT_TO:
        return interval_of_all_subsets(array, np.ones(len(array)), 1 - confidence)
    return interval_of_sampled_means(_sampled_means(array, draws, seed), draws, 1 - confidence)


def interval_of_all_subsets(sums: np.ndarray, weights: np.ndarray, level: float) -> Interval:
    """Return the interval between the subset means that the sign-flip test rejects.

    The p-value at a mean is the share of the sign assignments whose subset has no larger mean, the
    observed one included.

    Args:
        sums: weighted differences.
        weights: their weights; the mean of a subset is its sum divided by its weight.
        level: level of the test.
    """
    beyond = _rejected(2 ** len(sums) // 2, level)
    if beyond < 0:
        return Interval(-math.inf, math.inf, "sign flips")
    last = 2 ** len(sums) - 2
    low, high = (ordered_mean(sums, weights, place) for place in (beyond, last - beyond))
    return Interval(low, high, "sign flips")


def interval_of_sampled_means(means: np.ndarray, draws: int, level: float) -> Interval:
    """Return the same interval from the means of sampled subsets and of their complements."""
    beyond = _rejected(1 + draws, level)
    if beyond < 0:
        return Interval(-math.inf, math.inf, "sign flips")
    ends = np.partition(means, [beyond, len(means) - 1 - beyond])
    return Interval(float(ends[beyond]), float(ends[-1 - beyond]), "sign flips")


def _rejected(assignments: int, level: float) -> int:
    """Return the place of the last mean that is rejected, from 0; -1 if there is none."""
    return math.floor(level * assignments * (1 + 1e-12)) - 1


def _sampled_means(values: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Compute the means of the sampled subsets and of their complements."""
    sums, counts = _sampled_sums(values.tobytes(), draws, seed)
    return np.concatenate([sums / counts, (values.sum() - sums) / (len(values) - counts)])


@functools.lru_cache(maxsize=1)  # a test and its interval need the same ones
def _sampled_sums(values: bytes, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute the sum and the size of each sampled subset of the values."""
    array = np.frombuffer(values)
    sums = [flipped @ array for flipped in _sampled_subsets(len(array), draws, seed)]
    return np.concatenate(sums), _sampled_counts(len(array), draws, seed)


@functools.lru_cache(maxsize=1)
def _sampled_counts(n: int, draws: int, seed: int) -> np.ndarray:
    return np.concatenate([each.sum(axis=1) for each in _sampled_subsets(n, draws, seed)])


def _sampled_subsets(n: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield blocks of random subsets of n values as rows of 0 and 1, the same ones each time."""
    stream = np.random.default_rng(seed)
    for start in range(0, draws, CHUNK):
        rows = min(CHUNK, draws - start)
        bits = np.frombuffer(stream.bytes(rows * (n // 8 + 1)), dtype=np.uint8)
        yield np.unpackbits(bits).reshape(rows, -1)[:, :n].astype(float)


def equivalence_p(differences: Values, within: float) -> float:
    """Compute the p-value for equivalence: that the mean is closer to 0 than ``within``.

    The test consists of two one-sided sign-flip tests (TOST).

    Source:
        Schuirmann, "A Comparison of the Two One-Sided Tests Procedure and the Power Approach",
        1987.

    Example:
        >>> equivalence_p([0.01, -0.02, 0.0, 0.01, 0.02, -0.01], within=0.1)  # 1 of 2**6
        0.015625
    """
    require_known("within", within)
    if not len(differences):
        return 1.0
    below = within - np.asarray(differences)
    above = within + np.asarray(differences)
    return max(_one_sided_p(below), _one_sided_p(above))


def _one_sided_p(values: Values) -> float:
    """Compute the p-value of the sign-flip test against a mean of 0 or less."""
    if sum(values) <= 0:
        return 1.0
    return sign_flip_p(values) / 2


def signed_ranks(differences: Values) -> np.ndarray:
    """Rank the absolute differences and give the ranks the differences' signs.

    An infinite difference, which stands for a diverged run, has the highest rank. Ties share
    their mean rank, also if they differ by rounding; a difference of 0 has rank 0.

    Source:
        Wilcoxon, "Individual Comparisons by Ranking Methods", 1945.

    Example:
        >>> signed_ranks([0.5, -math.inf, 0.0, -0.1]).tolist()
        [2.0, -3.0, 0.0, -1.0]
    """
    array = require_known("differences", differences)
    sizes = np.abs(array[array != 0])
    order = np.argsort(sizes)
    starts = np.ones(len(sizes), dtype=bool)  # of a group of ties
    with np.errstate(invalid="ignore"):  # two infinite sizes are ties
        starts[1:] = np.diff(sizes[order]) > ROUNDING * sizes[order][:-1]
    group = np.cumsum(starts) - 1
    counts = np.bincount(group)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    of_sizes = np.empty(len(sizes))
    of_sizes[order] = mean_rank[group]
    signed = np.zeros(len(array))
    signed[array != 0] = of_sizes * np.sign(array[array != 0])
    return signed


def holm(p_values: Values) -> np.ndarray:
    """Adjust p-values for multiple comparisons by Holm's method.

    Rejecting adjusted p-values at or below 0.05 controls the family-wise error rate at 5 %, under
    any dependence between the comparisons.

    Source:
        Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(6).tolist()
        [0.03, 0.06, 0.06]
    """
    array = require_known("p-values", p_values)
    order = np.argsort(array, kind="stable")
    steps = array[order] * np.arange(len(array), 0, -1)
    adjusted = np.empty(len(array))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(array) else steps
    return adjusted


def probability_of_improvement(differences: Values) -> float:
    """Compute the share of pairs with a positive difference, counting ties as half.

    Source:
        Bouthillier et al., "Accounting for Variance in Machine Learning Benchmarks", 2021.
    """
    array = require_known("differences", differences)
    return float(((array > 0) + 0.5 * (array == 0)).mean())
