"""Group-sequential t-tests of seeds that share a part of their variance.

Seeds that redraw their splits from the same samples, or are tested on the same samples, add less
information the more of them there are, and their looks are strongly correlated. The boundaries come
from simulated normal differences with this correlation, see :mod:`losslab.analysis.sequential`.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from losslab.analysis.generalization import MeanTest
from losslab.analysis.sequential import DRAWS, Values, boundaries, smallest_level
from losslab.analysis.statistics import require_known

MOST = 1e6
"""Share of the variance above which only the samples count, and not the seeds."""


def information(n: int, share: float) -> float:
    r"""Return the information of n seeds, :math:`1 / (1/n + s)`, in units of one seed's.

    Args:
        n: number of seeds.
        share: variance that no number of seeds removes, relative to that of one seed; for redrawn
            splits the number of test samples divided by that of training samples.

    Example:
        >>> round(information(8, 1 / 3) / information(32, 1 / 3), 2)  # splits of 60 and 20 %
        0.8
    """
    return n / (1 + n * float(require_known("share", share)))


def shared_variance(test: MeanTest, n: int) -> float:
    """Return the variance that n seeds of a test share, relative to that of one seed."""
    if not n:
        return 0.0
    require_known("error and floor of the test", [test.error, test.floor])
    ratio = (test.floor / test.error) ** 2 if test.error > 0 else 0.0
    return min(ratio / (1 - ratio) / n, MOST) if ratio < 1 else MOST


@functools.lru_cache(maxsize=32)
def t_paths(counts: tuple[int, ...], share: float, draws: int = DRAWS) -> np.ndarray:
    """Simulate the corrected t-statistics at each look for normal differences of mean 0.

    Args:
        counts: number of seeds at each look, non-decreasing, at least 2.
        share: variance that the seeds share, relative to that of one seed.
        draws: number of simulated paths.

    Returns:
        The statistics, ``(draws, looks)``; each has a t-distribution with n - 1 degrees of freedom.
    """
    require_known("share", share)
    rng = np.random.default_rng(0)
    shared = math.sqrt(share) * rng.normal(size=draws)
    mean, squares, n, paths = np.zeros(draws), np.zeros(draws), 0, []
    for count in counts:
        new = count - n
        if new:  # mean and sum of squares of the new seeds, joined with those of the others
            change = rng.normal(size=draws) / math.sqrt(new) - mean
            squares = squares + 2 * rng.standard_gamma((new - 1) / 2, draws)
            squares += change**2 * n * new / count
            mean = mean + change * new / count
            n = count
        error = np.sqrt(squares / (n - 1) * (1 / n + share))
        paths.append((shared + mean) / error)
    return np.stack(paths, axis=1)


@functools.lru_cache(maxsize=32)
def _boundaries(
    counts: tuple[int, ...], share: float, draws: int, spent: tuple[float, ...], *, two_sided: bool
) -> tuple[tuple[float, np.ndarray], ...]:
    """Return the levels with their boundaries, which all pairs of a comparison share."""
    paths = t_paths(counts, share, draws)
    return tuple(boundaries(np.abs(paths) if two_sided else paths, spent))


def sequential_t_p(
    tests: Sequence[MeanTest],
    counts: Sequence[int],
    spent: Values,
    within: float | None = None,
    draws: int = DRAWS,
) -> np.ndarray:
    """Compute the p-value of a t-test after each look, for a difference or for equivalence.

    Args:
        tests: test at each look.
        counts: number of seeds at each look.
        spent: part of the level that may be spent up to each look.
        within: margin of an equivalence test; ``None``: two-sided test of a difference.
        draws: number of simulated paths.
    """
    if within is not None:
        require_known("within", within)
    usable = [place for place, test in enumerate(tests) if not math.isnan(test.error)]
    found = np.ones(len(tests))
    if not usable:
        return found
    tests, counts = [tests[place] for place in usable], [counts[place] for place in usable]
    share = shared_variance(tests[-1], counts[-1])
    paths = tuple(counts), round(share, 6), draws, tuple(np.asarray(spent)[usable].tolist())
    if within is None:
        observed = _statistics(tests, counts, 0.0, 1)
        sides = [observed * np.sign(observed[-1])]
    else:
        sides = [_statistics(tests, counts, within, sign) for sign in (-1, 1)]
    bounds = _boundaries(*paths, two_sided=within is None)
    found[usable] = np.max([smallest_level(side, bounds) for side in sides], axis=0)
    return np.asarray(np.minimum.accumulate(found))


def _statistics(
    tests: Sequence[MeanTest], counts: Sequence[int], within: float, sign: int
) -> np.ndarray:
    """Return within plus or minus the mean in standard errors, at each look."""
    looks = zip(tests, counts, strict=True)
    return np.array([_statistic(test, n, within + sign * test.mean) for test, n in looks])


def _statistic(test: MeanTest, n: int, distance: float) -> float:
    """Return a distance in standard errors, converted to n - 1 degrees of freedom."""
    if distance == 0:
        return 0.0
    equal = test.error == 0  # all differences, see MeanTest
    size = 0.5**n if equal else special.stdtr(test.freedom, -abs(distance) / test.error)
    return math.copysign(-float(special.stdtrit(n - 1, size)), distance)
