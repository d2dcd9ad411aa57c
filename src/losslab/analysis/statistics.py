"""Tests, confidence intervals and sample sizes for paired differences, as pure functions.

``docs/comparison.md`` explains what each number means and why it was chosen.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

LEVEL = 0.05
"""Family-wise error rate of a comparison."""

POWER = 0.8
"""Power at which the minimum detectable effect is found."""

BCA_FROM = 20
"""Minimum number of values for the bootstrap, whose 95 % interval covers 84 to 90 % below it."""

EXACT_TO = 20
"""Maximum number of differences for which all sign flips are enumerated."""

FINE_FROM = 40
"""Number of pairs above which the sign-flip test attains any level."""

NORMAL_FROM = 500
"""Number of pairs above which Student's t is treated as normal."""

DRAWS = 100_000
CHUNK = 10_000
RESAMPLES = 10_000

Values = Sequence[float] | np.ndarray


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
    if len(values) < 2:
        return Interval(math.nan, math.nan, "none")
    if len(values) < BCA_FROM:
        return t_interval(values, confidence)
    return bca_interval(values, confidence)


def t_interval(values: Values, confidence: float = 0.95) -> Interval:
    r"""Compute Student's interval of the mean, :math:`\bar x \pm t_{n-1} s / \sqrt n`."""
    array = np.asarray(values, dtype=float)
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
    array = np.asarray(values, dtype=float)
    n, mean = len(array), array.mean()
    if np.ptp(array) == 0:
        return Interval(float(mean), float(mean), "BCa")
    draws = np.random.default_rng(seed).integers(n, size=(resamples, n))
    means = array[draws].mean(axis=1)
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
    sizes = np.abs(np.asarray(differences, dtype=float))
    sizes_moved = sizes[sizes > 0]  # a difference of 0 is the same with either sign
    total = abs(float(np.sum(differences)))
    reached = total - 1e-9 * float(sizes.sum())  # equal sums may differ by rounding
    n = len(sizes_moved)
    if n == 0:
        return 1.0
    if n <= EXACT_TO:
        # opposite sign assignments have opposite sums: the first sign can stay fixed
        sums = sizes_moved[:1]
        for size in sizes_moved[1:]:
            sums = np.concatenate([sums + size, sums - size])
        return float((np.abs(sums) >= reached).mean())
    stream = np.random.default_rng(seed)
    hits = 0
    for start in range(0, draws, CHUNK):
        rows = min(CHUNK, draws - start)
        bits = np.frombuffer(stream.bytes(rows * (n // 8 + 1)), dtype=np.uint8)
        flipped = np.unpackbits(bits).reshape(rows, -1)[:, :n].astype(float)
        sums = sizes_moved.sum() - 2 * (flipped @ sizes_moved)
        hits += int((np.abs(sums) >= reached).sum())
    return (1 + hits) / (1 + draws)


def signed_ranks(differences: Values) -> np.ndarray:
    """Rank the absolute differences and give the ranks the differences' signs.

    An infinite difference, which stands for a diverged run, has the highest rank. Ties share
    their mean rank; a difference of 0 has rank 0.

    Source:
        Wilcoxon, "Individual Comparisons by Ranking Methods", 1945.

    Example:
        >>> signed_ranks([0.5, -math.inf, 0.0, -0.1]).tolist()
        [2.0, -3.0, 0.0, -1.0]
    """
    array = np.asarray(differences, dtype=float)
    sizes = np.abs(array[array != 0])
    ranks = np.zeros(len(array))
    ordered, place, count = np.unique(sizes, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks[array != 0] = (last - (count - 1) / 2)[place] if len(ordered) else 0
    signed: np.ndarray = np.sign(array) * ranks
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
    array = np.asarray(p_values, dtype=float)
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
    array = np.asarray(differences, dtype=float)
    return float(((array > 0) + 0.5 * (array == 0)).mean())


def needed_seeds(comparisons: int, level: float = LEVEL) -> int:
    r"""Compute the smallest number of pairs for which Holm's correction can reject at all.

    .. math:: \lceil 1 + \log_2(m / \alpha) \rceil

    With n pairs no sign-flip p-value is below :math:`2^{1-n}`.

    Example:
        >>> [needed_seeds(m) for m in (1, 6, 15, 28, 45)]
        [6, 8, 10, 11, 11]
    """
    return math.ceil(1 + math.log2(comparisons / level))


def minimum_detectable_effect(
    deviation: float, pairs: int, level: float = LEVEL, power: float = POWER
) -> float:
    """Compute the minimum detectable effect (MDE) of the sign-flip test.

    This is the smallest true mean difference that the test finds with the given power.

    Args:
        deviation: standard deviation of the paired differences.
        pairs: number of pairs.
        level: level of the test; with Holm's correction divided by the number of comparisons.
        power: probability of finding the difference.

    Returns:
        The effect; infinity if no difference of any size can reach the level.

    Example:
        >>> minimum_detectable_effect(1.0, pairs=5)
        inf
        >>> round(minimum_detectable_effect(1.0, pairs=20), 2)
        0.66
    """
    if pairs < needed_seeds(1, level):
        return math.inf
    return deviation * _standardized_mde(pairs, level, power)


@functools.lru_cache(maxsize=4096)
def _standardized_mde(pairs: int, level: float, power: float) -> float:
    """Compute the MDE in standard deviations, for normal differences."""
    attained = level
    if pairs <= FINE_FROM:
        arrangements = math.floor(level * 2 ** (pairs - 1) * (1 + 1e-12))
        if arrangements == 1:  # every difference must have the same sign
            return float(special.ndtri(power ** (1 / pairs)))
        # nearly the t-test's power at the level that the test can attain; half an arrangement
        # less brings few arrangements within 5 points of the power asked for (simulated)
        attained = (arrangements - 0.5) / 2 ** (pairs - 1)
    elif pairs > NORMAL_FROM:
        return float(special.ndtri(1 - level / 2) + special.ndtri(power)) / math.sqrt(pairs)
    critical = special.stdtrit(pairs - 1, 1 - attained / 2)
    low, high = 0.0, (critical + 4) / math.sqrt(pairs)
    for _ in range(50):
        middle = (low + high) / 2
        found = 1 - special.nctdtr(pairs - 1, middle * math.sqrt(pairs), critical)
        low, high = (middle, high) if found < power else (low, middle)
    return float(high)


def seeds_to_see(
    difference: float, deviation: float, comparisons: int = 1, level: float = LEVEL
) -> int | None:
    """Compute the number of pairs that find a true difference of this size with 80 % power.

    Args:
        difference: true difference; its sign does not matter.
        deviation: standard deviation of the paired differences.
        comparisons: number of comparisons that Holm's correction covers.
        level: family-wise error rate.

    Returns:
        The number, at least :func:`needed_seeds`; ``None`` above a million.
    """
    if difference == 0:
        return None
    least = needed_seeds(comparisons, level)
    target = abs(difference) * (1 + 1e-12)

    def sees(pairs: int) -> bool:
        return minimum_detectable_effect(deviation, pairs, level / comparisons) <= target

    if sees(least):
        return least
    low, high = least, 2 * least
    while not sees(high):
        low, high = high, 2 * high
        if high > 2_000_000:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if sees(middle) else (middle, high)
    return high
