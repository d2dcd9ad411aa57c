"""Group runs for comparison: rows that differ in the loss, under otherwise equal settings."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from losslab.analysis.load import Run, Settings, group_by, settings_key
from losslab.config.schema import meaning
from losslab.runs.folder import label_of

ABSENT = "none"
"""Shown for a setting that a run does not have."""
_OBJECT = re.compile(r"\{_target_: *(?:\w+\.)*(\w+)[^{}]*\}")
"""Object with options, as overrides write it; the group is its class."""


@dataclass(frozen=True, eq=False)
class Row:
    """Runs that differ only in the seed, ordered by it: one row of a table."""

    label: str
    """Label that is unique within the comparison group: ``focal``, ``focal (gamma=1)``."""
    runs: tuple[Run, ...]

    @property
    def loss(self) -> str:
        """Name of the loss in conf/."""
        return self.runs[0].loss

    @property
    def settings(self) -> Settings:
        """Settings that all runs of the row share."""
        return self.runs[0].settings

    @property
    def done(self) -> tuple[Run, ...]:
        """Finished runs."""
        return tuple(run for run in self.runs if run.outcome == "done")

    @property
    def failed(self) -> tuple[Run, ...]:
        """Runs that diverged or raised an error, which counts against the loss."""
        return tuple(run for run in self.runs if run.outcome in ("diverged", "failed"))

    @property
    def absent(self) -> tuple[Run, ...]:
        """Runs without a result that counts: running, interrupted or out of memory."""
        return tuple(run for run in self.runs if run.outcome in ("running", "missing"))

    @property
    def by_seed(self) -> dict[int, Run]:
        """Runs by seed."""
        return {run.seed: run for run in self.runs}


@dataclass(frozen=True)
class Difference:
    """Setting, other than the loss, its options and the seed, in which compared rows differ."""

    key: str
    """Key such as ``optimizer.lr``, or a config group such as ``model``."""
    values: Mapping[str, tuple[str, ...]]
    """Row labels by the setting's value as text."""

    def __str__(self) -> str:
        sides = (f"{value} for {', '.join(labels)}" for value, labels in self.values.items())
        return f"{self.key}: {'; '.join(sides)}"


@dataclass(frozen=True, eq=False)
class ComparisonGroup:
    """Rows that are compared with each other: same data set, otherwise equal settings."""

    name: str
    """Data set and what distinguishes the group from others: ``digits, imbalance=0.05``."""
    data: str
    rows: tuple[Row, ...]
    confounders: tuple[Difference, ...]
    """Settings that differ between the rows although they should not."""
    shared: tuple[str, ...]
    """Overrides that all command lines share: ``trainer.max_epochs=3``."""


def comparison_groups(runs: Iterable[Run]) -> list[ComparisonGroup]:
    """Group runs into rows, and rows into comparison groups.

    Runs that differ only in the seed form a row. Rows on one data set whose tasks have the same
    metrics are compared. A setting that varies within a loss, such as a learning rate swept for
    every loss, splits the rows into groups, so that losses are compared at equal settings; if no
    group would have two rows, the setting itself is compared. A setting that varies only between
    losses is reported as a confounder.
    """
    rows = group_by(runs, settings_key)
    parts = [
        part
        for data_set in _data_sets(rows)
        for same_metrics in _split(data_set, lambda row: tuple(row[0].metric_names))
        for part in _equal_settings(same_metrics)
    ]
    names = _names(parts)
    return [_comparison_group(part, name) for part, name in zip(parts, names, strict=True)]


_Rows = list[list[Run]]


def _data_sets(rows: _Rows) -> list[_Rows]:
    """Group rows by data set: by its settings, or by the hashes of common seeds."""

    def key(row: list[Run]) -> Any:
        own = [item for item in row[0].settings.items() if item[0].startswith("data.")]
        return row[0].data, tuple(sorted(own))

    sets: list[_Rows] = []
    for candidate in _split(rows, key):
        for known in sets:
            if _same_data(known, candidate):
                known.extend(candidate)
                break
        else:
            sets.append(candidate)
    return sets


def _same_data(one: _Rows, other: _Rows) -> bool:
    """Return whether there are common seeds and the data have the same hash at each of them."""
    first, second = (
        {run.seed: run.record["hashes"].get("data") for row in rows for run in row}
        for rows in (one, other)
    )
    common = first.keys() & second.keys()
    return bool(common) and all(first[seed] and first[seed] == second[seed] for seed in common)


def _equal_settings(rows: _Rows) -> list[_Rows]:
    """Split by the settings that vary within a loss, if that leaves rows to compare."""
    within: dict[str, None] = {}
    for same_loss in _split(rows, lambda row: row[0].loss):
        within |= dict.fromkeys(_varying([row[0].settings for row in same_loss]))
    parts = _split(rows, lambda row: tuple(row[0].settings.get(key, ABSENT) for key in within))
    return parts if any(len(part) > 1 for part in parts) else [rows]


def _comparison_group(rows: _Rows, name: str) -> ComparisonGroup:
    labels = _labels(rows)
    named = tuple(
        Row(label, tuple(sorted(row, key=lambda run: run.seed)))
        for label, row in zip(labels, rows, strict=True)
    )
    confounders = tuple(
        _difference(key, named) for key in _varying([row.settings for row in named])
    )
    return ComparisonGroup(name, rows[0][0].data, named, confounders, _shared(named, name))


# --- varying settings -----------------------------------------------------------------------------


def _is_loss_option(key: str) -> bool:
    return key == "choices.loss" or key.startswith("loss.")


def _varying(settings: Sequence[Settings]) -> list[str]:
    """Return the keys that differ, except the loss and its options.

    If a config group was chosen differently, it stands for the keys that follow from the choice.
    """
    keys = dict.fromkeys(key for each in settings for key in each if not _is_loss_option(key))
    varying = [key for key in keys if _varies(key, settings)]
    chosen = [key.removeprefix("choices.") for key in varying if key.startswith("choices.")]
    return [key for key in varying if not _follows(key, chosen, settings)]


def _varies(key: str, settings: Sequence[Settings]) -> bool:
    return len({each.get(key, ABSENT) for each in settings}) > 1


def _follows(key: str, chosen: Sequence[str], settings: Sequence[Settings]) -> bool:
    """Return whether a key's value is determined by the choice of its config group."""
    part = key.partition(".")[0]
    if part not in chosen:
        return False
    values: dict[Any, set[Any]] = {}
    for each in settings:
        values.setdefault(each.get(f"choices.{part}"), set()).add(each.get(key, ABSENT))
    return all(len(seen) == 1 for seen in values.values())


def _difference(key: str, rows: Sequence[Row]) -> Difference:
    values: dict[str, list[str]] = {}
    for row in rows:
        values.setdefault(_text(row.settings.get(key)), []).append(row.label)
    return Difference(
        key.removeprefix("choices."), {value: tuple(labels) for value, labels in values.items()}
    )


# --- names ----------------------------------------------------------------------------------------


def _names(parts: Sequence[_Rows]) -> list[str]:
    """Name each comparison group by its data set and what varies among groups on the same data."""
    names = []
    for rows in parts:
        data = rows[0][0].data
        settings = [row[0].settings for row in rows]
        alike = [other[0][0].settings for other in parts if other[0][0].data == data]
        varying = [key for key in _varying(alike) if key in settings[0]]
        fixed = [key for key in varying if not _varies(key, settings)]
        names.append(", ".join([data, *(f"{_short(k)}={_text(settings[0][k])}" for k in fixed)]))
    return names


def _labels(rows: _Rows) -> list[str]:
    """Label each row by its loss, the options that were given or vary, and what else varies."""
    varying = {
        same[0][0].loss: _varying_within([row[0].settings for row in same])
        for same in _split(rows, lambda row: row[0].loss)
    }
    labels = []
    for row in rows:
        run = row[0]
        of_loss, others = varying[run.loss]
        options = [
            key
            for key in run.settings
            if key.startswith("loss.")
            and (key in of_loss or (key in _given(run) and not _in_name(key, run)))
        ]
        options += [key for key in others if key in run.settings]
        texts = [f"{_short(key)}={_text(run.settings[key])}" for key in options]
        labels.append(f"{run.loss} ({', '.join(texts)})" if texts else run.loss)
    return labels


def _varying_within(settings: Sequence[Settings]) -> tuple[set[str], list[str]]:
    """Return the options of a loss that vary between its rows, and what else varies."""
    keys = {key for each in settings for key in each if key.startswith("loss.")}
    return {key for key in keys if _varies(key, settings)}, _varying(settings)


def _names_choice(key: str, run: Run) -> bool:
    """Return whether the key is part of the name of the choice.

    Such are a replaced ``_target_``, whose class is the name, and the weights of a sum.
    """
    of_sum = key.startswith("loss.of.") and "loss=sum" in run.overrides
    return key.endswith("._target_") or (of_sum and key.endswith(".weight"))


def _in_name(key: str, run: Run) -> bool:
    """Return whether a label stands for the option, or it is part of the name of the choice."""
    return label_of(run.overrides) is not None or _names_choice(key, run)


def _given(run: Run) -> set[str]:
    return {override.partition("=")[0].lstrip("+") for override in run.overrides}


def _shared(rows: Sequence[Row], name: str) -> tuple[str, ...]:
    """Return the overrides of all runs, except those in the name or irrelevant to results.

    Data in the folder of the sweep were given in Python: the name of their file says nothing.
    """
    runs = [run for row in rows for run in row.runs]
    common = set.intersection(*(set(run.overrides) for run in runs))
    return tuple(
        _for_title(override.lstrip("+"))
        for override in runs[0].overrides
        if override in common
        and not _names_choice(override.partition("=")[0], runs[0])
        and (row := meaning(key := override.partition("=")[0].lstrip("+"))).affects_results
        and not row.in_label
        and not key.startswith("loss.")
        and not (key == "data.path" and _path(override).parent in runs[0].folder.resolve().parents)
        and _short(override) not in name.split(", ")
    )


def _for_title(override: str) -> str:
    """Shorten the path of a file to its name, and listed objects to their classes.

    Example:
        >>> _for_title("data.path='/home/me/my data.csv'")
        'data.path=my data.csv'
        >>> _for_title("data.augment=[{_target_: torchvision.transforms.v2.RandomCrop, size: 28}]")
        'data.augment=[RandomCrop]'
    """
    key, _, _ = override.partition("=")
    return f"{key}={_path(override).name}" if key == "data.path" else _OBJECT.sub(r"\1", override)


def _path(override: str) -> Path:
    return Path(override.partition("=")[2].strip("'"))


def _short(key: str) -> str:
    """Strip the prefix of a setting whose group is clear from the context."""
    return key.removeprefix("choices.").removeprefix("loss.").removeprefix("data.")


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return ABSENT if value is None else str(value)


def _split(rows: _Rows, key: Callable[[list[Run]], Any]) -> list[_Rows]:
    parts: dict[Any, _Rows] = {}
    for row in rows:
        parts.setdefault(key(row), []).append(row)
    return list(parts.values())
