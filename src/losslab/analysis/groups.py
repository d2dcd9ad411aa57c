"""Which runs are compared with which: rows that differ in the loss, under equal conditions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from losslab.analysis.load import Run, Settings, group, settings_key
from losslab.config.schema import meaning

ABSENT = "none"
"""What is shown for a setting that a run does not have."""


@dataclass(frozen=True, eq=False)
class Row:
    """The runs that have the same settings but for the seed, ordered by it: one row of a table."""

    label: str
    """Legible, and unique among the rows it is compared with: ``focal``, ``focal (gamma=1)``."""
    runs: tuple[Run, ...]

    @property
    def loss(self) -> str:
        """The loss by its name in conf/."""
        return self.runs[0].loss

    @property
    def settings(self) -> Settings:
        """What all runs of the row share."""
        return self.runs[0].settings

    @property
    def done(self) -> tuple[Run, ...]:
        """The runs that are finished."""
        return tuple(run for run in self.runs if run.outcome == "done")

    @property
    def failed(self) -> tuple[Run, ...]:
        """The runs that the loss itself ended: diverged, or an error in mid-run."""
        return tuple(run for run in self.runs if run.outcome in ("diverged", "failed"))

    @property
    def absent(self) -> tuple[Run, ...]:
        """The runs that say nothing yet: running, interrupted, out of memory."""
        return tuple(run for run in self.runs if run.outcome in ("running", "missing"))

    @property
    def by_seed(self) -> dict[int, Run]:
        """The runs by their seed."""
        return {run.seed: run for run in self.runs}


@dataclass(frozen=True)
class Difference:
    """A setting in which compared rows differ, beside the loss with its options and the seed."""

    key: str
    """``optimizer.lr``, or a config group such as ``model``."""
    values: Mapping[str, tuple[str, ...]]
    """The labels of the rows by the setting's value, as text."""

    def __str__(self) -> str:
        sides = (f"{value} for {', '.join(labels)}" for value, labels in self.values.items())
        return f"{self.key}: {'; '.join(sides)}"


@dataclass(frozen=True, eq=False)
class ComparisonGroup:
    """The rows that are compared with each other: on one data set, and else like for like."""

    name: str
    """Its name: the data set and what differs from other groups, ``digits, imbalance=0.05``."""
    data: str
    rows: tuple[Row, ...]
    confounders: tuple[Difference, ...]
    """What differs between the rows although it should not."""
    shared: tuple[str, ...]
    """What every command line of the rows asked for: ``trainer.max_epochs=3``."""


def comparison_groups(runs: Iterable[Run]) -> list[ComparisonGroup]:
    """Sort runs into rows, and rows into comparison groups.

    Runs that differ in nothing but the seed are a row. Rows on one data set, of tasks that are
    judged by the same metrics, are compared. A setting that varies within a loss, such as a
    learning rate swept for every loss, makes groups of its own, so that losses are compared
    at equal settings; where that leaves nothing to be compared, it is what is compared. A setting
    that varies between losses alone is reported as a difference.
    """
    rows = group(runs, settings_key)
    parts = [
        part
        for data_set in _data_sets(rows)
        for judged_alike in _split(data_set, lambda row: tuple(row[0].judges))
        for part in _like_for_like(judged_alike)
    ]
    names = _names(parts)
    return [_conditions(part, name) for part, name in zip(parts, names, strict=True)]


_Rows = list[list[Run]]


def _data_sets(rows: _Rows) -> list[_Rows]:
    """Rows on one data set together: by its settings, or by the hashes of common seeds."""

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
    """Whether the data of every common seed, of which there is one, have the same hash."""
    first, second = (
        {run.seed: run.record["hashes"].get("data") for row in rows for run in row}
        for rows in (one, other)
    )
    common = first.keys() & second.keys()
    return bool(common) and all(first[seed] and first[seed] == second[seed] for seed in common)


def _like_for_like(rows: _Rows) -> list[_Rows]:
    """Split by the settings that vary within a loss, where that leaves rows to compare."""
    within: dict[str, None] = {}
    for same_loss in _split(rows, lambda row: row[0].loss):
        within |= dict.fromkeys(_varying([row[0].settings for row in same_loss]))
    parts = _split(rows, lambda row: tuple(row[0].settings.get(key, ABSENT) for key in within))
    return parts if any(len(part) > 1 for part in parts) else [rows]


def _conditions(rows: _Rows, name: str) -> ComparisonGroup:
    labels = _labels(rows)
    named = tuple(
        Row(label, tuple(sorted(row, key=lambda run: run.seed)))
        for label, row in zip(labels, rows, strict=True)
    )
    confounders = tuple(
        _difference(key, named) for key in _varying([row.settings for row in named])
    )
    return ComparisonGroup(name, rows[0][0].data, named, confounders, _shared(named, name))


# --- what varies ----------------------------------------------------------------------------------


def _is_loss_option(key: str) -> bool:
    return key == "choices.loss" or key.startswith("loss.")


def _varying(settings: Sequence[Settings]) -> list[str]:
    """The keys that differ, but for the loss and its options.

    Where a whole group was chosen differently, its name stands for the keys that follow from it.
    """
    keys = dict.fromkeys(key for each in settings for key in each if not _is_loss_option(key))
    varying = [key for key in keys if _varies(key, settings)]
    chosen = [key.removeprefix("choices.") for key in varying if key.startswith("choices.")]
    return [key for key in varying if not _follows(key, chosen, settings)]


def _varies(key: str, settings: Sequence[Settings]) -> bool:
    return len({each.get(key, ABSENT) for each in settings}) > 1


def _follows(key: str, chosen: Sequence[str], settings: Sequence[Settings]) -> bool:
    """Whether a key's value follows from the choice of its group."""
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
    """The data sets' names, with what varies among the comparison groups on one."""
    names = []
    for rows in parts:
        data = rows[0][0].data
        settings = [row[0].settings for row in rows]
        alike = [other[0][0].settings for other in parts if other[0][0].data == data]
        told = [key for key in _varying(alike) if key in settings[0]]
        alone = [key for key in told if not _varies(key, settings)]
        names.append(", ".join([data, *(f"{_short(k)}={_text(settings[0][k])}" for k in alone)]))
    return names


def _labels(rows: _Rows) -> list[str]:
    """The loss, with those of its options that were given or vary, and with what varies else."""
    labels = []
    for row in rows:
        run = row[0]
        same_loss = [other[0].settings for other in rows if other[0].loss == run.loss]
        options = [
            key
            for key in run.settings
            if key.startswith("loss.") and (key in _given(run) or _varies(key, same_loss))
        ]
        options += [key for key in _varying(same_loss) if key in run.settings]
        texts = [f"{_short(key)}={_text(run.settings[key])}" for key in options]
        labels.append(f"{run.loss} ({', '.join(texts)})" if texts else run.loss)
    return labels


def _given(run: Run) -> set[str]:
    return {override.partition("=")[0].lstrip("+") for override in run.overrides}


def _shared(rows: Sequence[Row], name: str) -> tuple[str, ...]:
    """The overrides that all runs have, without what the name says or does not bear on results."""
    runs = [run for row in rows for run in row.runs]
    common = set.intersection(*(set(run.overrides) for run in runs))
    return tuple(
        override
        for override in runs[0].overrides
        if override in common
        and (row := meaning(key := override.partition("=")[0].lstrip("+"))).affects_results
        and not row.told
        and not key.startswith("loss.")
        and _short(override) not in name.split(", ")
    )


def _short(key: str) -> str:
    """A setting's name where it is plain whose it is."""
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
