"""Power of the tests: minimum detectable effects and numbers of seeds.

``docs/comparison.md`` explains what each number means and why it was chosen.
"""

import functools
import math
from collections.abc import Callable

from scipy import special

from losslab.analysis.statistics import LEVEL, require_known

POWER = 0.8
"""Power at which the minimum detectable effect is found."""

FINE_FROM = 40
"""Number of pairs above which the sign-flip test attains any level."""

NORMAL_FROM = 500
"""Number of pairs above which Student's t is treated as normal."""

MOST_SEEDS = 1_000_000


def needed_seeds(comparisons: int, level: float = LEVEL) -> int:
    r"""Compute the smallest number of pairs for which Holm's correction can reject at all.

    .. math:: \lceil 1 + \log_2(m / \alpha) \rceil

    With n pairs no sign-flip p-value is below :math:`2^{1-n}`.

    Example:
        >>> [needed_seeds(m) for m in (1, 6, 15, 28, 45)]
        [6, 8, 10, 11, 11]
    """
    return math.ceil(1 + math.log2(comparisons / float(require_known("level", level))))


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
    require_known("deviation, level and power", [deviation, level, power])
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
    return noncentrality(pairs - 1, attained, power) / math.sqrt(pairs)


@functools.lru_cache(maxsize=4096)
def noncentrality(freedom: float, level: float, power: float = POWER) -> float:
    """Compute the effect, in standard errors, that a two-sided t-test finds with this power.

    Example:
        >>> round(noncentrality(math.inf, 0.05), 2), round(noncentrality(9, 0.05), 2)
        (2.8, 3.15)
    """
    require_known("freedom, level and power", [freedom, level, power])
    if freedom > NORMAL_FROM:
        return float(special.ndtri(1 - level / 2) + special.ndtri(power))
    critical = special.stdtrit(freedom, 1 - level / 2)
    low, high = 0.0, 10 * critical + 10
    for _ in range(60):
        middle = (low + high) / 2
        found = 1 - special.nctdtr(freedom, middle, critical)
        low, high = (middle, high) if found < power else (low, middle)
    return float(high)


def deviation_bound(freedom: float, confidence: float = 0.8) -> float:
    r"""Compute the factor from an estimated standard deviation to its upper confidence bound.

    .. math:: \sqrt{\nu / \chi^2_{\nu, 1 - c}}

    With few seeds the estimate is often much too small, and plans made with it are too optimistic.

    Args:
        freedom: degrees of freedom of the estimate.
        confidence: probability that the true standard deviation is below the bound.

    Example:
        >>> [round(deviation_bound(freedom), 2) for freedom in (2, 7, 31)]
        [2.12, 1.35, 1.13]
    """
    require_known("freedom and confidence", [freedom, confidence])
    return math.sqrt(freedom / (2 * special.gammaincinv(freedom / 2, 1 - confidence)))


def smallest_count(enough: Callable[[int], bool], least: int) -> int | None:
    """Return the smallest count from ``least`` on that is enough; ``None`` above a million.

    Args:
        enough: whether a count is enough; larger counts are then enough too.
        least: smallest count to consider.

    Example:
        >>> smallest_count(lambda count: count**2 >= 50, least=2)
        8
    """
    if enough(least):
        return least
    low, high = least, 2 * least
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
