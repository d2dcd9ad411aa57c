"""Tuning results: the validation metric against the learning rate, one line per loss."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losslab.analysis.search import LEARNING_RATE, Trial, Tuning
from losslab.report.figures.style import (
    Look,
    NothingToDraw,
    headline,
    legend_beside,
    logarithmic,
    looks,
    panels,
    styled,
)


@styled
def learning_rates(tuning: Tuning) -> Figure:
    """Plot the mean over tuning seeds of every point that was tried; the chosen one is ringed.

    Options other than the learning rate vary from point to point too.

    Raises:
        NothingToDraw: if no learning rate was tuned.
    """
    lines = {loss: _points(tuning.trials[loss]) for loss in sorted(tuning.losses)}
    lines = {loss: trials for loss, trials in lines.items() if trials}
    if not lines:
        raise NothingToDraw(f"{tuning.folder}: no learning rate was tuned")
    figure, [axes] = panels(1, 6.4, 3.8)
    look = looks(lines)
    for loss, trials in lines.items():
        _draw(axes, loss, trials, tuning.best(loss), look[loss], tuning.metric.scale)
    logarithmic(axes, "x")
    axes.set(xlabel="learning rate", ylabel=f"{tuning.metric.header}, validation")
    legend_beside(figure, axes)
    seeds = len(tuning.tuning_seeds)
    headline(
        figure,
        f"{tuning.metric.label} against learning rate",
        f"mean and range over {seeds} tuning seeds; ringed: chosen; other options vary too",
    )
    return figure


def _points(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials with a finished run, by learning rate."""
    tried = [trial for trial in trials if LEARNING_RATE in trial.options and trial.values]
    return sorted(tried, key=lambda trial: float(trial.options[LEARNING_RATE]))


def _draw(
    axes: Axes, loss: str, trials: Sequence[Trial], best: Trial | None, look: Look, scale: float
) -> None:
    rates = [float(trial.options[LEARNING_RATE]) for trial in trials]
    means = [scale * trial.mean for trial in trials]
    low = [scale * min(trial.values.values()) for trial in trials]
    high = [scale * max(trial.values.values()) for trial in trials]
    axes.vlines(rates, low, high, color=look.colour, linewidth=0.8, alpha=0.6)
    axes.plot(rates, means, label=loss, marker=look.marker, **look.curve)
    if best in trials and best is not None and math.isfinite(best.mean):
        axes.plot(
            float(best.options[LEARNING_RATE]),
            scale * best.mean,
            "o",
            markersize=12,
            markerfacecolor="none",
            markeredgecolor=look.colour,
        )
