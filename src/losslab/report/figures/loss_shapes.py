"""Losses and their gradients along one dimension."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losslab.report.figures.style import FAINT, looks, new_figure, styled

MANY = 5
"""Number of lines above which the legend is placed below the axes."""


@dataclass(frozen=True)
class LossShape:
    """Loss of one sample along one dimension, with its gradient."""

    name: str
    against: str
    """Name of the axis, with its unit."""
    by: str
    """Quantity with respect to which the gradient is taken."""
    x: np.ndarray
    loss: np.ndarray
    gradient: np.ndarray


@styled
def loss_shapes(shapes: Sequence[LossShape]) -> Figure:
    """Plot losses above their gradients, one column per kind of dimension.

    Losses with identical values share a line.
    """
    lines = _merged(shapes)
    kinds = list(dict.fromkeys(line.against for line in lines))
    most = max(sum(line.against == kind for line in lines) for kind in kinds)
    crowded = most > MANY
    figure = new_figure(max(5.0, 4.2 * len(kinds)), 5.6 + (0.18 * most if crowded else 0))
    grid = figure.subplots(2, len(kinds), squeeze=False, sharex="col")
    for column, kind in enumerate(kinds):
        above, below = grid[:, column]
        own = [line for line in lines if line.against == kind]
        _draw(above, below, own)
        above.set(title="Loss", ylabel="loss of one sample")
        below.set(title="Gradient", ylabel=f"gradient w.r.t. {own[0].by}", xlabel=kind)
        if crowded:
            below.legend(
                *above.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0, -0.2)
            )
        else:
            above.legend(loc="best")
    return figure


def _draw(above: Axes, below: Axes, lines: Sequence[LossShape]) -> None:
    look = looks(line.name for line in lines)
    for line in lines:
        above.plot(line.x, line.loss, label=line.name, **look[line.name].curve)
        below.plot(line.x, line.gradient, **look[line.name].curve)
    for axes in (above, below):
        axes.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
        axes.axvline(0, color=FAINT, linewidth=0.8, zorder=0)


def _merged(shapes: Sequence[LossShape]) -> list[LossShape]:
    """Merge identical lines under the names of all their losses."""
    merged: list[LossShape] = []
    for shape in shapes:
        for place, other in enumerate(merged):
            if shape.against == other.against and np.allclose(shape.loss, other.loss, atol=1e-6):
                merged[place] = replace(other, name=f"{other.name} = {shape.name}")
                break
        else:
            merged.append(shape)
    return merged
