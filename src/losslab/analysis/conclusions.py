"""Conclusions and caveats of a comparison, as sentences."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from losslab.analysis.comparison import Comparison, ComparisonTable, Pair, ahead
from losslab.analysis.load import group_by
from losslab.metrics.labels import Metric


def conclusions(table: ComparisonTable) -> list[str]:
    """Describe the compared pairs of a table, primary metric by primary metric."""
    return [line for metric in table.primary_metrics for line in _conclusions_by(table, metric)]


def _conclusions_by(table: ComparisonTable, metric: Metric) -> list[str]:
    pairs = table.pairs_of(metric)
    if not pairs:
        return [f"{metric.label}: nothing to compare, there is one row"]
    too_few = [pair for pair in pairs if pair.underpowered]
    lines = [pair_sentence(pair) for pair in pairs if pair.significant]
    unclear = [pair for pair in pairs if not pair.significant and not pair.underpowered]
    if not lines and unclear:
        lines.append(f"{metric.label}: no significant differences")
    lines += [pair_sentence(pair) for pair in unclear]
    if too_few:
        lines.append(_underpowered(too_few))
        lines += [pair_sentence(pair) for pair in too_few]
    return lines


def short_conclusions(table: ComparisonTable, metric: Metric) -> list[str]:
    """Describe the compared pairs in short: one line per row that is better than others."""
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
    too_few = [pair for pair in pairs if pair.underpowered]
    lines += [_underpowered(too_few)] if too_few else []
    unclear = sum(not pair.significant and not pair.underpowered for pair in pairs)
    if unclear:
        lines.append(
            f"{metric.label}: no significant difference in {unclear} of {len(pairs)} pairs"
        )
    return lines


def _underpowered(pairs: Sequence[Pair]) -> str:
    counts = sorted({pair.n for pair in pairs})
    needed, comparisons = pairs[0].needed, pairs[0].comparisons
    among = "one comparison" if comparisons == 1 else f"{comparisons} comparisons"
    return (
        f"{pairs[0].metric.label}: underpowered with n = {_range(counts)}: no difference of any "
        f"size can reach p < 0.05 over {among}; at least {needed} seeds are needed"
    )


def pair_sentence(pair: Pair) -> str:
    """Describe a pair: which row is better and by how much, or how many seeds it would take."""
    if not pair.n:
        return f"{pair.a} and {pair.b} have no seed in common"
    if pair.significant:
        return _significant(pair)
    size, outlook = _size(pair), _outlook(pair)
    if pair.underpowered:
        return f"{pair.a} vs {pair.b}: {size}{outlook}"
    found = ""
    if pair.mde >= 0:
        shown = pair.metric.difference_text(pair.mde, sign=False)
        found = f"; minimum detectable effect with {pair.n} seeds: {shown}"
    return f"{pair.a} vs {pair.b}: no significant difference: {size}, {_p(pair)}{outlook}{found}"


def _outlook(pair: Pair) -> str:
    """Return the spread of the differences and the number of seeds needed."""
    if not pair.differences:
        return ""
    if math.isnan(pair.deviation):
        return "; the spread is unknown with one pair"
    text = f"; paired SD {pair.metric.difference_text(pair.deviation, sign=False)}"
    shown = pair.metric.difference_text(abs(pair.mean), sign=False)
    if pair.seeds_to_see is not None:
        return f"{text}; {pair.seeds_to_see} seeds are needed to find {shown}"
    if pair.samples_to_see is None:
        return text
    ever = pair.metric.difference_text(pair.smallest_ever, sign=False)
    if abs(pair.mean) < pair.smallest_ever:
        text += f"; with {pair.design.total:,} samples no number of seeds can show less than {ever}"
    return f"{text}; about {_rounded(pair.samples_to_see):,} samples would show {shown}"


def _rounded(count: int) -> int:
    """Round to two digits: an estimate of a sample size has no more."""
    return int(float(f"{count:.1e}"))


def _significant(pair: Pair) -> str:
    pair = pair if pair.better == pair.a else pair.swapped
    numbers = f"{_size(pair)}, {_p(pair)}, better for {pair.wins} of {pair.n} seeds"
    diverged = _diverged(pair) if pair.differences else ""  # else _size mentions it
    return f"{pair.a} is better than {pair.b}: {numbers}{diverged}"


def _size(pair: Pair) -> str:
    """Return the mean difference, as in ``accuracy +0.84 points [0.31, 1.37]``."""
    if not pair.differences:
        return f"no seed at which both finished{_diverged(pair)}"
    text = f"{pair.metric.label} {pair.metric.difference_text(pair.mean)}"
    low, high, _ = pair.interval
    if not math.isfinite(low):
        return text
    number = pair.metric.number
    return f"{text} [{number(low, like=pair.mean)}, {number(high, like=pair.mean)}]"


def _p(pair: Pair) -> str:
    corrected = f", Holm over {pair.comparisons}" if pair.comparisons > 1 else ""
    test = f"p = {pair.adjusted_p:.2g} ({pair.test.method}{corrected}) for {pair.test.holds_for}"
    if pair.of_these_samples.holds_for == pair.test.holds_for:
        return test
    return f"{test}, p = {pair.adjusted_p_of_these_samples:.2g} for these samples"


def _diverged(pair: Pair) -> str:
    parts = [
        f"{label} diverged for {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
        for label, seeds in ((pair.a, pair.failed_a), (pair.b, pair.failed_b))
        if seeds
    ]
    return f" ({', '.join(parts)})" if parts else ""


# --- caveats --------------------------------------------------------------------------------------


def notes(table: ComparisonTable) -> list[str]:
    """Return the caveats of a table: confounders, failures, missing and unpaired runs."""
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


def _differences(table: ComparisonTable) -> Iterable[str]:
    confounders = table.comparison_group.confounders
    if not confounders:
        return
    listed = "; ".join(map(str, confounders))
    if len({row.loss for row in table.rows}) == 1:
        yield f"all rows have the same loss and differ in: {listed}"
    else:
        yield f"the rows differ in more than the loss: {listed}"


def _metrics_versions(table: ComparisonTable) -> Iterable[str]:
    labels: dict[int, dict[str, None]] = {}
    for row in table.rows:
        for run in row.runs:
            labels.setdefault(run.record["metrics_version"], {})[row.label] = None
    if len(labels) > 1:
        listed = "; ".join(f"version {v} for {', '.join(labels[v])}" for v in sorted(labels))
        yield (
            f"the runs use different definitions of the metrics ({listed}): evaluate the older "
            "ones again before comparing them"
        )


def _failures(table: ComparisonTable) -> Iterable[str]:
    for row in table.rows:
        for runs in group_by((run for run in row.runs if run.problem), lambda run: run.outcome):
            seeds = ", ".join(str(run.seed) for run in runs)
            yield (
                f"{row.label}: {len(runs)} of {len(row.runs)} {runs[0].outcome}, seed {seeds} "
                f"({runs[0].problem})"
            )


def _unequal_epochs(table: ComparisonTable) -> Iterable[str]:
    counts = {row.label: sorted({run.record["epochs"] for run in row.done}) for row in table.rows}
    if len({count for each in counts.values() for count in each}) < 2:
        return
    texts = [f"{label} {_range(each)}" for label, each in counts.items() if each]
    yield f"unequal epochs: {', '.join(texts)}"


def _unpaired_jobs(table: ComparisonTable) -> Iterable[str]:
    every = sorted({run.seed for row in table.rows for run in row.runs})
    for row in table.rows:
        missing = [str(seed) for seed in every if seed not in row.by_seed]
        if missing:
            yield f"{row.label} has no run with seed {', '.join(missing)}"


def _undefined(table: ComparisonTable) -> Iterable[str]:
    """Name metrics that are undefined for a row, such as calibration for a hinge loss."""
    lacking: dict[str, list[str]] = {}
    for row in table.rows:
        names = [each.name for each in table.columns if table.summary(row, each).undefined]
        if row.done and names:
            lacking.setdefault(", ".join(names), []).append(row.label)
    for listed, labels in lacking.items():
        yield f"undefined for {', '.join(labels)}: {listed}"


def _pairing(table: ComparisonTable) -> Iterable[str]:
    if any(pair.by_environment for pair in table.pairs):
        yield "paired by environment seed only, since the training data depend on the policy"
    pairs = [pair for pair in table.pairs_of(table.primary_metrics[0]) if pair.n]
    unequal: dict[tuple[str, ...], list[str]] = {}
    for pair in pairs:
        if not pair.paired:
            unequal.setdefault(tuple(pair.unequal), []).append(f"{pair.a} and {pair.b}")
    for words, couples in unequal.items():
        which = "" if len(couples) == len(pairs) else f": {', '.join(couples)}"
        if words:
            yield f"not paired: {' and '.join(words)} differ at the same seed{which}"
        else:
            yield f"possibly not paired: no hashes were recorded{which}"


def _scale(table: ComparisonTable) -> Iterable[str]:
    """Name settings that make the result depend on the losses' scales."""
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
    """Name the folders that could not be read, and why."""
    unreadable = comparison.collection.unreadable
    return [f"cannot read {each.folder}: {each.reason}" for each in unreadable]


def comparison_notes(comparison: Comparison) -> list[str]:
    """Return the caveats of the whole comparison: runs left out, and what the results hold for."""
    collection = comparison.collection
    lines = []
    if collection.repeated:
        lines.append(
            f"{_runs(len(collection.repeated))} left out: repeated later with the same settings "
            "and seed"
        )
    if comparison.searched:
        lines.append(
            f"{_runs(len(comparison.searched))} of a search left out: the test split was not read"
        )
    if comparison.split == "val":
        lines.append("these are validation metrics, which also chose the checkpoints")
    any_significant = any(pair.significant for table in comparison.tables for pair in table.pairs)
    if any_significant and len({table.comparison_group.data for table in comparison.tables}) == 1:
        data = comparison.tables[0].comparison_group.data
        lines.append(f"These results hold for {data} only.")
    if comparison.comparisons > 1:
        lines.append(f"p-values are Holm-corrected for {comparison.comparisons} comparisons")
    return lines


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


# --- several comparison groups ----------------------------------------------------------------


@dataclass(frozen=True)
class Wins:
    """Number of comparison groups in which one row is better than another, by one metric."""

    a: str
    b: str
    metric: Metric
    a_significant: int
    b_significant: int
    """Number of groups in which the row is significantly better."""
    a_ahead: int
    b_ahead: int
    """Number of groups in which the row's mean is better, significant or not."""
    comparison_groups: int
    """Number of groups in which both rows were compared."""
    data_sets: int
    """Number of data sets among these groups."""

    def __str__(self) -> str:
        what = "data sets" if self.data_sets == self.comparison_groups else "comparison groups"
        return (
            f"{self.metric.label}: {self.a} is better than {self.b} on {self.a_significant} of "
            f"{self.comparison_groups} {what}, worse on {self.b_significant} (by the mean alone: "
            f"better on {self.a_ahead}, worse on {self.b_ahead})"
        )


def wins(comparison: Comparison) -> list[Wins]:
    """Count wins over several comparison groups; empty if there is only one table."""
    if len(comparison.tables) < 2:
        return []
    found: dict[tuple[str, str, str], list[tuple[Pair, str]]] = {}
    for table in comparison.tables:
        for pair in table.pairs:
            # a label may hold the options that a loss was tuned to on this data set
            a, b = (_name(table, label) for label in (pair.a, pair.b))
            if a != b:
                first, second, oriented = (a, b, pair) if a < b else (b, a, pair.swapped)
                alike = found.setdefault((first, second, pair.metric.name), [])
                alike.append((oriented, table.comparison_group.data))
    return [
        Wins(
            a=a,
            b=b,
            metric=pairs[0][0].metric,
            a_significant=sum(pair.better == pair.a for pair, _ in pairs),
            b_significant=sum(pair.better == pair.b for pair, _ in pairs),
            a_ahead=sum(ahead(pair) > 0 for pair, _ in pairs),
            b_ahead=sum(ahead(pair) < 0 for pair, _ in pairs),
            comparison_groups=len(pairs),
            data_sets=len({data for _, data in pairs}),
        )
        for (a, b, _), pairs in found.items()
        if len(pairs) > 1
    ]


def _name(table: ComparisonTable, label: str) -> str:
    """Return the loss if it has only one row, else the row's label."""
    losses = [row.loss for row in table.rows]
    [row] = [row for row in table.rows if row.label == label]
    return row.loss if losses.count(row.loss) == 1 else label
