"""Metrics over training: one line per loss with a confidence band, one thin line per seed."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from losslab.analysis.comparison import ComparisonTable
from losslab.metrics.labels import Metric, metric_of
from losslab.report.figures.over_time import MeanCurve, TableCurves
from losslab.report.figures.style import (
    Look,
    NothingToDraw,
    headline,
    legend_below,
    logarithmic,
    panels,
    spans_decades,
    styled,
    table_looks,
    thinned,
    wrapped,
)

MOST_THIN_LINES = 60
"""Number of runs above which only the means are drawn, since single runs would be unreadable."""


def curve_metrics(
    table: ComparisonTable, curves: TableCurves, *, references: bool = False
) -> list[Metric]:
    """Return the table's metrics, or the reference losses, that were measured during training."""
    task = table.rows[0].runs[0].config["task"]
    if references:
        names = sorted(name for name in curves.names if name.startswith("val/ref/"))
        return [metric_of(name.removeprefix("val/"), task) for name in names]
    return [metric for metric in table.columns if f"val/{metric.name}" in curves.names]


@styled
def validation_curves(
    table: ComparisonTable, metrics: Sequence[Metric] | None = None, read: TableCurves | None = None
) -> Figure:
    """Plot validation metrics over training, one panel per metric.

    Args:
        table: comparison whose rows are the lines.
        metrics: Default: the table's metrics that were measured during training.
        read: the table's curves, if they have been read already.

    Raises:
        NothingToDraw: if no metric was measured during training.
    """
    read = read or TableCurves(table)
    metrics = curve_metrics(table, read) if metrics is None else metrics
    if not metrics:
        raise NothingToDraw(f"{table.name}: no metric was measured during training")
    figure, grid = panels(len(metrics), 3.5, 2.7)
    look = table_looks(table)
    thin = sum(len(row.done) for row in table.rows) <= MOST_THIN_LINES
    for axes, metric in zip(grid, metrics, strict=True):
        name = f"val/{metric.name}"
        bands = {row.label: read.band(row, name) for row in table.rows}
        _draw(axes, {label: band for label, band in bands.items() if band}, look, metric, thin)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set(xlabel=read.axis(name), title=wrapped(metric.header, 36))
    handles = {
        label: handle
        for axes in grid
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    legend_below(figure, list(handles.values()), list(handles))
    lines = "; thin lines: single seeds" if thin else ""
    headline(
        figure,
        f"{table.title}: validation metrics over training",
        f"mean over seeds with its 95 % interval{lines}",
    )
    return figure


def _draw(
    axes: Axes, bands: dict[str, MeanCurve], look: dict[str, Look], metric: Metric, thin: bool
) -> None:
    scale = metric.scale
    values = [scale * band.mean for band in bands.values()]
    if spans_decades(values):
        logarithmic(axes, "y")
    for place, (label, band) in enumerate(bands.items()):
        style = look[label]
        if thin:
            for x, y in band.runs.values():
                axes.plot(*thinned(x, scale * y), color=style.colour, linewidth=0.5, alpha=0.3)
        low, high = band.low.clip(min=metric.low), band.high.clip(max=metric.high)
        x, mean, low, high = thinned(band.x, scale * band.mean, scale * low, scale * high)
        axes.fill_between(x, low, high, color=style.colour, alpha=0.15, linewidth=0)
        axes.plot(x, mean, label=label, **style.marked(len(x), place))
    if spans_decades(values):
        # a single seed near 0 would take up most of the axis
        axes.set_ylim(bottom=max(axes.get_ylim()[0], 0.1 * np.concatenate(values).min()))
