"""Gradient norms over training."""

from matplotlib.figure import Figure

from losslab.analysis.comparison import ComparisonTable
from losslab.report.figures.over_time import TableCurves
from losslab.report.figures.style import (
    NothingToDraw,
    headline,
    legend_beside,
    logarithmic,
    panels,
    styled,
    table_looks,
    thinned,
)
from losslab.report.figures.validation_curves import MOST_THIN_LINES

NAME = "train/grad_norm"


@styled
def gradient_norms(table: ComparisonTable, read: TableCurves | None = None) -> Figure:
    """Plot the norm of the gradient over all weights by step, one line per row.

    Raises:
        NothingToDraw: if no run has recorded gradient norms.
    """
    read = read or TableCurves(table)
    if NAME not in read.names:
        raise NothingToDraw(f"{table.name}: no gradient norms were recorded")
    figure, [axes] = panels(1, 6.2, 3.6)
    look = table_looks(table)
    thin = sum(len(row.done) for row in table.rows) <= MOST_THIN_LINES
    for place, row in enumerate(table.rows):
        band = read.band(row, NAME)
        if band is None:
            continue
        style = look[row.label]
        for x, y in band.runs.values() if thin else ():
            axes.plot(*thinned(x, y), color=style.colour, linewidth=0.5, alpha=0.3)
        x, middle = thinned(band.x, band.mean)
        axes.plot(x, middle, label=row.label, **style.marked(len(x), place))
    logarithmic(axes, "y")
    axes.set(xlabel=read.axis(NAME), ylabel="gradient norm")
    legend_beside(figure, axes)
    headline(
        figure,
        f"{table.title}: gradient norm over all weights",
        f"mean over seeds{'; thin lines: single seeds' if thin else ''}",
    )
    return figure
