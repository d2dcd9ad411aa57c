"""Sentences bound to the numbers: what the comparison shows, and what it must not hide."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from losslab.analysis.comparison import Comparison, Pair, Table, ahead
from losslab.analysis.load import group
from losslab.metrics.labels import Metric


def conclusions(table: Table) -> list[str]:
    """What can be claimed under one comparison group, a sentence or two a judging metric."""
    return [line for metric in table.judging for line in _verdicts(table, metric)]


def _verdicts(table: Table, metric: Metric) -> list[str]:
    pairs = table.pairs_of(metric)
    if not pairs:
        return [f"{metric.label}: one row, nothing to compare"]
    too_few = [pair for pair in pairs if pair.exploratory]
    lines = [pair_sentence(pair) for pair in pairs if pair.distinguishable]
    unclear = [pair for pair in pairs if not pair.distinguishable and not pair.exploratory]
    if not lines and unclear:
        lines.append(f"{metric.label}: no difference is distinguishable from chance")
    lines += [pair_sentence(pair) for pair in unclear]
    if too_few:
        lines.append(_exploratory(too_few))
        lines += [pair_sentence(pair) for pair in too_few]
    return lines


def claims(table: Table, metric: Metric) -> list[str]:
    """The same in short, for many rows: a line for each row that is better than others."""
    pairs = table.pairs_of(metric)
    beaten: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.better is not None:
            beaten.setdefault(pair.better, []).append(pair.b if pair.better == pair.a else pair.a)
    lines = [
        f"{metric.label}: {row.label} is better than {', '.join(beaten[row.label])}"
        for row in table.rows
        if row.label in beaten
    ]
    too_few = [pair for pair in pairs if pair.exploratory]
    lines += [_exploratory(too_few)] if too_few else []
    unclear = sum(not pair.distinguishable and not pair.exploratory for pair in pairs)
    if unclear:
        lines.append(f"{metric.label}: {unclear} of {len(pairs)} pairs are not distinguishable")
    return lines


def _exploratory(pairs: Sequence[Pair]) -> str:
    counts = sorted({pair.n for pair in pairs})
    needed, comparisons = pairs[0].needed, pairs[0].comparisons
    among = "one comparison" if comparisons == 1 else f"{comparisons} comparisons"
    return (
        f"{pairs[0].metric.label}: n = {_range(counts)}: exploratory, no difference of any size "
        f"could reach p < 0.05 over {among}; that takes at least {needed} seeds"
    )


def pair_sentence(pair: Pair) -> str:
    """One pair: who is better and by how much, or what it would take to tell."""
    if not pair.n:
        return f"{pair.a} and {pair.b} have no seed in common"
    if pair.distinguishable:
        return _claim(pair)
    size, outlook = _size(pair), _outlook(pair)
    if pair.exploratory:
        return f"{pair.a} against {pair.b}: {size}{outlook}"
    found = ""
    if pair.detectable >= 0:
        shown = pair.metric.difference_text(pair.detectable, sign=False)
        found = f"; with {pair.n} a true difference of {shown} is found in 80 % of cases"
    return f"{pair.a} against {pair.b}: not distinguishable: {size}, {_p(pair)}{outlook}{found}"


def _outlook(pair: Pair) -> str:
    """What the spread says of the seeds that it would take."""
    if not pair.differences:
        return ""
    if math.isnan(pair.deviation):
        return "; one pair says nothing of the spread"
    text = f"; paired SD {pair.metric.difference_text(pair.deviation, sign=False)}"
    if pair.seeds_to_see is None:
        return text
    shown = pair.metric.difference_text(abs(pair.mean), sign=False)
    return f"{text}; {pair.seeds_to_see} seeds are needed to see {shown}"


def _claim(pair: Pair) -> str:
    pair = pair if pair.better == pair.a else pair.swapped
    numbers = f"{_size(pair)}, {_p(pair)}, better at {pair.wins} of {pair.n} seeds"
    lost = _lost(pair) if pair.differences else ""  # said already where nothing else can be
    return f"{pair.a} is better than {pair.b}: {numbers}{lost}"


def _size(pair: Pair) -> str:
    """``accuracy +0.84 points [0.31, 1.37]``, of a minus b."""
    if not pair.differences:
        return f"no seed at which both finished{_lost(pair)}"
    text = f"{pair.metric.label} {pair.metric.difference_text(pair.mean)}"
    low, high, _ = pair.interval
    if math.isnan(low):
        return text
    number = pair.metric.number
    return f"{text} [{number(low, like=pair.mean)}, {number(high, like=pair.mean)}]"


def _p(pair: Pair) -> str:
    test = "signed ranks" if pair.ranked else "sign flips"
    corrected = f", Holm over {pair.comparisons}" if pair.comparisons > 1 else ""
    return f"p = {pair.adjusted_p:.2g} ({test}{corrected})"


def _lost(pair: Pair) -> str:
    parts = [
        f"{label} diverged at {len(seeds)}"
        for label, seeds in ((pair.a, pair.lost_by_a), (pair.b, pair.lost_by_b))
        if seeds
    ]
    return f" ({', '.join(parts)})" if parts else ""


# --- what must not be hidden ----------------------------------------------------------------------


def notes(table: Table) -> list[str]:
    """What a reader has to know of one table: what differs, fails, lacks or is not paired."""
    return [
        *_differences(table),
        *_metrics_versions(table),
        *_failures(table),
        *_unequal_epochs(table),
        *_unpaired_jobs(table),
        *_undefined(table),
        *_pairing(table),
        *_scale(table),
    ]


def _differences(table: Table) -> Iterable[str]:
    confounders = table.comparison_groups.confounders
    if not confounders:
        return
    listed = "; ".join(map(str, confounders))
    if len({row.loss for row in table.rows}) == 1:
        yield f"the loss is the same in all rows; what differs: {listed}"
    else:
        yield f"not only the loss differs: {listed}"


def _metrics_versions(table: Table) -> Iterable[str]:
    labels: dict[int, dict[str, None]] = {}
    for row in table.rows:
        for run in row.runs:
            labels.setdefault(run.record["metrics_version"], {})[row.label] = None
    if len(labels) > 1:
        listed = "; ".join(f"version {v} for {', '.join(labels[v])}" for v in sorted(labels))
        yield (
            f"the metrics were not defined alike in all runs ({listed}): evaluate the older ones "
            "anew before you compare them"
        )


def _failures(table: Table) -> Iterable[str]:
    for row in table.rows:
        for runs in group((run for run in row.runs if run.problem), lambda run: run.outcome):
            seeds = ", ".join(str(run.seed) for run in runs)
            yield (
                f"{row.label}: {len(runs)} of {len(row.runs)} {runs[0].outcome}, seed {seeds} "
                f"({runs[0].problem})"
            )


def _unequal_epochs(table: Table) -> Iterable[str]:
    counts = {row.label: sorted({run.record["epochs"] for run in row.done}) for row in table.rows}
    if len({count for each in counts.values() for count in each}) < 2:
        return
    texts = [f"{label} {_range(each)}" for label, each in counts.items() if each]
    yield f"unequal epochs: {', '.join(texts)}"


def _unpaired_jobs(table: Table) -> Iterable[str]:
    every = sorted({run.seed for row in table.rows for run in row.runs})
    for row in table.rows:
        missing = [str(seed) for seed in every if seed not in row.by_seed]
        if missing:
            yield f"{row.label} has no run with seed {', '.join(missing)}"


def _undefined(table: Table) -> Iterable[str]:
    """What a finished row does not have: a hinge is no probability, and has no calibration."""
    lacking: dict[str, list[str]] = {}
    for row in table.rows:
        names = [each.name for each in table.columns if table.summary(row, each).undefined]
        if row.done and names:
            lacking.setdefault(", ".join(names), []).append(row.label)
    for listed, labels in lacking.items():
        yield f"no {listed} is defined for {', '.join(labels)}"


def _pairing(table: Table) -> Iterable[str]:
    if any(pair.by_environment for pair in table.pairs):
        yield "paired by environment seed alone: what is met in training depends on the policy"
    pairs = [pair for pair in table.pairs_of(table.judging[0]) if pair.n]
    unequal: dict[tuple[str, ...], list[str]] = {}
    for pair in pairs:
        if not pair.paired:
            unequal.setdefault(tuple(pair.unequal), []).append(f"{pair.a} and {pair.b}")
    for words, couples in unequal.items():
        which = "" if len(couples) == len(pairs) else f": {', '.join(couples)}"
        if words:
            yield f"not paired, the same seed gives another {' and another '.join(words)}{which}"
        else:
            yield f"perhaps not paired, the hashes that would tell are not recorded{which}"


def _scale(table: Table) -> Iterable[str]:
    """What makes the losses' own scales part of the result."""
    if len({row.loss for row in table.rows}) < 2:
        return
    every = [row.settings for row in table.rows]
    if any(str(each.get("optimizer._target_")).endswith(".SGD") for each in every):
        yield "under SGD a loss's scale is part of its step size"
    if any(each.get("choices.regularizer", "none") != "none" for each in every):
        yield "a regularizer's strength is relative to each loss's scale"


def _range(counts: Sequence[int]) -> str:
    return f"{counts[0]}" if len(set(counts)) == 1 else f"{counts[0]} to {counts[-1]}"


def unreadable_notes(comparison: Comparison) -> list[str]:
    """Which folders could not be read, and why."""
    unreadable = comparison.collection.unreadable
    return [f"cannot read {each.folder}: {each.reason}" for each in unreadable]


def comparison_notes(comparison: Comparison) -> list[str]:
    """What a reader has to know of the whole: what was left out, what the numbers do not say."""
    collection = comparison.collection
    lines = []
    if collection.repeated:
        lines.append(f"{_runs(len(collection.repeated))} left out: made again later")
    if comparison.searched:
        lines.append(f"{_runs(len(comparison.searched))} of a search left out: test unread")
    if comparison.split == "val":
        lines.append("these are validation metrics: what was chosen by them is not tested by them")
    claimed = any(pair.distinguishable for table in comparison.tables for pair in table.pairs)
    if claimed and len({table.comparison_groups.data for table in comparison.tables}) == 1:
        data = comparison.tables[0].comparison_groups.data
        lines.append(f"all of this is about {data}: it says nothing of losses in general")
    if comparison.comparisons > 1:
        lines.append(f"p-values are corrected by Holm over {comparison.comparisons} comparisons")
    return lines


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


# --- several comparison groups ----------------------------------------------------------------


@dataclass(frozen=True)
class Wins:
    """Under how many comparison groups one row is better than another, by one metric."""

    a: str
    b: str
    metric: Metric
    a_claimed: int
    b_claimed: int
    """Where that is claimed."""
    a_ahead: int
    b_ahead: int
    """Where its mean is better, claimed or not."""
    comparison_groups: int
    """Under how many both were compared."""
    data_sets: int
    """On how many data sets."""

    def __str__(self) -> str:
        what = "data sets" if self.data_sets == self.comparison_groups else "comparison groups"
        return (
            f"{self.metric.label}: {self.a} is better than {self.b} on {self.a_claimed} of "
            f"{self.comparison_groups} {what}, worse on {self.b_claimed} (by means alone: ahead on "
            f"{self.a_ahead}, behind on {self.b_ahead})"
        )


def wins(comparison: Comparison) -> list[Wins]:
    """The counts of wins over several comparison groups; empty where there is one table."""
    if len(comparison.tables) < 2:
        return []
    found: dict[tuple[str, str, str], list[tuple[Pair, str]]] = {}
    for table in comparison.tables:
        for pair in table.pairs:
            # a label may hold the options that a loss was tuned to on this data set
            a, b = (_name(table, label) for label in (pair.a, pair.b))
            if a != b:
                first, second, turned = (a, b, pair) if a < b else (b, a, pair.swapped)
                alike = found.setdefault((first, second, pair.metric.name), [])
                alike.append((turned, table.comparison_groups.data))
    return [
        Wins(
            a=a,
            b=b,
            metric=pairs[0][0].metric,
            a_claimed=sum(pair.better == pair.a for pair, _ in pairs),
            b_claimed=sum(pair.better == pair.b for pair, _ in pairs),
            a_ahead=sum(ahead(pair) > 0 for pair, _ in pairs),
            b_ahead=sum(ahead(pair) < 0 for pair, _ in pairs),
            comparison_groups=len(pairs),
            data_sets=len({data for _, data in pairs}),
        )
        for (a, b, _), pairs in found.items()
        if len(pairs) > 1
    ]


def _name(table: Table, label: str) -> str:
    """The loss, where it has one row; else the row."""
    losses = [row.loss for row in table.rows]
    [row] = [row for row in table.rows if row.label == label]
    return row.loss if losses.count(row.loss) == 1 else label
