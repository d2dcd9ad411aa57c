"""TensorBoard summary of a sweep: means over seeds, charts and HPARAMS columns."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from losslab.runs.check import require_curves
from losslab.runs.curves import as_frame, read_columns
from losslab.runs.files import FileError
from losslab.runs.folder import find_runs, remove, short_names
from losslab.runs.record import Record, read_record
from losslab.runs.tensorboard import (
    BandTags,
    first_charts,
    number_table,
    write_curves,
    write_layout,
    write_session,
    write_sweep_experiment,
    write_text,
)

if TYPE_CHECKING:
    import pandas

MEANS = "+mean"
"""Subfolder of the sweep with the means over seeds; its name comes before those of losses."""
OBJECTIVE = "train/loss"
SEEDS = "seeds"
"""Column of the HPARAMS tab with the number of seeds of a mean."""
BANDS = "val_band"
"""Tag prefix of the bands around means; TensorBoard sorts it after ``val``."""


def write_sweep_summary(
    sweep_folder: Path, columns: Mapping[Path, Mapping[str, object]], primary: str
) -> None:
    """Write the TensorBoard summary of a sweep, replacing an earlier one.

    - A run ``+mean/<loss>`` per loss with its options: objective and validation curves averaged
      over the finished seeds under the common tags, and bands of one standard deviation.
    - CUSTOM SCALARS: these bands, then all runs on the common tags.
    - HPARAMS: one row per mean, with the columns that vary and the means of the test metrics.
    - TEXT: the same means in one table.

    Args:
        sweep_folder: folder of the runs.
        columns: result of :func:`losslab.config.schema.hparams` by run folder.
        primary: primary metric, without its split.
    """
    records, whole = _whole_runs(sweep_folder)
    means = _means({run: records[run] for run in whole})
    names = list(dict.fromkeys(name for mean in means for name in mean.test))
    shown = _task_metrics(names)
    varying = varying_columns(list(columns.values()))
    write_sweep_experiment(sweep_folder, varying, [SEEDS, *(f"test/{name}" for name in shown)])
    remove((sweep_folder / "mean").glob("*/events.out.tfevents.*"))  # of earlier versions
    averaged: set[str] = set()
    start = min((record["heartbeat"] - record["seconds"] for record in records.values()), default=0)
    for mean in means:
        folder = sweep_folder / MEANS / mean.name
        of_mean = mean_curves([_averaged(as_frame(read_columns(run))) for run in mean.runs])
        averaged |= _write_mean(folder, of_mean, start, primary)
        own = columns.get(mean.runs[0], {})
        _write_row(folder, mean, {name: own[name] for name in varying if name in own})
    write_text(sweep_folder, _results_table(means, shown))
    write_layout(sweep_folder, _charts([name for name in names if name in averaged]))


def _whole_runs(sweep_folder: Path) -> tuple[dict[Path, Record], list[Path]]:
    """Return the records of the whole runs, and the finished ones, whose curves are averaged."""
    records, done = {}, []
    for run in find_runs(sweep_folder):
        with suppress(FileError, FileNotFoundError):  # damaged, or without its curves
            record = read_record(run)
            if record["status"] == "done":
                require_curves(run, record, read_columns(run))
                done.append(run)
            records[run] = record
    return records, done


def _averaged(curves: "pandas.DataFrame") -> "pandas.DataFrame":
    """Return the validation curves and the objective of a run."""
    names = curves["name"]
    return curves[names.str.startswith("val/") | (names == OBJECTIVE)]


def _task_metrics(names: Sequence[str]) -> list[str]:
    """Return the metrics that are not losses."""
    return [name for name in names if not name.startswith("ref/") and name != "loss"]


@dataclass(frozen=True)
class Mean:
    """Finished seeds of a loss with its options."""

    name: str
    cell: str
    runs: tuple[Path, ...]
    test: Mapping[str, float]
    """Means of the test metrics that all of the runs have."""


def _means(records: Mapping[Path, Record]) -> list[Mean]:
    """Return the means of finished runs."""
    groups: dict[str, list[Path]] = {}
    for run, record in records.items():
        groups.setdefault(record["cell"], []).append(run)
    names = short_names(list(groups))
    return [
        Mean(name, cell, tuple(runs), _mean([records[run]["test"] for run in runs]))
        for name, (cell, runs) in zip(names, groups.items(), strict=True)
    ]


def _mean(results: Sequence[Mapping[str, float]]) -> dict[str, float]:
    common = [name for name in results[0] if all(name in result for result in results)]
    return {name: fmean(result[name] for result in results) for name in common}


def _write_row(folder: Path, mean: Mean, settings: Mapping[str, object]) -> None:
    """Write the row of a mean in the HPARAMS tab."""
    given = {name: value for name, value in settings.items() if value is not None}
    results = {f"test/{name}": value for name, value in mean.test.items()}
    write_session(folder, {**given, SEEDS: len(mean.runs), **results}, mean.cell)


def _results_table(means: Sequence[Mean], names: Sequence[str]) -> str:
    """Return a Markdown table of the means, one row per metric."""
    columns = {
        mean.name: {name: mean.test[name] for name in names if name in mean.test} for mean in means
    }
    return f"Test, mean over seeds\n\n{number_table('metric', columns)}"


def _charts(names: Sequence[str]) -> dict[str, dict[str, Sequence[str] | BandTags]]:
    """Return the charts of the metrics that have curves, by category."""
    metrics = _task_metrics(names)
    references = {name.removeprefix("ref/"): name for name in names if name.startswith("ref/")}
    charts: dict[str, dict[str, Sequence[str] | BandTags]] = {
        "Mean over seeds, band of ± 1 standard deviation": {name: _band(name) for name in metrics},
        "Mean over seeds, evaluated by the other losses": {
            short: _band(name) for short, name in references.items()
        },
        "Metrics, all runs": {name: [f"val/{name}"] for name in metrics},
        "Evaluated by the other losses, all runs": {
            short: [f"val/{name}"] for short, name in references.items()
        },
        "Training objective of each run": {"train": ["train/loss"], "validation": ["val/loss"]},
    }
    return {title: its for title, its in charts.items() if its}


def _band(name: str) -> BandTags:
    return BandTags(*(f"{BANDS}/{name}/{part}" for part in ("mean", "lower", "upper")))


def varying_columns(columns: Sequence[Mapping[str, object]]) -> dict[str, list[object]]:
    """Return the values of the columns that vary, and of the loss, without the seed.

    Example:
        >>> runs = [{"loss": "mse", "lr": 0.1}, {"loss": "huber", "lr": 0.1, "loss.delta": 1.0}]
        >>> varying_columns(runs)
        {'loss': ['mse', 'huber']}
    """
    values: dict[str, list[object]] = {}
    for row in columns:
        for name, value in row.items():
            seen = values.setdefault(name, [])
            seen += [] if value in seen else [value]
    return {
        name: seen
        for name, seen in values.items()
        if name == "loss" or (len(seen) > 1 and name != "seed")
    }


def _write_mean(folder: Path, means: "pandas.DataFrame", start: float, primary: str) -> set[str]:
    """Write the mean curves.

    Returns:
        Names of the metrics that have a mean, without ``val/``.
    """
    write_curves(folder, _points(means, start, f"val/{primary}"))
    return {name.removeprefix("val/") for name in means["name"] if name.startswith("val/")}


def mean_curves(curves: Sequence["pandas.DataFrame"]) -> "pandas.DataFrame":
    """Compute mean and standard deviation of curves over runs.

    Columns are ``name``, ``step``, ``seconds``, ``mean`` and ``deviation`` (0 for a single run),
    with one row per step at which all runs have a value.
    """
    import pandas as pd  # noqa: PLC0415  (a third of a second that training does not need)

    groups = pd.concat(curves).groupby(["name", "step"], sort=True)
    table = groups.agg(
        seconds=("seconds", "mean"),
        mean=("value", "mean"),
        deviation=("value", "std"),
        count=("value", "size"),
    ).reset_index()
    return table[table["count"] == len(curves)].drop(columns="count").fillna({"deviation": 0.0})


def _points(
    means: "pandas.DataFrame", start: float, first: str
) -> Iterator[tuple[float, int, dict[str, float]]]:
    """Yield the TensorBoard events of a mean."""
    # TensorBoard lists runs and assigns its few colours in the order in which they began
    yield start - 60, 0, {}
    row: Any
    for row in means.itertuples():
        values = first_charts({row.name: row.mean}, [OBJECTIVE, first])
        if row.name.startswith("val/"):
            band = _band(row.name.removeprefix("val/"))
            values |= {
                band.value: row.mean,
                band.lower: row.mean - row.deviation,
                band.upper: row.mean + row.deviation,
            }
        yield start + row.seconds, row.step, values
