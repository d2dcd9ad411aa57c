"""Time that training takes to reach a target value, one marker per seed."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from losslab.analysis.comparison import ComparisonTable
from losslab.analysis.comparison_groups import Row
from losslab.metrics.labels import Metric
from losslab.report.figures.over_time import TableCurves
from losslab.report.figures.style import (
    INK,
    Look,
    NothingToDraw,
    beside,
    headline,
    on_screen,
    panels,
    styled,
    table_looks,
    wrapped,
)


@styled
def steps_to_target(
    table: ComparisonTable,
    metric: Metric | None = None,
    target: float | None = None,
    read: TableCurves | None = None,
) -> Figure:
    """Plot when each run first reaches a target on validation, with the median over seeds.

    Args:
        table: comparison whose rows are shown.
        metric: Default: the first primary metric.
        target: Default: the value of :func:`common_target`.
        read: the table's curves, if they have been read already.

    Raises:
        NothingToDraw: if the metric was not measured during training.
    """
    read = read or TableCurves(table)
    metric = metric or table.primary_metrics[0]
    if f"val/{metric.name}" not in read.names:
        raise NothingToDraw(f"{table.title}: {metric.name} was not measured during training")
    target = common_target(table, metric, read) if target is None else target
    figure, [axes] = panels(1, 6.8, on_screen(0.42, 0.7) * len(table.rows) + 1.35)
    look = table_looks(table)
    for place, row in enumerate(table.rows):
        _draw(axes, place, reached(row, metric, target, read), look[row.label])
    axes.grid(axis="y", visible=False)
    letters = on_screen(60, 16)
    axes.set_yticks(range(len(table.rows)), [wrapped(row.label, letters) for row in table.rows])
    axes.set(
        ylim=(len(table.rows) - 0.4, -0.6),
        xlabel=wrapped(f"{read.axis('val/')} at which the target is reached", on_screen(60, 26)),
    )
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    headline(
        figure,
        f"{table.title}: time to a validation {metric.label} of {metric.text(target)}",
        "markers: single seeds; line: their median, counting runs that never reach it as last",
    )
    return figure


def common_target(table: ComparisonTable, metric: Metric, read: TableCurves) -> float:
    """Return the best value that the mean curves of all rows reach."""
    peaks = []
    for row in table.rows:
        band = read.band(row, f"val/{metric.name}")
        if band is not None and len(band.mean):
            peaks.append(metric.sign * np.max(metric.sign * band.mean))
    return float(metric.sign * min(metric.sign * peak for peak in peaks))


def reached(row: Row, metric: Metric, target: float, read: TableCurves) -> dict[int, float]:
    """Return where each seed's run first reaches the target; infinity if it never does."""
    band = read.band(row, f"val/{metric.name}")
    places = {}
    for seed, (x, values) in (band.runs if band else {}).items():
        there = metric.sign * values >= metric.sign * target
        places[seed] = float(x[there.argmax()]) if there.any() else math.inf
    return places


def _draw(axes: Axes, place: int, places: Mapping[int, float], look: Look) -> None:
    found = [value for value in places.values() if math.isfinite(value)]
    axes.plot(
        found,
        beside(found, place, -0.13, room=0.55),
        look.marker,
        color=look.colour,
        alpha=0.8,
        markersize=4.5,
        markeredgewidth=0,
    )
    middle = float(np.median(list(places.values()))) if places else math.inf
    if math.isfinite(middle):
        axes.plot(
            [middle, middle], [place - 0.38, place + 0.22], color=INK, linewidth=1.5, zorder=1
        )
    never = len(places) - len(found)
    words = f"median {middle:g}" if math.isfinite(middle) else "most never"
    if never:
        words += f"\n{never} of {len(places)} never"
    axes.annotate(
        words if places else "no run",
        (1.01, place),
        xycoords=axes.get_yaxis_transform(),
        va="center",
        fontsize=8,
    )
