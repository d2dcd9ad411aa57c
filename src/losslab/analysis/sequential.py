"""Group-sequential tests: the same comparison at several numbers of seeds, at one overall level.

Whoever tests after 8, 12, 16 ... seeds and stops at the first significant difference finds more
false ones than the level says. Here the level is spent over the looks: a test rejects at a look if
its statistic lies beyond a boundary such that, under the null hypothesis, the probability of
crossing any boundary up to this look is the part of the level that may be spent by then. The looks
share seeds, so the boundaries come from their joint distribution: from all sign flips of the
differences (:func:`sign_flip_paths`), or, for t-tests, from simulated normal differences
(:mod:`losslab.analysis.sequential_t`).

The result is a p-value per look (:func:`sequential_p`): the smallest level at which the test has
rejected by then. It is valid at each look and also if the number of looks depends on the results,
so several pairs are corrected as usual: Holm's method on these p-values is the group-sequential
Holm procedure (Maurer and Bretz, "Multiple Testing in Group Sequential Trials Using Graphical
Approaches", 2013). ``docs/comparison.md`` has the simulated rates of false claims.
"""

import functools
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from losslab.analysis.location import interquartile_means
from losslab.analysis.statistics import LEVEL, ROUNDING, require_finite, require_known

Values = Sequence[float] | np.ndarray

DRAWS = 2**16
"""Number of paths: all sign flips of 16 differences."""

FAMILY = 100
"""Number of comparisons up to which the levels hold each level of Holm's method."""

LEVELS = np.array(
    sorted(
        {LEVEL / size * (1 - 1e-12) for size in range(1, FAMILY + 1)}
        | {float(f"{level:.1e}") for level in np.geomspace(1e-4, 1e-1, 31)}
        | {0.15, 0.2, 0.3, 0.5},
        reverse=True,
    )
)
"""Levels that a p-value is rounded up to; times a number of comparisons none exceeds 0.05."""


def spending(information: float) -> float:
    r"""Return the part of the level that is spent at this part of the information, its square root.

    It spends early: after 8 of 32 seeds a half, so that 8 seeds suffice to find a difference among
    three pairs (the smallest p-value of 8 sign flips is 0.0078, and 0.05 / 3 / 2 = 0.0083).

    Source:
        The power family of Kim and DeMets, "Design and Analysis of Group Sequential Tests Based on
        the Type I Error Spending Rate Function", 1987, with exponent 1/2.
    """
    return math.sqrt(min(max(float(require_known("information", information)), 0.0), 1.0))


def sequential_p(
    observed: np.ndarray, null: np.ndarray, spent: Values, levels: Values = LEVELS
) -> np.ndarray:
    """Compute the p-value after each look: the smallest level that has rejected by then.

    Args:
        observed: statistic at each look, ``(looks,)``; large values speak against the null.
        null: the same under the null hypothesis, one path per row, ``(paths, looks)``.
        spent: part of the level that may be spent up to each look, non-decreasing to at most 1.
        levels: levels that are tried, decreasing.

    Returns:
        P-values, ``(looks,)``, non-increasing; 1 if the largest level does not reject.

    Example:
        >>> observed, null = sign_flip_paths([1.0] * 12, [8, 12])
        >>> p = sequential_p(np.abs(observed), np.abs(null), [spending(8 / 12), 1.0])
        >>> (p <= [0.01, 0.001]).tolist()
        [True, True]
    """
    return smallest_level(observed, boundaries(null, spent, levels))


def smallest_level(
    observed: np.ndarray, bounds_of_levels: Iterable[tuple[float, np.ndarray]]
) -> np.ndarray:
    """Return the smallest level that has rejected by each look, ``(looks,)``; 1 if none has.

    Args:
        observed: statistic at each look, ``(looks,)``.
        bounds_of_levels: decreasing levels and their boundaries, as :func:`boundaries` yields them.
    """
    require_known("observed", observed)
    found = np.ones(len(observed))
    for level, bounds in bounds_of_levels:
        beyond = observed > bounds
        if beyond.any():
            found[int(np.argmax(beyond)) :] = level
        elif level <= LEVEL:
            break
    return found


def boundaries(
    null: np.ndarray, spent: Values, levels: Values = LEVELS
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield each level with its boundaries, ``(looks,)``, for paths under the null hypothesis.

    Args:
        null: see :func:`sequential_p`.
        spent: see there.
        levels: see there.
    """
    for name, values in (("null", null), ("spent", spent)):
        require_known(name, values)
    total, least = len(null), np.full(null.shape[1], -math.inf)
    for level in levels:
        budgets = np.floor(level * np.asarray(spent) * total + 1e-6)
        bounds, crossing = _boundaries(null, budgets, least)
        yield float(level), bounds
        if level <= LEVEL:  # Holm's method uses these
            least, null = bounds, crossing


def _boundaries(
    null: np.ndarray, budgets: np.ndarray, least: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the boundary of each look, and the paths that cross one.

    Args:
        null: paths that can cross, ``(paths, looks)``.
        budgets: number of paths that may cross up to each look.
        least: boundaries of the level above. A boundary is at least as high, so that whatever a
            level rejects, a higher level up to 0.05 rejects too: only its paths can cross.
    """
    inside = null
    crossed: list[np.ndarray] = []
    bounds = np.array(least)
    for look, budget in enumerate(budgets):
        left = int(budget) - sum(len(paths) for paths in crossed)
        values = inside[:, look]
        if left < len(values):  # ties with the first value that is too many stay inside
            first_too_many = len(values) - left - 1
            bounds[look] = max(least[look], np.partition(values, first_too_many)[first_too_many])
        beyond = values > bounds[look]
        crossed.append(inside[beyond])
        inside = inside[~beyond]
    return bounds, np.concatenate(crossed)


# --- sign flips -----------------------------------------------------------------------------------


def sign_flip_paths(
    differences: Values, counts: Sequence[int], draws: int = DRAWS, *, trimmed: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the sum of the differences at each look, as observed and under sign flips.

    Given their sizes, each difference is under the null hypothesis as likely with the opposite
    sign. The paths hold all sign assignments of the first 16 differences. The signs of the others
    are products of some of these, chosen at random once: the assignments form a group, so that the
    test is exact for any number of differences. The first row holds the observed signs.

    Args:
        differences: one per seed, in the order in which the seeds were added.
        counts: number of differences at each look, non-decreasing.
        draws: number of sign assignments, a power of 2.
        trimmed: whether to return interquartile means instead of sums.

    Returns:
        The observed sums, ``(looks,)``, and those under sign flips, ``(draws, looks)``.

    Source:
        Hemerik and Goeman, "Exact Testing with Random Permutations", 2018, theorem 1 on subgroups.
    """
    values = require_finite("differences", differences)
    sums = np.zeros(draws)
    paths = np.empty((draws, len(counts)))
    before = 0
    for look, count in enumerate(counts):
        for place in range(before, count):
            sums = sums + _signs(place, draws) * values[place]
        paths[:, look] = _trimmed(values[:count], draws) if trimmed else sums
        before = count
    size = float(np.abs(values).sum()) or 1.0
    paths = np.round(paths / size, 9)  # equal sums may differ by rounding
    return paths[0].copy(), paths


def _trimmed(values: np.ndarray, draws: int) -> np.ndarray:
    """Return the interquartile mean of the values under each sign assignment, ``(draws,)``."""
    if not len(values):
        return np.zeros(draws)
    signs = [_signs(place, draws) for place in range(len(values))]
    return interquartile_means(np.stack(signs, axis=1) * values)


@functools.lru_cache(maxsize=64)
def _signs(place: int, draws: int) -> np.ndarray:
    """Return the sign of the difference at a place in each assignment, ``(draws,)``.

    It does not depend on the number of differences: an earlier look, computed again, has the same
    boundary.
    """
    free = draws.bit_length() - 1
    if place < free:
        return (1 - 2 * ((np.arange(draws) >> place) & 1)).astype(np.int8)
    factors = np.flatnonzero(np.random.default_rng(place).integers(0, 2, free))
    product = np.prod([_signs(int(each), draws) for each in factors], axis=0)
    return np.asarray(product, dtype=np.int8)


def sequential_sign_flip_p(
    differences: Values,
    counts: Sequence[int],
    spent: Values,
    draws: int = DRAWS,
    *,
    trimmed: bool = False,
) -> np.ndarray:
    """Compute the two-sided p-value of the sign-flip test after each look.

    Args:
        differences: one per seed, in the order in which the seeds were added.
        counts: number of differences at each look.
        spent: part of the level that may be spent up to each look.
        draws: number of sign assignments, a power of 2.
        trimmed: whether the interquartile mean is tested instead of the mean.

    Example:
        >>> sequential_sign_flip_p([1.0] * 8, [8], [spending(8 / 32)]) * 3 <= 0.05
        array([ True])
    """
    observed, null = sign_flip_paths(differences, counts, draws, trimmed=trimmed)
    return two_sided_p(observed, null, spent)


def two_sided_p(observed: np.ndarray, null: np.ndarray, spent: Values) -> np.ndarray:
    """Compute two-sided p-values; a look whose sign is not that of the last shows nothing."""
    return sequential_p(observed * np.sign(observed[-1]), np.abs(null), spent)


def sequential_equivalence_p(
    differences: Values,
    within: float,
    counts: Sequence[int],
    spent: Values,
    draws: int = DRAWS,
    *,
    median: bool = False,
    trimmed: bool = False,
) -> np.ndarray:
    """Compute the p-value for equivalence after each look, by two one-sided sign-flip tests.

    Both tests must have rejected, not necessarily at the same look.

    Args:
        differences: one per seed, in the order in which the seeds were added.
        within: margin of equivalence.
        counts: number of differences at each look.
        spent: part of the level that may be spent up to each look.
        draws: number of sign assignments, a power of 2.
        median: whether the median is tested, by the signs alone, instead of the mean.
        trimmed: whether the interquartile mean is tested.
    """
    values, margin = require_finite("differences", differences), require_known("within", within)
    sides = [margin + sign * values for sign in (-1.0, 1.0)]
    if median:  # a difference on the margin, up to rounding, is on neither side of it
        sides = [np.sign(np.where(np.abs(side) > ROUNDING * margin, side, 0)) for side in sides]
    paths = [sign_flip_paths(side, counts, draws, trimmed=trimmed) for side in sides]
    return np.asarray(np.maximum(*(sequential_p(*each, spent) for each in paths)))
