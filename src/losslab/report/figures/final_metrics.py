"""Final metrics: one marker per mean with its interval, and small markers per seed."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from losslab.analysis.comparison import ComparisonTable
from losslab.analysis.comparison_groups import Row
from losslab.analysis.summaries import Summary
from losslab.metrics.labels import Metric, some
from losslab.report.cells import seeds_text
from losslab.report.figures.style import (
    Look,
    headline,
    logarithmic,
    on_screen,
    panels,
    spans_decades,
    styled,
    table_looks,
    wrapped,
)


@styled
def final_metrics(table: ComparisonTable, metrics: Sequence[Metric] | None = None) -> Figure:
    """Plot the metrics of a table, one panel each, with the best row by the first on top."""
    metrics = table.columns if metrics is None else metrics
    height = 0.42 * len(table.rows) + 0.95
    figure, grid = panels(len(metrics), 2.9, height, columns=4, sharey=True)
    look = table_looks(table)
    for axes, metric in zip(grid, metrics, strict=True):
        summaries = [table.summary(row, metric) for row in table.rows]
        for place, (row, summary) in enumerate(zip(table.rows, summaries, strict=True)):
            _draw(axes, place, row, summary, look[row.label])
        if spans_decades([np.array([summary.mean]) for summary in summaries]):
            logarithmic(axes, "x")
        else:
            axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.grid(axis="y", visible=False)
        axes.set(title=wrapped(metric.header, 34), ylim=(len(table.rows) - 0.4, -0.6))
    grid[0].set_yticks(
        range(len(table.rows)), [_name(row, table.main_summary(row)) for row in table.rows]
    )
    counts = {len(row.done) for row in table.rows}
    seeds = (
        f"{min(counts)} to {max(counts)} seeds" if len(counts) > 1 else some(max(counts), "seeds")
    )
    any_collapsed = any(summary.collapsed for summary in table.summaries.values())
    crosses = "; crosses: collapsed runs" if any_collapsed else ""
    headline(
        figure,
        f"{table.title}: metrics of the chosen checkpoints",
        f"mean over {seeds} with its 95 % interval; small markers: single seeds{crosses}",
    )
    return figure


def _draw(axes: Axes, place: int, row: Row, summary: Summary, look: Look) -> None:
    if not summary.n:
        axes.text(
            0.5,
            place,
            "not measured" if row.done else "no run finished",
            transform=axes.get_yaxis_transform(),
            ha="center",
            va="center",
            fontsize=8,
        )
        return
    scale = summary.metric.scale
    values = [scale * value for value in summary.values.values()]
    low, high, _ = summary.interval
    axes.plot(
        values,
        [place + 0.26] * len(values),
        look.marker,
        color=look.colour,
        alpha=0.45,
        markersize=3,
        markeredgewidth=0,
    )
    for seed in summary.collapsed:
        value = scale * summary.values[seed]
        axes.plot(value, place + 0.26, "x", color=look.colour, markersize=5)
    axes.plot(
        [scale * low, scale * high],
        [place, place],
        color=look.colour,
        linewidth=2,
        solid_capstyle="butt",
    )
    axes.plot(scale * summary.mean, place, look.marker, color=look.colour, markersize=6)


def _name(row: Row, summary: Summary) -> str:
    label = wrapped(row.label, on_screen(60, 16))
    if not (row.failed or row.absent or summary.collapsed):
        return label
    return f"{label}\n{wrapped(seeds_text(row, summary), on_screen(60, 16))}"
