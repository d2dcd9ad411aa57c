"""Caveats of a comparison, as sentences."""

import math
from collections.abc import Iterable, Sequence

from losslab.analysis.comparison import Comparison, ComparisonTable
from losslab.analysis.compounds import compounds
from losslab.analysis.convergence import at_chance, first_is_best, not_converged
from losslab.analysis.load import group_by
from losslab.analysis.search import LEARNING_RATE, Trial, Tuning, tries
from losslab.analysis.words import first_lines, in_short, span
from losslab.metrics.labels import some

THIRDS = ("low", "middle", "high")

MANY_ROWS = 5
"""Number of rows from which a note says that the best one's mean is optimistic."""


def notes(table: ComparisonTable) -> list[str]:
    """Return the caveats of a table: confounders, failures, odd losses, unpaired runs and more."""
    kinds = (
        *(_differences, _metrics_versions, _failures, _collapses, _odd_losses, _unequal_epochs),
        *(_unpaired_jobs, _undefined, _pairing, _scale, _unequal_tuning, _optimistic),
        *(_left_out, _chosen_metrics, _training),
    )
    return [line for kind in kinds for line in first_lines(kind(table))]


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
        listed = "; ".join(f"version {v} for {in_short([*labels[v]])}" for v in sorted(labels))
        yield (
            f"the runs use different definitions of the metrics ({listed}): evaluate the older "
            "ones again before comparing them"
        )


def _failures(table: ComparisonTable) -> Iterable[str]:
    for row in table.rows:
        for runs in group_by((run for run in row.runs if run.problem), lambda run: run.outcome):
            seeds = in_short([str(run.seed) for run in runs])
            yield (
                f"{row.label}: {len(runs)} of {len(row.runs)} {runs[0].outcome}, seed {seeds} "
                f"({runs[0].problem})"
            )


def _collapses(table: ComparisonTable) -> Iterable[str]:
    """Count the runs that finished far below what their loss reaches at other seeds."""
    metric = table.primary_metrics[0]
    for row in table.rows:
        summary = table.main_summary(row)
        if not summary.collapsed:
            continue
        values = in_short(
            [f"seed {seed} with {metric.text(summary.values[seed])}" for seed in summary.collapsed]
        )
        yield (
            f"{row.label}: {len(summary.collapsed)} of {summary.n} seeds collapsed ({values}): "
            "tests of the mean assume symmetric differences; --center median compares typical seeds"
        )


def _odd_losses(table: ComparisonTable) -> Iterable[str]:
    """Repeat what the passport of a loss warned of, once per row."""
    for row in table.rows:
        every = [run.record["loss_notes"].get("warnings", ()) for run in row.runs]
        warnings = dict.fromkeys(warning for own in every for warning in own)
        yield from (f"{row.label}: {warning}" for warning in warnings)


def _unequal_epochs(table: ComparisonTable) -> Iterable[str]:
    counts = {row.label: sorted({run.record["epochs"] for run in row.done}) for row in table.rows}
    if len({count for each in counts.values() for count in each}) < 2:
        return
    texts = [f"{label} {span(each)}" for label, each in counts.items() if each]
    yield f"unequal epochs: {in_short(texts)}"


def _unpaired_jobs(table: ComparisonTable) -> Iterable[str]:
    every = sorted({run.seed for row in table.rows for run in row.runs})
    for row in table.rows:
        there = row.by_seed
        missing = [str(seed) for seed in every if seed not in there]
        if not missing:
            continue
        pairs = [pair for pair in table.pairs if row.label in (pair.a, pair.b)]
        if pairs and all(pair.decided_after for pair in pairs):
            yield f"{row.label} has {len(row.runs)} seeds, which decided all of its pairs"
        else:
            yield f"{row.label} has no run with seed {in_short(missing)}"


def _undefined(table: ComparisonTable) -> Iterable[str]:
    """Name metrics that are undefined for a row, such as calibration for a hinge loss."""
    lacking: dict[str, list[str]] = {}
    for row in table.rows:
        names = [each.name for each in table.columns if table.summary(row, each).undefined]
        if row.done and names:
            lacking.setdefault(", ".join(names), []).append(row.label)
    for listed, labels in lacking.items():
        yield f"undefined for {in_short(labels)}: {listed}"


def _pairing(table: ComparisonTable) -> Iterable[str]:
    if any(pair.by_environment for pair in table.pairs):
        yield "paired by environment seed only, since the training data depend on the policy"
    pairs = [pair for pair in table.pairs_of(table.primary_metrics[0]) if pair.n]
    unequal: dict[tuple[str, ...], list[str]] = {}
    for pair in pairs:
        if not pair.paired:
            unequal.setdefault(tuple(pair.unequal), []).append(f"{pair.a} and {pair.b}")
    for words, couples in unequal.items():
        which = "" if len(couples) == len(pairs) else f": {in_short(couples)}"
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


def _unequal_tuning(table: ComparisonTable) -> Iterable[str]:
    """Name sums of losses that were chosen from more or fewer settings than their parts."""
    for compound in compounds(table):
        parts = [row for rows in compound.parts.values() for row in rows]
        tried = {row.label: tries(row.runs[0]) for row in (compound.row, *parts)}
        if len(set(tried.values())) > 1:
            listed = ", ".join(f"{label} {count}" for label, count in tried.items())
            yield f"not tuned equally, by the number of settings tried: {listed}"


def _optimistic(table: ComparisonTable) -> Iterable[str]:
    if len(table.rows) >= MANY_ROWS:
        yield (
            f"the best of {len(table.rows)} rows was chosen by the values that are shown, so its "
            "mean is optimistic"
        )


def _left_out(table: ComparisonTable) -> Iterable[str]:
    if table.reference is not None:
        yield (
            f"each row was compared with {table.reference.label} only, since "
            f"{len(table.rows)} rows have too many pairs; the correction is for all pairs, since "
            "it was chosen by its values (--baseline compares with a row that you choose before)"
        )


def _chosen_metrics(table: ComparisonTable) -> Iterable[str]:
    """Name the primary metrics that are not the task's, which may have been chosen afterwards."""
    own = table.rows[0].runs[0].metric_names[0]
    others = [metric.name for metric in table.primary_metrics if metric.name != own]
    if others:
        yield (
            f"primary metrics other than the task's {own}: {', '.join(others)}; if they were "
            "chosen after looking at the results, the p-values are too small"
        )


def _training(table: ComparisonTable) -> Iterable[str]:
    """Name rows that were not trained well, which may decide the comparison."""
    for row in table.rows:
        count, every = len(first_is_best(row)), len(row.done)
        if count:
            yield (
                f"{row.label}: the best epoch of {count} of {every} runs is the first; the "
                "learning rate may be too high"
            )
        if stuck := len(at_chance(row)):
            monitor = row.runs[0].config["task"]["monitor"]
            yield f"{row.label}: validation {monitor} of {stuck} of {every} runs stays at chance"
    growing = [row.label for row in table.rows if not_converged(row)]
    if growing:
        yield f"{in_short(growing)}: not converged, validation still improved in the last epochs"


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
            f"{some(len(collection.repeated), 'runs')} left out: repeated later with the same "
            "settings and seed"
        )
    if comparison.searched:
        lines.append(
            f"{some(len(comparison.searched), 'runs')} of a search left out: the test split was "
            "not read"
        )
    if comparison.split == "val":
        lines.append("these are validation metrics, which also chose the checkpoints")
    any_significant = any(pair.significant for table in comparison.tables for pair in table.pairs)
    if any_significant and len({table.comparison_group.data for table in comparison.tables}) == 1:
        data = comparison.tables[0].comparison_group.data
        lines.append(f"These results hold for {data} only.")
    if comparison.comparisons > 1:
        method = next(pair for table in comparison.tables for pair in table.pairs).correction.method
        lines.append(
            f"p-values are corrected for {comparison.comparisons} comparisons by {method}'s method"
        )
    return lines + _looks(comparison)


def _looks(comparison: Comparison) -> list[str]:
    """Say how often the runs were compared before, and what the p-values pay for it."""
    every = {len(pair.looks) for table in comparison.tables for pair in table.pairs}
    looks = max(every, default=0)
    if comparison.looks.planned:
        planned = ", ".join(map(str, comparison.looks.planned))
        return [
            f"look {looks} of {len(comparison.looks.planned)} ({planned} seeds): p-values cover all"
        ]
    if looks < 2:
        return []
    return [
        f"{looks} looks: these runs were compared before, with fewer seeds; p-values cover all "
        "looks, and only differences that are clear beyond what the earlier ones left are "
        "significant (plan the looks with seeds=auto)"
    ]


def tuning_notes(tuning: Tuning) -> list[str]:
    """Say if which loss is best depends on the learning rate.

    For each third of the tried learning rates, on a logarithmic scale, the loss whose best point
    lies there is named.
    """
    tried = [
        trial
        for trials in tuning.trials.values()
        for trial in trials
        if trial.values and LEARNING_RATE in trial.options
    ]
    winners: dict[str, list[str]] = {}
    for name, part in _thirds(tried).items():
        if len({trial.loss for trial in part}) > 1:
            best = max(part, key=lambda trial: tuning.metric.sign * trial.mean)
            winners.setdefault(best.loss, []).append(name)
    if len(winners) < 2:
        return []
    listed = "; ".join(f"{loss} at {' and '.join(names)}" for loss, names in winners.items())
    return [f"which loss is best depends on the learning rate: {listed}"]


def _thirds(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """Split trials into thirds of the range of their learning rates, on a logarithmic scale."""
    rates = [float(trial.options[LEARNING_RATE]) for trial in trials]
    if len(set(rates)) < len(THIRDS):
        return {}
    low, high = math.log(min(rates)), math.log(max(rates))
    parts: dict[str, list[Trial]] = {name: [] for name in THIRDS}
    for trial, rate in zip(trials, rates, strict=True):
        place = int(len(THIRDS) * (math.log(rate) - low) / (high - low))
        parts[THIRDS[min(place, len(THIRDS) - 1)]].append(trial)
    return {f"{name} rates ({_rates(part)})": part for name, part in parts.items() if part}


def _rates(trials: Sequence[Trial]) -> str:
    rates = sorted(float(trial.options[LEARNING_RATE]) for trial in trials)
    return " to ".join(dict.fromkeys((f"{rates[0]:g}", f"{rates[-1]:g}")))
