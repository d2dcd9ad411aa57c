"""Curves of a learning-rate range test: smoothed training loss against the learning rate."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from losslab.analysis.rate_curves import RateCurve
from losslab.report.figures.style import (
    headline,
    legend_beside,
    logarithmic,
    looks,
    panels,
    styled,
)

HIGHEST = 1.5
"""End of the axis: losses that diverge leave it."""


@styled
def rate_curves(curves: Mapping[str, RateCurve], data: str, seed: int) -> Figure:
    """Plot all losses in one figure, each on its own scale, with the suggested rates marked."""
    figure, [axes] = panels(1, 6.4, 3.8)
    look = looks(curves)
    for loss, curve in curves.items():
        losses = np.asarray(curve.losses)
        low, span = losses.min(), (losses[0] - losses.min()) or 1.0
        scaled = (losses - low) / span
        axes.plot(curve.rates, scaled, label=loss, **look[loss].curve)
        for rate, marker in ((curve.valley, look[loss].marker), (curve.steepest, "|")):
            if not math.isnan(rate):
                height = scaled[curve.rates.index(rate)]
                axes.plot(rate, height, marker, color=look[loss].colour, markersize=9)
    logarithmic(axes, "x")
    axes.set(xlabel="learning rate", ylabel="training loss / its fall", ylim=(-0.05, HIGHEST))
    legend_beside(figure, axes)
    headline(
        figure,
        f"learning-rate range test on {data}, seed {seed}",
        "smoothed loss of the batches, 1 at the start and 0 at its lowest; symbol: valley, "
        "stroke: steepest",
    )
    return figure
