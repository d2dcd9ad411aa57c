"""Rank losses over many data sets, for conclusions about data sets like these.

From six data sets on, data sets are treated as a sample: Friedman's test of the ranks asks whether
the losses differ at all, and Wilcoxon's signed-rank test of each pair, corrected by Holm, which do.

Source:
    Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", 2006. Benavoli,
    Corani and Mangili, "Should We Really Use Post-Hoc Tests Based on Mean-Ranks?", 2016, on why the
    pairs are not tested by their mean ranks.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from losslab.analysis import statistics
from losslab.analysis.comparison import Comparison, ComparisonTable
from losslab.analysis.pairs import difference
from losslab.analysis.pooled import data_set_of, entries_of, loss_name, unit_of
from losslab.analysis.power import needed_seeds
from losslab.analysis.ranks import friedman_p, ranked, wilcoxon_p
from losslab.analysis.statistics import LEVEL
from losslab.metrics.labels import Metric

FEWEST = 6
"""Number of data sets from which losses are ranked: with fewer no pair can be significant."""


@dataclass(frozen=True)
class RankedPair:
    """Comparison of two losses over data sets by Wilcoxon's signed-rank test."""

    a: str
    b: str
    ahead: tuple[int, int]
    """Number of data sets on which ``a``, and ``b``, is better."""
    rank_sum: float
    """Sum of the signed ranks: positive if ``a`` is better."""
    p: float
    adjusted_p: float = 1.0
    """P-value after Holm's correction over the pairs."""


@dataclass(frozen=True)
class Ranking:
    """Mean ranks of losses over data sets by one metric."""

    metric: Metric
    data_sets: int
    mean_ranks: Mapping[str, float]
    """Mean rank by loss, from 1 for the best, in this order."""
    left_out: tuple[str, ...]
    """Losses that were not compared on all of the data sets."""
    failed: Mapping[str, int]
    """Number of failed runs by loss; it ranks last where no run finished."""
    friedman_p: float
    """P-value of Friedman's test that the losses are equally good."""
    pairs: tuple[RankedPair, ...]

    @property
    def needed(self) -> int:
        """Number of data sets with which a pair can be significant."""
        return needed_seeds(len(self.pairs))

    @property
    def underpowered(self) -> bool:
        """Return whether there are too few data sets for any pair to be significant."""
        return self.data_sets < self.needed

    @property
    def differ(self) -> bool:
        """Return whether Friedman's test finds a difference; two losses need no such test."""
        return len(self.mean_ranks) == 2 or self.friedman_p <= LEVEL

    def better(self, pair: RankedPair) -> str | None:
        """Return the better loss if Friedman's test and the pair's are significant."""
        if not self.differ or pair.adjusted_p > LEVEL:
            return None
        return pair.a if pair.rank_sum > 0 else pair.b


def rankings(comparison: Comparison) -> list[Ranking]:
    """Rank the losses by each primary metric that was measured on at least six data sets."""
    names = dict.fromkeys(
        metric.name for table in comparison.tables for metric in table.primary_metrics
    )
    found = [_ranking(comparison, name) for name in names]
    return [ranking for ranking in found if ranking is not None]


def _ranking(comparison: Comparison, name: str) -> Ranking | None:
    tables = [
        table
        for table in comparison.tables
        if name in {metric.name for metric in table.primary_metrics}
    ]
    metric = next(each for each in tables[0].primary_metrics if each.name == name)
    present = [_measured(table, metric) for table in tables]
    losses = [loss for loss in present[0] if all(loss in others for others in present)]
    by_data_set = _advantages(tables, metric, losses)
    if len(by_data_set) < FEWEST or len(losses) < 2:
        return None
    pairs = _pairs(comparison, metric, losses, np.array(by_data_set))
    if not pairs:  # the baseline is not on all of the data sets
        return None
    ranks = np.array([ranked(advantages) for advantages in by_data_set])
    mean_ranks = dict(zip(losses, map(float, ranks.mean(axis=0)), strict=True))
    every = dict.fromkeys(loss for losses_of_table in present for loss in losses_of_table)
    return Ranking(
        metric=metric,
        data_sets=len(by_data_set),
        mean_ranks=dict(sorted(mean_ranks.items(), key=lambda item: item[1])),
        left_out=tuple(loss for loss in every if loss not in losses),
        failed=_failed(tables, metric, losses),
        friedman_p=friedman_p(ranks),
        pairs=pairs,
    )


def _measured(table: ComparisonTable, metric: Metric) -> dict[str, str]:
    """Return the row label of each loss that the metric is defined for."""
    return {
        loss_name(table, row): row.label
        for row in table.rows
        if not table.summaries[row.label, metric.name].undefined
    }


def _failed(
    tables: Sequence[ComparisonTable], metric: Metric, losses: Sequence[str]
) -> dict[str, int]:
    labels = [_measured(table, metric) for table in tables]
    return {
        loss: sum(
            len(table.summaries[label[loss], metric.name].failed)
            for table, label in zip(tables, labels, strict=True)
        )
        for loss in losses
    }


def _advantages(
    tables: Sequence[ComparisonTable], metric: Metric, losses: Sequence[str]
) -> list[np.ndarray]:
    """Compute how much better each loss is than each other, one matrix per data set.

    The matrices of comparison groups on the same data set are averaged.
    """
    found: dict[tuple[str, ...], list[np.ndarray]] = {}
    for table in tables:
        labels = _measured(table, metric)
        matrix = [[_advantage(table, metric, labels[a], labels[b]) for b in losses] for a in losses]
        found.setdefault(data_set_of(table.rows[0]), []).append(np.array(matrix))
    with np.errstate(invalid="ignore"):  # infinite in both directions: neither is ahead
        return [
            np.nan_to_num(np.mean(each, axis=0), posinf=np.inf, neginf=-np.inf)
            for each in found.values()
        ]


def _advantage(table: ComparisonTable, metric: Metric, a: str, b: str) -> float:
    """Return by how much row ``a`` is better, infinitely if no run of ``b`` finished."""
    ours, theirs = (table.summaries[label, metric.name] for label in (a, b))
    if not (ours.n and theirs.n):
        return math.inf if ours.n else -math.inf if theirs.n else 0.0
    found = metric.sign * difference(ours.mean, theirs.mean)
    unit = unit_of(metric)
    if unit == "standardized":  # sizes on different data sets are not comparable
        return float(np.sign(found))
    level = abs(ours.mean + theirs.mean) / 2
    return found / level if unit == "relative" and level else found


def _pairs(
    comparison: Comparison, metric: Metric, losses: Sequence[str], advantages: np.ndarray
) -> tuple[RankedPair, ...]:
    place = {loss: number for number, loss in enumerate(losses)}
    pairs = []
    for a, b, name in entries_of(comparison):
        if name == metric.name and {a, b} <= place.keys():
            ours = advantages[:, place[a], place[b]]
            ahead = int((ours > 0).sum()), int((ours < 0).sum())
            rank_sum = float(statistics.signed_ranks(ours).sum())
            pairs.append(RankedPair(a, b, ahead, rank_sum, wilcoxon_p(ours)))
    adjusted = statistics.holm([pair.p for pair in pairs])
    return tuple(
        replace(pair, adjusted_p=float(p)) for pair, p in zip(pairs, adjusted, strict=True)
    )
