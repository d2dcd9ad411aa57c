"""The centre of values over seeds: the mean, or a location that single collapsed runs do not move.

With ``median`` and ``iqm`` conclusions are about the typical seed: a loss that is good at most
seeds and collapses at a few is compared by the former, and its collapses are reported beside it.
"""

import functools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import special

from losslab.analysis.statistics import (
    ROUNDING,
    Interval,
    mean_interval,
    require_finite,
    require_known,
)

Center = Literal["mean", "median", "iqm"]
"""``mean``; ``median``; ``iqm``, the interquartile mean, without the lowest and highest quarter."""

CENTERS: tuple[Center, ...] = ("mean", "median", "iqm")
TRIM = 0.25
SIGN_TEST, TRIMMED = "sign test", "trimmed sign flips"

MOST_ENUMERATED, SAMPLED = 13, 10_000
"""Number of differences up to which all sign assignments are used, and of those sampled above."""

Values = Sequence[float] | np.ndarray


def location(values: Values, center: Center) -> float:
    """Compute the location of values; NaN if there are none.

    Example:
        >>> values = [0.0, 0.5, 0.6, 0.7, 0.7]
        >>> [round(location(values, center), 3) for center in ("mean", "median", "iqm")]
        [0.5, 0.6, 0.6]
    """
    values = require_finite("values", values)
    if not len(values):
        return math.nan
    if center == "median":
        return float(np.median(values))
    if center == "iqm":
        return float(interquartile_means(np.asarray(values)))
    return math.fsum(values) / len(values)


def location_interval(values: Values, center: Center, confidence: float = 0.95) -> Interval:
    """Compute a confidence interval of the location; NaN for fewer than two values.

    That of the interquartile mean is Student's with winsorized variance (Tukey and McLaughlin,
    "Less Vulnerable Confidence and Significance Procedures for Location", 1963).
    """
    if center == "mean" or len(values) < 2:
        return mean_interval(values, confidence)
    if center == "median":
        return sign_test_interval(values, confidence)
    values = require_finite("values", values)
    from scipy import stats  # noqa: PLC0415 (as in interquartile_means)

    low, high = stats.mstats.trimmed_mean_ci(np.asarray(values), (TRIM, TRIM), alpha=1 - confidence)
    return Interval(float(low), float(high), "trimmed t")


# --- the interquartile mean -----------------------------------------------------------------------


def interquartile_means(values: np.ndarray) -> np.ndarray:
    """Compute the interquartile mean of each row, ``(..., n)`` to ``(...)``."""
    from scipy import stats  # noqa: PLC0415 (half a second, for what few comparisons ask for)

    return np.asarray(stats.trim_mean(values, TRIM, axis=-1))


def trimmed_flip_p(differences: Values, center: float = 0.0) -> float:
    """Compute the two-sided sign-flip p-value that the interquartile mean is ``center``.

    As :func:`~losslab.analysis.statistics.sign_flip_p`, with the interquartile mean of the flipped
    differences as the statistic: exact if the differences are symmetric around their centre.
    """
    array = require_finite("differences", differences) - require_known("center", center)
    return min(1.0, 2 * min(_trimmed_tails(array)))


def trimmed_flip_equivalence_p(differences: Values, within: float) -> float:
    """Compute the p-value for equivalence: an interquartile mean closer to 0 than ``within``."""
    array = require_finite("differences", differences)
    require_known("within", within)
    return max(_trimmed_tails(array + within)[1], _trimmed_tails(array - within)[0])


def trimmed_flip_interval(differences: Values, confidence: float = 0.95) -> Interval:
    """Compute the confidence interval of the interquartile mean that the sign-flip test implies.

    Its ends are found by bisection, to a thousandth of the range of the differences.
    """
    array = require_finite("differences", differences)
    inside, width = location(array, "iqm"), float(np.ptp(array))

    def end(outside: float) -> float:
        if trimmed_flip_p(array, outside) > 1 - confidence:
            return math.copysign(math.inf, outside - inside)
        kept, rejected = inside, outside
        while abs(rejected - kept) > 1e-3 * width:
            middle = (kept + rejected) / 2
            if trimmed_flip_p(array, middle) > 1 - confidence:
                kept = middle
            else:
                rejected = middle
        return rejected

    if width <= ROUNDING * float(np.abs(array).max()):  # bisection would never end
        open_ended = trimmed_flip_p(np.ones(len(array))) > 1 - confidence
        half = math.inf if open_ended else 0.0
        return Interval(inside - half, inside + half, TRIMMED)
    return Interval(end(inside - 2 * width), end(inside + 2 * width), TRIMMED)


def _trimmed_tails(array: np.ndarray) -> tuple[float, float]:
    """Return the shares of sign assignments whose interquartile mean is as low, or as high."""
    observed = location(array, "iqm")
    rounding = ROUNDING * float(np.abs(array).max())
    signs = _signs(len(array))
    flipped = interquartile_means(signs * array)
    added = 0 if 2 ** len(array) == len(signs) else 1  # the observed signs, if they are sampled
    as_low = int((flipped <= observed + rounding).sum())
    as_high = int((flipped >= observed - rounding).sum())
    return (added + as_low) / (added + len(signs)), (added + as_high) / (added + len(signs))


@functools.lru_cache(maxsize=8)
def _signs(n: int) -> np.ndarray:
    """Return all sign assignments of n values, or a sample of them above 13."""
    if n <= MOST_ENUMERATED:
        return 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    return np.random.default_rng(0).choice([-1.0, 1.0], size=(SAMPLED, n))


# --- the median -----------------------------------------------------------------------------------


def sign_test_p(differences: Values, center: float = 0.0) -> float:
    """Compute the two-sided p-value of the exact sign test that the median is ``center``.

    It assumes nothing about the distribution. Values equal to ``center``, up to rounding, count for
    the side with fewer values, which keeps the test valid for discrete distributions.

    Source:
        Dixon and Mood, "The Statistical Sign Test", 1946.

    Example:
        >>> sign_test_p([0.1, 0.2, 0.1, 0.4, 0.3, 0.2])  # 2 of 2**6
        0.03125
    """
    return min(1.0, 2 * min(_below_p(differences, center), _above_p(differences, center)))


def sign_test_equivalence_p(differences: Values, within: float) -> float:
    """Compute the p-value for equivalence: that the median is closer to 0 than ``within``."""
    return max(_above_p(differences, -within), _below_p(differences, within))


def _above_p(values: Values, center: float) -> float:
    """Compute the p-value of the sign test for a median above ``center``."""
    array, center = require_known("differences", values), float(require_known("center", center))
    not_above = array <= center + ROUNDING * abs(center)
    return float(special.bdtr(int(not_above.sum()), len(array), 0.5))


def _below_p(values: Values, center: float) -> float:
    """Compute the p-value of the sign test for a median below ``center``."""
    return _above_p(-np.asarray(values, dtype=float), -center)


def sign_test_interval(values: Values, confidence: float = 0.95) -> Interval:
    """Compute the confidence interval of the median that the sign test implies.

    Its ends are order statistics.

    Example:
        >>> sign_test_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        Interval(low=1.0, high=6.0, method='sign test')
    """
    array = np.sort(require_known("values", values))
    n = len(array)
    tails = special.bdtr(np.arange(n), n, 0.5)
    rank = int((2 * tails <= (1 - confidence) * (1 + 1e-12)).sum())
    if rank == 0:
        return Interval(-math.inf, math.inf, SIGN_TEST)
    return Interval(float(array[rank - 1]), float(array[n - rank]), SIGN_TEST)
