"""Charts of a claim: metrics against the swept setting, one line per row, bands over seeds."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losslab.analysis import statistics
from losslab.analysis.comparison_groups import Row
from losslab.analysis.load import Run
from losslab.analysis.summaries import summarize
from losslab.gallery.claim import Chart
from losslab.gallery.rows import baseline, has, metric_named, setting, without
from losslab.metrics.labels import Metric, metric_of
from losslab.report.figures.style import COLOURS, MARKERS

DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))


def draw_chart(chart: Chart, rows: Sequence[Row]) -> Figure:
    """Draw a chart, one panel per metric."""
    shown = [row for row in rows if has(row, chart.where or {})]
    if chart.baselines:
        shown += _baselines(shown, chart)
    panels = len(chart.metrics)
    height = 3.4 if chart.along else 1.1 + 0.32 * len(shown)
    figure = Figure(figsize=(min(4.2 * panels, 13), height), layout="constrained")
    all_axes = figure.subplots(1, panels, squeeze=False)[0]
    for axes, name in zip(all_axes, chart.metrics, strict=True):
        metric = metric_named(name, shown[0])
        if chart.along is None:
            _dots(axes, shown, metric, chart)
        else:
            _lines(axes, shown, metric, chart)
    if chart.along is None:
        for axes in all_axes[1:]:
            axes.set_yticklabels([])  # the first panel names the rows
    else:
        handles, labels = all_axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _baselines(rows: Sequence[Row], chart: Chart) -> list[Row]:
    """Return one row per baseline and place on the axis, of any loss: they do not depend on it."""
    places = {setting(row, chart.along) if chart.along else None: row for row in reversed(rows)}
    return [baseline(row, name) for name in chart.baselines for row in places.values()]


def _lines(axes: Axes, rows: Sequence[Row], metric: Metric, chart: Chart) -> None:
    assert chart.along is not None
    series: dict[str, list[Row]] = {}
    flat = []
    for row in rows:
        if setting(row, chart.along) is None:
            flat.append(row)
        else:
            series.setdefault(without(row, chart.along, *chart.dependent_keys), []).append(row)
    for place, (label, unsorted) in enumerate(series.items()):
        line = sorted(unsorted, key=lambda row: setting(row, str(chart.along)))
        places = [float(setting(row, chart.along)) for row in line]
        summaries = [summarize(row, metric) for row in line]
        means, low, high = (
            [metric.scale * value for value in values]
            for values in (
                [each.mean for each in summaries],
                [each.interval.low for each in summaries],
                [each.interval.high for each in summaries],
            )
        )
        if all(math.isnan(mean) for mean in means):
            continue
        look = _look(place)
        axes.plot(places, means, label=label, markersize=4, **look)  # type: ignore[arg-type]
        axes.fill_between(places, low, high, color=look["color"], alpha=0.15, linewidth=0)
    for place, row in enumerate(flat, len(series)):
        _level(axes, row, metric, place)
    if chart.log:
        found = {setting(row, chart.along) for row in rows} - {None}
        _log_axis(axes, sorted(map(float, found)))
    if metric.name in chart.log_y:
        axes.set_yscale("log")
    axes.set(xlabel=_words(chart.along), ylabel=fill(metric.header, 30))
    axes.grid(alpha=0.3)


def _level(axes: Axes, row: Row, metric: Metric, place: int) -> None:
    """Draw a row without the swept setting as a horizontal line."""
    summary = summarize(row, metric)
    if not summary.n:
        return
    look = _look(place)
    axes.axhline(
        metric.scale * summary.mean,
        color=str(look["color"]),
        linestyle=look["linestyle"],
        label=row.label,
    )
    axes.axhspan(
        metric.scale * summary.interval.low,
        metric.scale * summary.interval.high,
        color=str(look["color"]),
        alpha=0.12,
        linewidth=0,
    )


def _log_axis(axes: Axes, places: Sequence[float]) -> None:
    """Make the axis logarithmic with a tick per swept value; 0 is placed left of the others."""
    positive = [place for place in places if place > 0]
    if len(positive) < len(places):
        axes.set_xscale("symlog", linthresh=min(positive))
    else:
        axes.set_xscale("log")
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.minorticks_off()


def _dots(axes: Axes, rows: Sequence[Row], metric: Metric, chart: Chart) -> None:
    """Draw mean and 95 % interval per row, and its seeds as small dots."""
    places = range(len(rows))[::-1]
    for place, height, row in zip(range(len(rows)), places, rows, strict=True):
        summary = summarize(row, metric)
        if not summary.n:
            continue
        colour = COLOURS[place % len(COLOURS)]
        values = [metric.scale * value for value in summary.values.values()]
        low, high = (metric.scale * end for end in summary.interval[:2])
        axes.plot(values, [height - 0.22] * len(values), ".", color=colour, alpha=0.4, markersize=4)
        axes.plot([low, high], [height, height], color=colour, linewidth=2)
        marker = MARKERS[place % len(MARKERS)]
        axes.plot(metric.scale * summary.mean, height, marker, color=colour, markersize=5)
    axes.set_yticks(places, [without(row, *chart.dependent_keys) for row in rows])
    axes.set(xlabel=fill(metric.header, 30), ylim=(-0.6, len(rows) - 0.4))
    axes.grid(alpha=0.3, axis="x")


def _look(place: int) -> dict[str, object]:
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": DASHES[place % len(DASHES)],
        "marker": MARKERS[place % len(MARKERS)],
    }


def _words(key: str) -> str:
    """Return the axis label of a setting."""
    words = key.rpartition(".")[2].replace("_", " ")
    return f"{words} ({key})" if "." in key else words


# --- curves ---------------------------------------------------------------------------------------


def draw_curves(
    rows: Sequence[Row],
    labels: Sequence[str],
    name: str,
    axis: str,
    per_epoch: str | None = None,
    *,
    log: bool = False,
) -> Figure:
    """Draw a curve per row: mean and 95 % interval over seeds, and thin lines per seed.

    Args:
        rows: rows from :func:`losslab.gallery.rows.rows_of`.
        labels: their labels in the legend.
        name: name of the curve, such as ``val/return_mean``.
        axis: label of the horizontal axis.
        per_epoch: setting with the number of steps per epoch along this axis; ``None`` for epochs.
        log: whether the vertical axis is logarithmic.
    """
    figure = Figure(figsize=(6.5, 3.8), layout="constrained")
    axes = figure.subplots()
    metric = metric_of(name.partition("/")[2], rows[0].runs[0].config["task"])
    for place, (row, label) in enumerate(zip(rows, labels, strict=True)):
        look = _look(place)
        count = setting(row, per_epoch) if per_epoch else 1
        each = [_points(run, name, count) for run in row.done]
        for steps, values in each:
            axes.plot(steps, values, color=str(look["color"]), alpha=0.2, linewidth=0.7)
        steps, matrix = _common(each)
        ends = np.array([statistics.mean_interval(column)[:2] for column in matrix.T])
        axes.plot(steps, matrix.mean(axis=0), color=str(look["color"]), label=label)
        low, high = np.clip(ends, metric.low, metric.high).T
        axes.fill_between(steps, low, high, color=look["color"], alpha=0.2, linewidth=0)
    axes.set(xlabel=axis, ylabel=metric.header)
    if log:
        axes.set_yscale("log")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    return figure


def _points(run: Run, name: str, per_epoch: int) -> tuple[np.ndarray, np.ndarray]:
    rows = run.curves[run.curves["name"] == name]
    return (rows["epoch"].to_numpy() + 1) * per_epoch, rows["value"].to_numpy()


def _common(each: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate the runs at the first run's steps, up to the end of the shortest run."""
    last = min(steps[-1] for steps, _ in each)
    steps = each[0][0][each[0][0] <= last]
    return steps, np.stack([np.interp(steps, *points) for points in each])


# --- further figures ------------------------------------------------------------------------------


def histograms(weights: Mapping[str, np.ndarray]) -> Figure:
    """Draw a histogram of each row's weights, with logarithmic counts."""
    figure = Figure(figsize=(min(3.6 * len(weights), 12), 3), layout="constrained")
    all_axes = figure.subplots(1, len(weights), squeeze=False, sharex=True, sharey=True)[0]
    end = max(float(np.abs(each).max()) for each in weights.values())
    edges = np.linspace(-end, end, 82)
    for place, (axes, (label, values)) in enumerate(zip(all_axes, weights.items(), strict=True)):
        axes.hist(values, bins=edges, color=COLOURS[place % len(COLOURS)], log=True)
        axes.set(xlabel="weight")
        axes.set_title(fill(label, 32), fontsize=9)
    all_axes[0].set_ylabel("number of weights")
    return figure


def show_side_by_side(figures: Mapping[str, Path], columns: int = 3) -> Figure:
    """Show figures that runs saved, each under its row's label."""
    from matplotlib.image import imread  # noqa: PLC0415

    lines = math.ceil(len(figures) / columns)
    images = {label: imread(path) for label, path in figures.items()}
    shape = next(iter(images.values())).shape
    across = min(columns, len(images))
    width = 12 / columns
    size = (width * across, lines * (width * shape[0] / shape[1] + 0.3))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(lines, across, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, (label, image) in zip(grid.flat, images.items(), strict=False):
        axes.imshow(image)
        axes.set_title(label, fontsize=10)
    return figure
