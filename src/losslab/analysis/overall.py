"""Conclusions over several data sets, as sentences."""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from losslab.analysis.comparison import Comparison
from losslab.analysis.pooled import PooledPair, pooled_pairs
from losslab.analysis.ranking import RankedPair, Ranking, rankings
from losslab.analysis.words import joined

MOST_SENTENCES = 12
"""Number of pairs above which only significant differences are described one by one."""


@dataclass(frozen=True)
class Overall:
    """Conclusions of a comparison over its data sets; empty if there is only one table."""

    pooled: tuple[PooledPair, ...]
    rankings: tuple[Ranking, ...]


@functools.lru_cache(maxsize=1)  # the terminal and each file of a report show the same
def overall(comparison: Comparison) -> Overall:
    """Pool the losses' differences over data sets, and rank the losses from six data sets on."""
    return Overall(tuple(pooled_pairs(comparison)), tuple(rankings(comparison)))


def overall_conclusions(comparison: Comparison) -> list[str]:
    """Describe what holds over several data sets."""
    found = overall(comparison)
    lines = list(_pooled_lines(found.pooled))
    for ranking in found.rankings:
        lines += _ranking_lines(ranking)
    return lines


def overall_answer(comparison: Comparison) -> list[str]:
    """Say in a sentence per metric which losses are better on average; empty for one data set."""
    by: dict[tuple[str, str], list[PooledPair]] = {}
    for pair in overall(comparison).pooled:
        by.setdefault((pair.where, pair.metric.label), []).append(pair)
    return [
        f"On average over {where}, {_who_is_better(pairs)} by {label}."
        for (where, label), pairs in by.items()
    ]


def _who_is_better(pairs: Sequence[PooledPair]) -> str:
    beaten: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.better is not None:
            beaten.setdefault(pair.better, []).append(pair.b if pair.better == pair.a else pair.a)
    texts = [f"{better} is better than {joined(worse)}" for better, worse in beaten.items()]
    return "; ".join(texts) if texts else "no loss is significantly better than another"


# --- pooled differences ---------------------------------------------------------------------------


def _pooled_lines(pairs: Sequence[PooledPair]) -> Iterator[str]:
    few = len(pairs) <= MOST_SENTENCES
    yield from (pooled_sentence(pair) for pair in pairs if pair.better is not None or few)
    unclear = sum(pair.better is None for pair in pairs)
    if unclear and not few:
        yield f"no significant difference in {unclear} of {len(pairs)} pooled pairs"
    if pairs:
        yield (
            "pooled conclusions are about the mean over these data sets, not about other data "
            "sets, and corrected among themselves only"
        )


def pooled_sentence(pair: PooledPair) -> str:
    """Describe a pooled comparison: which loss is better on average, by how much, and on what."""
    swap = pair.better == pair.b or (pair.better is None and pair.ahead[1] > pair.ahead[0])
    pair = pair.swapped if swap else pair
    size = f"{pair.metric.label} {effect_text(pair)}"
    if pair.better is not None:
        found = f"{pair.a} is better than {pair.b} on average over {pair.where}: {size}"
    elif pair.underpowered:
        return (
            f"{pair.a} vs {pair.b}: underpowered over {pair.where}: {size}; with n = {pair.seeds} "
            f"in total no difference of any size can reach p < 0.05; at least {pair.needed} seeds "
            "are needed"
        )
    else:
        found = (
            f"{pair.a} vs {pair.b}: no significant difference on average over {pair.where}: {size}"
        )
    return f"{found}, {_p(pair)}; {_alone(pair)}{_exceptions(pair.failed, pair.left_out)}"


def effect_text(pair: PooledPair) -> str:
    """Format the pooled difference with its interval: ``-12.3 % [-15.1, -9.5]``."""
    low, high, _ = pair.interval
    if pair.unit == "metric":
        text = pair.metric.difference_text(pair.mean)
        ends = [pair.metric.number(end, like=pair.mean) for end in (low, high)]
    elif pair.unit == "relative":
        text = f"{100 * pair.mean:+.1f} %"
        ends = [f"{100 * end:.1f}" for end in (low, high)]
    else:
        text = f"{pair.mean:+.2f} in units of each data set's differences"
        ends = [f"{end:.2f}" for end in (low, high)]
    return f"{text} [{', '.join(ends)}]" if math.isfinite(low) else text


def _p(pair: PooledPair) -> str:
    corrected = f", Holm over {pair.comparisons} pooled pairs" if pair.comparisons > 1 else ""
    return f"p = {pair.adjusted_p:.2g} ({pair.method}{corrected}) for {pair.holds_for}"


def _alone(pair: PooledPair) -> str:
    """Count the tables: a description, not a conclusion."""
    text = f"better mean in {pair.ahead[0]} of {pair.groups} tables"
    better, worse = pair.significant_alone
    text += f", significantly in {better}" if better else ""
    return text + (f", significantly worse in {worse}" if worse else "")


def _exceptions(failed: Mapping[str, int], left_out: Sequence[str]) -> str:
    parts = [
        f"{count} run{'s' if count > 1 else ''} of {name} failed"
        for name, count in failed.items()
        if count
    ]
    parts += [f"left out: {', '.join(left_out)}"] if left_out else []
    return f" ({'; '.join(parts)})" if parts else ""


# --- ranks ----------------------------------------------------------------------------------------


def _ranking_lines(ranking: Ranking) -> Iterator[str]:
    listed = ", ".join(f"{loss} {rank:.2f}" for loss, rank in ranking.mean_ranks.items())
    text = f"mean ranks over {ranking.data_sets} data sets by {ranking.metric.label}: {listed}"
    if len(ranking.mean_ranks) > 2:
        text += f"; Friedman's test: p = {ranking.friedman_p:.2g}"
    yield text + _exceptions(ranking.failed, ranking.left_out)
    found = [pair for pair in ranking.pairs if ranking.better(pair) is not None]
    yield from (_ranked_sentence(ranking, pair) for pair in found)
    if ranking.underpowered:
        yield (
            f"underpowered: no pair can be significant with {ranking.data_sets} data sets and "
            f"{len(ranking.pairs)} pairs; at least {ranking.needed} data sets are needed"
        )
    elif not found:
        yield "no significant difference for data sets like these"


def _ranked_sentence(ranking: Ranking, pair: RankedPair) -> str:
    a_is_better = ranking.better(pair) == pair.a
    better, worse = (pair.a, pair.b) if a_is_better else (pair.b, pair.a)
    ahead = pair.ahead[0 if a_is_better else 1]
    corrected = f", Holm over {len(ranking.pairs)}" if len(ranking.pairs) > 1 else ""
    return (
        f"{better} is better than {worse} for data sets like these: on {ahead} of "
        f"{ranking.data_sets} data sets, p = {pair.adjusted_p:.2g} (Wilcoxon{corrected})"
    )
