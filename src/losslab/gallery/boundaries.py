"""Figure of the boundaries that linear networks draw between two classes in the plane."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losslab.analysis.comparison_groups import Row
from losslab.gallery.linear_networks import HARD, Fit, Problem, problem_of
from losslab.report.figures.style import COLOURS, INK, MARKERS


def draw_boundaries(rows: Sequence[Row], labels: Sequence[str]) -> Figure:
    """Draw training samples, boundary and largest margin of the first run of each row.

    A line is where the score is 0, dashed lines where it is -1 and 1. The grey band is what the
    support vector machine with the largest margin keeps free.
    """
    figure = Figure(figsize=(3.3 * len(rows), 3.4), layout="constrained")
    all_axes = figure.subplots(1, len(rows), squeeze=False, sharex=True, sharey=True)[0]
    problems = [problem_of(row.done[0]) for row in rows]
    end = 1.05 * max(float(np.abs(each.inputs).max()) for each in problems)
    for axes, problem, label in zip(all_axes, problems, labels, strict=True):
        axes.set(xlim=(-end, end), ylim=(-end, end), xlabel="first input", aspect="equal")
        axes.set_title(fill(label, 36), fontsize=9)
        _draw(axes, problem)
    all_axes[0].set_ylabel("second input")
    return figure


def _draw(axes: Axes, problem: Problem) -> None:
    for side, colour, marker in zip((-1, 1), COLOURS, MARKERS, strict=False):
        x, y = problem.inputs[problem.sides == side].T
        axes.plot(x, y, marker, color=colour, markersize=3, alpha=0.7)
    supporting = problem.inputs[problem.support_vectors(problem.fit)]
    axes.plot(*supporting.T, "o", color=INK, markersize=7, fillstyle="none")
    svm, y = problem.svm(HARD), np.array(axes.get_ylim())
    axes.fill_betweenx(y, _place(svm, -1, y), _place(svm, 1, y), color="0.9", zorder=0)
    for score, style in ((-1, "--"), (0, "-"), (1, "--")):
        axes.plot(_place(problem.fit, score, y), y, style, color=INK, linewidth=1)


def _place(fit: Fit, score: float, y: np.ndarray) -> np.ndarray:
    """Return where the score has a value along the first input, at places of the second."""
    place: np.ndarray = (score - fit.bias - fit.weight[1] * y) / fit.weight[0]
    return place
