"""Map of the best loss over two options, by colour and marker, hatched where it is unsure."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from losslab.analysis.loss_map import Cell, LossMap
from losslab.analysis.map_answer import how_sure
from losslab.config.axes import Axis
from losslab.report.figures.style import (
    FAINT,
    INK,
    NARROW_WIDTH,
    PAPER,
    Look,
    headline,
    legend_below,
    looks,
    new_figure,
    on_screen,
    styled,
)

MOST_TICKS = 8
"""Number of values of an axis above which only some are labelled."""

HATCHES = {"undecided": "////", "equal": "....", "missing": ""}
TINT = 0.25
"""Opacity of the colour of a cell in which nothing is established."""


@styled
def draw_loss_map(found: LossMap) -> Figure:
    """Draw the cells in the colour of their best loss, hatched where none is established.

    The cells of an axis are as far apart as its values, or as their logarithms.
    """
    x, y = _Side(found.saved.x), _Side(found.saved.y)
    width = on_screen(4.8, NARROW_WIDTH)
    figure = new_figure(width, width * 0.85 + on_screen(0.7, 1.1))
    axes = figure.subplots()
    look = looks(found.losses)
    for (column, row), cell in found.cells.items():
        _draw(axes, cell, *x.at(column), *y.at(row), look)
    for side, axis in ((x, axes.xaxis), (y, axes.yaxis)):
        axis.set_ticks(side.ticks, side.labels)
    axes.set(xlim=x.ends, ylim=y.ends, xlabel=x.name, ylabel=y.name)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    _legend(figure, found, look)
    headline(
        figure,
        f"Best loss by {found.metric.label} on {found.data}",
        f"full colour: better than each other loss; {how_sure(found)}",
    )
    return figure


class _Side:
    """Where the cells of an axis are: in the middle of each is its value, or its logarithm."""

    def __init__(self, axis: Axis) -> None:
        values = np.array(axis.values, dtype=float)
        places = np.log10(values) if axis.log else values
        inner = (places[1:] + places[:-1]) / 2
        first, last = 2 * places[0] - inner[0], 2 * places[-1] - inner[-1]
        self._edges = np.array([first, *inner, last])
        every = -(-len(values) // MOST_TICKS)
        self.ticks = places[::every]
        self.labels = [f"{value:g}" for value in values[::every]]
        self.name = f"{axis.label} (logarithmic)" if axis.log else axis.label
        self.ends = (self._edges[0], self._edges[-1])

    def at(self, place: int) -> tuple[float, float]:
        """Return the lower and the upper edge of a cell."""
        return self._edges[place], self._edges[place + 1]


def _draw(
    axes: Axes,
    cell: Cell,
    left: float,
    right: float,
    low: float,
    high: float,
    look: dict[str, Look],
) -> None:
    corner, size = (left, low), (right - left, high - low)
    if not cell.best:
        axes.add_patch(Rectangle(corner, *size, facecolor="none", edgecolor=FAINT, linewidth=0.3))
        return
    own = look[cell.best]
    sure = cell.outcome == "best"
    axes.add_patch(
        Rectangle(
            corner,
            *size,
            facecolor=(own.colour, 1.0 if sure else TINT),
            edgecolor=PAPER,
            linewidth=1.2,
        )
    )
    if not sure:
        hatch = HATCHES[cell.outcome]
        axes.add_patch(
            Rectangle(corner, *size, fill=False, edgecolor=own.colour, linewidth=0, hatch=hatch)
        )
    axes.plot(
        (left + right) / 2,
        (low + high) / 2,
        own.marker,
        color=PAPER if sure else INK,
        markeredgecolor=PAPER,
        markersize=6,
    )


def _legend(figure: Figure, found: LossMap, look: dict[str, Look]) -> None:
    """Name the losses by colour and marker, and the hatches that occur."""
    shown = sorted({cell.best for cell in found.cells.values() if cell.best})
    handles: list[Patch | Line2D] = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=look[loss].marker,
            color=look[loss].colour,
            markersize=9,
        )
        for loss in shown
    ]
    labels = list(shown)
    words = {"undecided": "not established", "equal": "equivalent within the margin"}
    for outcome, word in words.items():
        if any(cell.outcome == outcome for cell in found.cells.values()):
            hatch = HATCHES[outcome]
            handles.append(Patch(facecolor=PAPER, edgecolor=FAINT, hatch=hatch))
            labels.append(word)
    legend_below(figure, handles, labels)
