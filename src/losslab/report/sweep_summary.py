"""TensorBoard summary of a sweep: means over seeds, charts and HPARAMS columns."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losslab.runs.check import require_curves
from losslab.runs.curves import read_curves
from losslab.runs.files import FileError
from losslab.runs.folder import find_runs, short_names
from losslab.runs.record import Record, read_record
from losslab.runs.tensorboard import BandTags, write_curves, write_layout, write_sweep_experiment

if TYPE_CHECKING:
    import pandas

MEANS = "mean"
"""Subfolder of the sweep with the runs that are means over seeds."""
BANDS = "val_band"
"""Tag prefix of the bands around means; TensorBoard sorts it after ``val``."""


def write_sweep_summary(sweep_folder: Path, columns: Sequence[Mapping[str, object]]) -> None:
    """Write the TensorBoard summary of a sweep, replacing an earlier one.

    - A run ``mean/<loss>`` per loss with its options: validation curves averaged over the
      finished seeds under the common tags, and a band of one standard deviation.
    - CUSTOM SCALARS: these bands, then all runs on the common tags.
    - HPARAMS: test metrics averaged over seeds, with the columns that vary between runs.

    Args:
        sweep_folder: folder of the runs.
        columns: result of :func:`losslab.config.schema.hparams` for each run.
    """
    records = dict(_whole_runs(sweep_folder))
    names = list(dict.fromkeys(name for record in records.values() for name in record["test"]))
    metrics = [f"test/{name}" for name in names if not name.startswith("ref/") and name != "loss"]
    write_sweep_experiment(sweep_folder, varying_columns(columns), metrics)
    averaged = write_means(sweep_folder, records)
    write_layout(sweep_folder, _charts([name for name in names if name in averaged]))


def _whole_runs(sweep_folder: Path) -> Iterator[tuple[Path, Record]]:
    for run in find_runs(sweep_folder):
        with suppress(FileError):  # a damaged run has no curves to average
            record = read_record(run)
            if record["status"] == "done":
                require_curves(run, record, read_curves(run))
            yield run, record


def _charts(names: Sequence[str]) -> dict[str, dict[str, Sequence[str] | BandTags]]:
    """Return the charts of the metrics that have curves, by category."""
    metrics = [name for name in names if not name.startswith("ref/") and name != "loss"]
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


def write_means(sweep_folder: Path, records: Mapping[Path, Record]) -> set[str]:
    """Write a run ``mean/<loss>`` for each loss with its options that has finished runs.

    Means are taken at the steps that all finished seeds of the loss have.

    Returns:
        Names of the metrics that have a mean, without ``val/``.
    """
    groups: dict[str, list[Path]] = {}
    for run, record in records.items():
        if record["status"] == "done":
            groups.setdefault(record["cell"], []).append(run)
    start = min((record["heartbeat"] - record["seconds"] for record in records.values()), default=0)
    averaged: set[str] = set()
    for name, runs in zip(short_names(list(groups)), groups.values(), strict=True):
        means = mean_curves([read_curves(run) for run in runs])
        write_curves(sweep_folder / MEANS / name, _points(means, start))
        averaged |= set(means["name"].str.removeprefix("val/"))
    return averaged


def mean_curves(curves: Sequence["pandas.DataFrame"]) -> "pandas.DataFrame":
    """Compute mean and standard deviation over runs of every validation curve.

    Columns are ``name``, ``step``, ``seconds``, ``mean`` and ``deviation`` (0 for a single run),
    with one row per step at which all runs have a value.
    """
    import pandas as pd  # noqa: PLC0415  (a third of a second that training does not need)

    rows = pd.concat(curves)
    rows = rows[rows["name"].str.startswith("val/")]
    groups = rows.groupby(["name", "step"], sort=True)
    table = groups.agg(
        seconds=("seconds", "mean"),
        mean=("value", "mean"),
        deviation=("value", "std"),
        count=("value", "size"),
    ).reset_index()
    return table[table["count"] == len(curves)].drop(columns="count").fillna({"deviation": 0.0})


def _points(
    means: "pandas.DataFrame", start: float
) -> Iterator[tuple[float, int, dict[str, float]]]:
    """Yield the TensorBoard events of a mean."""
    # TensorBoard lists runs and assigns its few colours in the order in which they began
    yield start - 60, 0, {}
    row: Any
    for row in means.itertuples():
        band = _band(row.name.removeprefix("val/"))
        values = {
            row.name: row.mean,
            band.value: row.mean,
            band.lower: row.mean - row.deviation,
            band.upper: row.mean + row.deviation,
        }
        yield start + row.seconds, row.step, values
