"""Tests of ranks over data sets: what holds for data sets like these."""

from collections.abc import Collection, Iterator

import numpy as np

from losslab.analysis import statistics

CHUNK = 1_000


def friedman_p(ranks: np.ndarray, draws: int = 20_000, seed: int = 0) -> float:
    """Compute the p-value of Friedman's test that all losses are equally good.

    Under the null hypothesis each data set's ranks are in any order with the same probability. The
    p-value is the share of sampled orders with sums of ranks at least as far apart,
    (1 + hits) / (1 + draws). It is valid for any number of data sets and with ties; with six data
    sets and losses the usual F approximation finds differences between equal losses in 5.6 % of
    cases.

    Args:
        ranks: rank of each of k losses on each of N data sets, ``(N, k)``.
        draws: number of sampled orders.
        seed: seed of the sample.

    Source:
        Friedman, "The Use of Ranks to Avoid the Assumption of Normality Implicit in the Analysis of
        Variance", 1937.

    Example:
        >>> round(friedman_p(np.array([[1, 2, 3], [1, 3, 2], [1, 2, 3], [1, 2, 3]])), 2)  # table
        0.04
    """
    statistics.require_known("ranks", ranks)
    stream = np.random.default_rng(seed)
    observed = _spread(ranks)
    hits = 0
    for _ in range(0, draws, CHUNK):
        orders = stream.permuted(np.broadcast_to(ranks, (CHUNK, *ranks.shape)), axis=2)
        hits += int((_spread(orders) >= observed * (1 - 1e-9)).sum())
    return (1 + hits) / (1 + draws)


def _spread(ranks: np.ndarray) -> np.ndarray:
    """Compute how far apart the sums of ranks are; Friedman's statistic rises with it."""
    spread: np.ndarray = ranks.sum(axis=-2).var(axis=-1)
    return spread


def wilcoxon_p(differences: statistics.Values) -> float:
    """Compute the p-value of the exact signed-rank test of one difference per data set.

    An infinite difference stands for a data set on which no run of one loss finished.

    Example:
        >>> wilcoxon_p([0.1, 0.3, 0.2, 0.5, 0.4, np.inf])  # 2 of 2**6
        0.03125
    """
    return statistics.sign_flip_p(statistics.signed_ranks(differences))


def ranked(advantages: np.ndarray) -> np.ndarray:
    """Rank losses on one data set from 1, the best; losses that tie share their mean rank.

    Args:
        advantages: by how much each loss is better than each other, ``(k, k)``.

    Example:
        >>> accuracy = np.array([0.9, 0.8, 0.9])
        >>> ranked(accuracy[:, None] - accuracy).tolist()
        [1.5, 3.0, 1.5]
    """
    statistics.require_known("advantages", advantages)
    ranks: np.ndarray = (advantages < 0).sum(axis=1) + ((advantages == 0).sum(axis=1) + 1) / 2
    return ranks


def cliques(names: Collection[str], alike: Collection[frozenset[str]]) -> list[set[str]]:
    """Find the largest groups of at least two names in which every two are alike.

    Source:
        Bron and Kerbosch, "Finding All Cliques of an Undirected Graph", 1973.

    Example:
        >>> pairs = [frozenset("ab"), frozenset("bc"), frozenset("ac"), frozenset("cd")]
        >>> sorted(map(sorted, cliques("abcd", pairs)))
        [['a', 'b', 'c'], ['c', 'd']]
    """
    near = {name: {other for other in names if frozenset((name, other)) in alike} for name in names}
    for name in names:
        near[name].discard(name)

    def grow(clique: set[str], candidates: set[str], seen: set[str]) -> Iterator[set[str]]:
        if not candidates and not seen and len(clique) > 1:
            yield clique
        for name in sorted(candidates):
            yield from grow(clique | {name}, candidates & near[name], seen & near[name])
            candidates = candidates - {name}
            seen = seen | {name}

    return list(grow(set(), set(names), set()))
