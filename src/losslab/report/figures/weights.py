"""Two metrics of sums of losses over the weight of one component, with the Pareto front."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losslab.analysis.comparison import ComparisonTable
from losslab.analysis.comparison_groups import Row
from losslab.analysis.compounds import WeightSweep, weight_sweeps
from losslab.metrics.labels import Metric
from losslab.report.figures.style import (
    COLOURS,
    INK,
    PAPER,
    NothingToDraw,
    headline,
    looks,
    on_screen,
    panels,
    styled,
    wrapped,
)

MOST_PANELS = 6
"""Number of panels above which sweeps over a weight are left out."""

Point = tuple[float, float]


@styled
def weights(table: ComparisonTable) -> Figure:
    """Plot the first two metrics of sums that differ in a weight, one panel per such sweep.

    These are the first two primary metrics, or the only one and the next metric of the table.
    Points are connected in the order of the weight.

    Raises:
        NothingToDraw: if no weight has three values, or there is one metric only.
    """
    every = weight_sweeps(table)
    sweeps = every[:MOST_PANELS]
    metrics = _metrics(table, sweeps)
    if not sweeps or len(metrics) < 2:
        raise NothingToDraw(f"{table.title}: no weight has three values")
    figure, grid = panels(len(sweeps), 6.2 if len(sweeps) == 1 else 4.8, 4.2, columns=2)
    for axes, sweep in zip(grid, sweeps, strict=True):
        _draw(axes, table, sweep, metrics)
    which = "" if sweeps == every else f", {len(sweeps)} of {len(every)} sweeps"
    headline(
        figure,
        f"{table.title}: {metrics[0].label} and {metrics[1].label} by weight{which}",
        "means over seeds with their 95 % intervals; filled, joined by the dotted line: means "
        "that no other one beats in both metrics (Pareto front)",
    )
    return figure


def _metrics(table: ComparisonTable, sweeps: Sequence[WeightSweep]) -> list[Metric]:
    """Return the first two metrics with a direction that some sum has."""
    sums = [compound.row for sweep in sweeps for compound in sweep.sums.values()]
    found = {
        metric.name: metric
        for metric in (*table.primary_metrics, *table.columns)
        if metric.better and any(table.summary(row, metric).n for row in sums)
    }
    return list(found.values())[:2]


def _draw(
    axes: Axes, table: ComparisonTable, sweep: WeightSweep, metrics: Sequence[Metric]
) -> None:
    """Draw the sums as a curve, its points labelled with the weight, and the parts as points."""
    sums = {f"{weight:g}": compound.row for weight, compound in sweep.sums.items()}
    rows = sums | {row.label: row for row in sweep.parts}
    points = {name: point for name, row in rows.items() if (point := _means(table, row, metrics))}
    front = pareto_front(points, metrics)
    curve = [points[name] for name in sums if name in points]
    axes.plot(*np.transpose(curve), color=COLOURS[0], linewidth=1.2, zorder=1.5)
    edge = [points[name] for name in front]
    axes.plot(*np.transpose(edge), ":", drawstyle="steps-pre", color=INK, linewidth=1, zorder=1.4)
    look = looks(["sums", *(name for name in points if name not in sums)])
    for name, (x, y) in points.items():
        own = look["sums" if name in sums else name]
        for metric, place in zip(metrics, ("x", "y"), strict=True):
            low, high, _ = table.summary(rows[name], metric).interval
            ends = [metric.scale * low, metric.scale * high]
            line = (ends, [y, y]) if place == "x" else ([x, x], ends)
            axes.plot(*line, color=own.colour, linewidth=0.9, alpha=0.45, zorder=1.2)
        fill = own.colour if name in front else PAPER
        axes.plot(x, y, own.marker, color=own.colour, markerfacecolor=fill, markersize=6.5)
    axes.margins(0.1)
    texts = {name: name if name in sums else f"{name} alone" for name in points}
    colours = {name: look["sums" if name in sums else name].colour for name in points}
    _label(axes, points, texts, colours)
    axes.set(
        title=wrapped(f"{sweep.name}, by the weight of {sweep.component}", 60),
        xlabel=metrics[0].header,
        ylabel=metrics[1].header,
    )


def _label(
    axes: Axes, points: Mapping[str, Point], texts: Mapping[str, str], colours: Mapping[str, str]
) -> None:
    """Write the labels beside their points, each where the fewest points and labels are near."""
    size = np.array([on_screen(340, 200), 210])  # of the axes, about, in typographic points
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    at = {
        name: size * ((x - left) / (right - left), (y - low) / (high - low))
        for name, (x, y) in points.items()
    }
    taken = list(at.values())
    for name, own in at.items():
        half = 2.6 * len(texts[name])  # of the width of the text
        beside = [(side * (half + 6), up) for side in (1, -1) for up in (7, -7, 0)]
        offset = min(
            [*beside, (0, 11), (0, -11)],
            key=lambda offset: _crowding(own + offset, half, taken, size),
        )
        taken += [own + offset + (move, 0) for move in (-half / 2, half / 2)]
        axes.annotate(
            texts[name],
            points[name],
            offset,
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8.5,
            color=colours[name],
            bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.7, "pad": 0.3},
            zorder=1.9,
        )


def _crowding(
    center: np.ndarray, half: float, taken: Sequence[np.ndarray], size: np.ndarray
) -> float:
    """Return how much a label overlaps with what is there already, or the edge of the axes."""
    gaps = np.abs(np.array(taken) - center) / (half + 6, 9)
    outside = np.maximum(np.add(np.abs(center - size / 2), (half, 4)) - size / 2, 0)
    return float(np.maximum(0, 1 - gaps.max(axis=1)).sum() + outside.sum())


def _means(table: ComparisonTable, row: Row, metrics: Sequence[Metric]) -> Point | None:
    """Return the means of two metrics; ``None`` if one was not measured."""
    x, y = (metric.scale * table.summary(row, metric).mean for metric in metrics)
    return (x, y) if math.isfinite(x) and math.isfinite(y) else None


def pareto_front(points: Mapping[str, Sequence[float]], metrics: Sequence[Metric]) -> list[str]:
    """Return the points that no other one dominates, in the order of the first metric.

    A point dominates another if it is at least as good in all metrics and better in one.

    Example:
        >>> from losslab.metrics.labels import metric
        >>> points = {"a": (0.9, 0.2), "b": (0.8, 0.1), "c": (0.7, 0.1)}
        >>> pareto_front(points, [metric("accuracy"), metric("ece")])
        ['b', 'a']
    """
    signs = np.array([metric.sign for metric in metrics])
    good = {name: signs * np.array(point) for name, point in points.items()}
    front = [
        name
        for name, own in good.items()
        if not any((other >= own).all() and (other > own).any() for other in good.values())
    ]
    return sorted(front, key=lambda name: tuple(good[name]))
