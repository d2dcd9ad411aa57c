"""Sums and means over all subsets of up to 20 values, counted without listing them.

A subset of the values is a subset of their first half and one of their second half. Of 20 values,
each half has only 2^10 sums. Sorting those of one half counts how many of all 2^20 sums lie below a
bound (Horowitz and Sahni, "Computing Partitions with Applications to the Knapsack Problem", 1974).
"""

import numpy as np

MOST_LISTED = 2**11
"""Number of subsets that are listed rather than counted."""


def subset_sums(rows: np.ndarray) -> np.ndarray:
    """Sum each row over all subsets of its columns, the empty one first.

    Example:
        >>> subset_sums(np.array([[1.0, 2.0, 4.0]])).tolist()
        [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]]
    """
    sums = np.zeros((len(rows), 1))
    for column in rows.T:
        sums = np.concatenate([sums, sums + column[:, None]], axis=1)
    return sums


def share_beyond(values: np.ndarray, bound: float) -> float:
    """Compute the share of all sign assignments whose sum is at least ``bound`` away from 0.

    Example:
        >>> share_beyond(np.array([1.0, 2.0, 3.0]), bound=4.0)  # 4, 6 and their opposites
        0.5
    """
    if bound <= 0:
        return 1.0
    one, other = (_signed_sums(half) for half in np.array_split(values, 2))
    above = len(other) - np.searchsorted(np.sort(other), bound - one)
    return float(above.sum() / 2.0 ** (len(values) - 1))


def _signed_sums(values: np.ndarray) -> np.ndarray:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def ordered_mean(sums: np.ndarray, weights: np.ndarray, place: int) -> float:
    """Return the mean that is at a place, from 0, among the means of all subsets but the empty one.

    The mean of a subset is the sum of its ``sums`` divided by that of its ``weights``. Bisection
    narrows the range of the means until few enough subsets are left to be listed.

    Example:
        >>> ordered_mean(np.array([1.0, 3.0]), np.ones(2), place=1)  # of 1, 2 and 3
        2.0
    """
    rows = np.stack([sums, weights])
    if 2 ** len(sums) <= MOST_LISTED:
        sums, weights = subset_sums(rows)[:, 1:]
        return float(np.partition(sums / weights, place)[place])
    low, high = float((sums / weights).min()), float((sums / weights).max())
    slack = 1e-12 * max(abs(low), abs(high))  # of rounding
    if high - low <= slack:
        return (low + high) / 2
    halves = [subset_sums(half) for half in np.array_split(rows, 2, axis=1)]
    before, up_to = 0, 2 ** len(sums) - 1
    while up_to - before > MOST_LISTED and high - low > slack:
        middle = (low + high) / 2
        count = _means_up_to(halves, middle)
        if count > place:
            high, up_to = middle, count
        else:
            low, before = middle, count
    return _listed_mean(halves, (low + high) / 2, (high - low) / 2 + slack, place)


def _means_up_to(halves: list[np.ndarray], bound: float) -> int:
    """Count the means up to a bound, without that of the empty subset."""
    one, other = (sums - bound * weights for sums, weights in halves)
    return int(np.searchsorted(np.sort(other), -one, side="right").sum()) - 1


def _listed_mean(halves: list[np.ndarray], middle: float, reach: float, place: int) -> float:
    """Return the mean at a place that is known to be within ``reach`` of ``middle``."""
    one, other = (sums - middle * weights for sums, weights in halves)
    order = np.argsort(other)
    # of a subset whose mean is so close, the sum of the deviations from the middle is
    most = reach * float(sum(weights[-1] for _, weights in halves))
    first = np.searchsorted(other[order], -most - one)
    counts = np.searchsorted(other[order], most - one, side="right") - first
    starts = np.cumsum(counts) - counts
    ours = np.repeat(np.arange(len(one)), counts)
    theirs = order[np.arange(counts.sum()) + np.repeat(first - starts, counts)]
    sums, weights = halves[0][:, ours] + halves[1][:, theirs]
    there = weights > 0
    listed = sums[there] / weights[there]
    rank = place - int(first.sum())
    return float(np.partition(listed, rank)[rank])
