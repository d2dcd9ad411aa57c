"""Group the runs of a claim into rows, with measures in addition to their test metrics."""

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from losslab.analysis.comparison_groups import Row
from losslab.analysis.load import Run, group_by, settings_key
from losslab.analysis.pairs import difference
from losslab.config.schema import meaning
from losslab.gallery import descent, linear_networks
from losslab.gallery.claim import Picked
from losslab.gallery.final_weights import COMPARISONS
from losslab.information import NATS_PER_BIT, self_information
from losslab.metrics.labels import METRICS, Metric, metric_of
from losslab.runs.scores import Scores

ABSENT = object()
TRAIN_SAMPLES = "train_samples"
"""Setting of a row that follows from its data: the number of training samples."""
DECIDES = {"task.epochs": "trainer.max_epochs", "task.learning_rate": "optimizer.lr"}
"""Options of a task, and the settings that follow from them."""
SHARES = {"data.val_fraction", "data.test_fraction"}
"""Settings that decide it, in whose place labels name it."""


def rows_of(runs: Sequence[Run], measured: Sequence[str]) -> list[Row]:
    """Group runs that differ only in the seed into labelled rows.

    Args:
        runs: runs of a claim.
        measured: metrics that the claim names; those in :data:`MEASURES` and
            :data:`COMPARISONS` are computed.

    Returns:
        The rows, sorted by loss and by the varying settings.
    """
    wanted = {name: MEASURES[name][1] for name in measured if name in MEASURES}
    wanted |= {name: COMPARISONS[name][1](runs) for name in measured if name in COMPARISONS}
    rows = group_by((_measured(run, wanted) for run in runs), settings_key)
    varying = _varying_keys(rows)
    rows.sort(key=lambda row: [row[0].loss, *(_sortable(_setting(row[0], key)) for key in varying)])
    return [
        Row(_label(row[0], varying), tuple(sorted(row, key=lambda run: run.seed))) for row in rows
    ]


def picked(rows: Sequence[Row], settings: Picked) -> Row:
    """Return the one row with these settings.

    Raises:
        ValueError: if there is not exactly one.
    """
    found = [row for row in rows if has(row, settings)]
    if len(found) != 1:
        labels = ", ".join(row.label for row in found or rows)
        raise ValueError(f"{dict(settings)} picks {len(found)} rows of: {labels}")
    return found[0]


def has(row: Row, settings: Picked) -> bool:
    """Return whether a row has all of these settings; a list matches any of its values."""
    return all(
        _setting(row.runs[0], key) in (value if isinstance(value, list) else [value])
        for key, value in settings.items()
    )


def baseline(row: Row, name: str) -> Row:
    """Return a baseline from the records of a row, such as raw inputs, as a row."""
    runs = tuple(_with_test(run, run.record["baselines"].get(name, {})) for run in row.runs)
    return Row(name.replace("_", " "), runs)


def constant(row: Row, metric: str, value: float) -> Row:
    """Return a row whose runs all have the same value of a metric."""
    return Row(f"{value:g}", tuple(_with_test(run, {metric: value}) for run in row.runs))


def measured_as(row: Row, other: str, metric: str) -> Row:
    """Return the row with the values of another metric in place of a metric, and their scores."""
    label = metric_named(other, row).label
    return Row(f"its {label}", tuple(_Substituted.of(run, other, metric) for run in row.runs))


def multiplied(row: Row, metric: str, factor: float) -> Row:
    """Return the row with a metric times a factor, as in another unit; without scores."""
    runs = tuple(
        _with_test(run, {metric: factor * test[metric]} if metric in test else {})
        for run in row.runs
        for test in [run.record["test"]]
    )
    return Row(f"{factor:,.10g} times {row.label}", runs)


def with_setting(rows: Sequence[Row], settings: Picked, key: str) -> list[Row]:
    """Return the rows with these settings in the order of another setting.

    Raises:
        ValueError: if fewer than three rows have it, or two of them have the same value.
    """
    found = [row for row in rows if has(row, settings) and setting(row, key) is not None]
    values = {setting(row, key) for row in found}
    if len(values) < max(3, len(found)):
        labels = ", ".join(row.label for row in found)
        raise ValueError(
            f"a trend needs three rows or more with different {key}, but {dict(settings)} picks "
            f"{len(found)}: {labels}"
        )
    return sorted(found, key=lambda row: setting(row, key))


def slopes(rows: Sequence[Row], metric: str) -> Row:
    r"""Return the slopes of a metric over ordered rows, one per seed, as a row.

    The slope is that of the least-squares line through the values :math:`y_k` of a seed in the rows
    k = 1 ... K, the change from a row to the next:

    .. math:: \frac{\sum_k (k - \bar k)\, y_k}{\sum_k (k - \bar k)^2}

    It depends on the order of the rows only, so that the values of a setting need no scale. A seed
    at which a run failed counts as failed.
    """
    places = np.arange(len(rows)) - (len(rows) - 1) / 2
    seeds = set.intersection(*(set(row.by_seed) for row in rows))
    runs = ([row.by_seed[seed] for row in rows] for seed in sorted(seeds))
    keys = (TRAIN_SAMPLES, *DECIDES, *rows[0].settings)
    varying = [key for key in keys if len({setting(row, key) for row in rows}) > 1]
    label = without(rows[0], *varying)
    return Row(label, tuple(_slope(each, metric, places / (places @ places)) for each in runs))


def _slope(runs: Sequence[Run], metric: str, contrast: np.ndarray) -> Run:
    """Return a run with the contrast of the runs' values, or the first one that failed."""
    for run in runs:
        if run.outcome != "done":
            return run
    values = np.array([run.record["test"].get(metric, math.nan) for run in runs])
    if not np.isfinite(values).all():
        return _with_test(runs[0], {})
    up, down = contrast.clip(min=0) @ values, -contrast.clip(max=0) @ values
    return _with_test(runs[0], {metric: difference(up, down)})  # 0 for equal values


def of_slope(metric: Metric, key: str) -> Metric:
    """Return the label of a metric's slope over a setting."""
    label = f"slope of {metric.label} over {_short(key)}"
    return replace(metric, label=label, low=-math.inf, high=math.inf)


def without(row: Row, *keys: str) -> str:
    """Return the row's label without some of its settings."""
    name, _, options = row.label.partition(" (")
    gone = tuple(f"{_short(key)}=" for key in keys)
    settings = re.split(r", (?=\w+=)", options.removesuffix(")"))  # not within lists
    kept = [each for each in settings if not each.startswith(gone)]
    return f"{name} ({', '.join(kept)})" if any(kept) else name


def _setting(run: Run, key: str) -> Any:
    if key == "loss":
        return run.loss
    if key == TRAIN_SAMPLES:
        return run.record["sizes"]["train"]
    own, key = run.settings, DECIDES.get(key, key)
    return own.get(key, own.get(f"choices.{key}", ABSENT))


def setting(row: Row, key: str) -> Any:
    """Return a setting of a row; ``None`` if it does not have it."""
    value = _setting(row.runs[0], key)
    return None if value is ABSENT else value


def _with_test(run: Run, metrics: Mapping[str, float]) -> Run:
    record = {**run.record, "test": dict(metrics)}
    return replace(run, record=record)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class _Substituted(Run):
    """Run in which one metric has the values of another."""

    other: str = ""
    metric: str = ""

    @classmethod
    def of(cls, run: Run, other: str, metric: str) -> "_Substituted":
        test = run.record["test"]
        record = {**run.record, "test": {metric: test[other]} if other in test else {}}
        return cls(run.folder, record, run.config, other, metric)  # type: ignore[arg-type]

    @functools.cached_property
    def scores(self) -> Scores | None:
        found = super().scores
        if found is None or self.other not in found.values:
            return None
        return Scores(found.sample, {self.metric: found.values[self.other]})


# --- names ----------------------------------------------------------------------------------------


def _varying_keys(rows: Sequence[Sequence[Run]]) -> list[str]:
    """Return the settings, other than loss and seed, that the jobs give and that vary."""
    given: dict[str, None] = {}
    for row in rows:
        given |= dict.fromkeys(str(each).partition("=")[0].lstrip("+") for each in row[0].overrides)
    named = dict.fromkeys(TRAIN_SAMPLES if key in SHARES else key for key in given)
    return [
        key
        for key in named
        if not meaning(key).in_label and len({_setting(row[0], key) for row in rows} - {ABSENT}) > 1
    ]


def _label(run: Run, told: Sequence[str]) -> str:
    """Return the loss with the settings that distinguish the rows."""
    values = {key: _setting(run, key) for key in told}
    texts = [
        f"{_short(key)}={_text(value)}" for key, value in values.items() if value is not ABSENT
    ]
    return f"{run.loss} ({', '.join(texts)})" if texts else run.loss


def _sortable(value: Any) -> tuple[bool, float, str]:
    """Return a sort key with numbers before text."""
    number = isinstance(value, int | float)
    return (not number, float(value) if number else 0.0, "" if number else str(value))


def _short(key: str) -> str:
    """Return the last part of a setting's key."""
    return key.rpartition(".")[2]


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)


# --- measures in addition to test metrics ---------------------------------------------------------


def _measured(run: Run, wanted: Mapping[str, Callable[[Run], float]]) -> Run:
    if not wanted or run.outcome != "done":
        return run
    found = {name: measure(run) for name, measure in wanted.items()}
    known = {name: value for name, value in found.items() if not math.isnan(value)}
    return _with_test(run, {**run.record["test"], **known})


def curve_value(run: Run, name: str, which: int) -> float:
    """Return the first (0) or last (-1) value of a curve; NaN if there is none."""
    values = run.curves.loc[run.curves["name"] == name, "value"]
    return float(values.iloc[which]) if len(values) else math.nan


def _gap(run: Run) -> float:
    """Compute validation loss minus training loss at the last epoch, without the penalty."""
    training = curve_value(run, "train/part/data", -1)
    if math.isnan(training):
        training = curve_value(run, "train/loss", -1)
    return curve_value(run, "val/loss", -1) - training


def _median_error(run: Run) -> float:
    """Compute the intercept's distance from the median line of exponential noise with mean 0."""
    noise, intercept = run.settings["data.noise"], run.settings["data.intercept"]
    median = intercept + noise * (math.log(2) - 1)
    return abs(run.record["test"].get("intercept", math.nan) - float(median))


def _of_one_symbol(run: Run) -> float:
    """Divide the test cross-entropy by the number of symbols of a sample."""
    loss: float = run.record["test"].get("ref/cross_entropy", math.nan)
    return loss / float(run.settings.get("data.symbols", math.nan))


def _rare_information(run: Run) -> float:
    """Average the bits that the test samples of the rarest class cost, if inputs say nothing."""
    scores = run.scores
    if scores is None or not run.settings.get("data.constant"):
        return math.nan
    rare = ~np.isnan(scores.values["rare_recall"])
    return float(scores.values["nll"][rare].mean()) / NATS_PER_BIT


def _information_of_share(run: Run) -> float:
    """Compute the information of the rarest class of a channel whose input says nothing."""
    if not run.settings.get("data.constant"):
        return math.nan
    others = run.settings["data.alphabet"] - 1
    return self_information(run.settings["data.noise"] / others)


def _ece_of_softmax(run: Run) -> float:
    """Return the calibration error of the softmax of the logits, for any inverse link."""
    test = run.record["test"]
    return float(test.get("ece_raw", test.get("ece", math.nan)))


MEASURES: dict[str, tuple[Metric, Callable[[Run], float]]] = {
    "nll": (
        METRICS["nll"],
        lambda run: math.nan if run.scores is None else float(run.scores.values["nll"].mean()),
    ),
    "ece_of_softmax": (
        Metric("ece_of_softmax", "calibration error (ECE) of the softmax", "lower", low=0, high=1),
        _ece_of_softmax,
    ),
    "gradient_norm": (
        Metric("gradient_norm", "first logged gradient norm", low=0),
        lambda run: curve_value(run, "train/grad_norm", 0),
    ),
    "train_val_gap": (
        Metric("train_val_gap", "validation loss minus training loss", "lower"),
        _gap,
    ),
    "training_return": (
        Metric("training_return", "mean return of the last 100 training episodes", "higher"),
        lambda run: curve_value(run, "train/return_mean", -1),
    ),
    "median_error": (
        Metric("median_error", "intercept's distance from the line of medians", "lower", low=0),
        _median_error,
    ),
    "loss_per_symbol": (
        Metric("loss_per_symbol", "cross-entropy per symbol", "lower", unit="nats", low=0),
        _of_one_symbol,
    ),
    "rare_information": (
        Metric("rare_information", "test loss of the rarest class", unit="bits", low=0),
        _rare_information,
    ),
    "information_of_share": (
        Metric("information_of_share", "share in bits, -log2 p", unit="bits", low=0),
        _information_of_share,
    ),
    **descent.MEASURES,
    **linear_networks.MEASURES,
}
"""Metrics that are computed from a run's curves and settings, with their functions."""


def metric_named(name: str, row: Row) -> Metric:
    """Return the metric or measure with this name for a row's task."""
    measure = MEASURES.get(name) or COMPARISONS.get(name)
    return measure[0] if measure else metric_of(name, row.runs[0].config["task"])
