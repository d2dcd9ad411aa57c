"""Critical-difference diagram: mean ranks over data sets, with bars that join similar losses."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from losslab.analysis.ranking import Ranking
from losslab.analysis.ranks import cliques
from losslab.report.figures.style import (
    FAINT,
    INK,
    NARROW_WIDTH,
    headline,
    looks,
    new_figure,
    on_screen,
    styled,
    wrapped,
)

WIDTH = 5.0
"""Width in inches."""


@styled
def critical_difference(ranking: Ranking) -> Figure:
    """Plot the mean rank of each loss, best first, above bars of losses that do not differ.

    Source:
        Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", 2006, figure 1;
        with Wilcoxon's test of pairs as in Benavoli et al., 2016.
    """
    bars = alike(ranking)
    count = len(ranking.mean_ranks)
    figure = new_figure(on_screen(WIDTH, NARROW_WIDTH), 0.3 * count + 0.18 * len(bars) + 1.6)
    axes = figure.subplots()
    look = looks(sorted(ranking.mean_ranks))
    for place, (loss, rank) in enumerate(ranking.mean_ranks.items()):
        axes.plot([1, rank], [place, place], color=FAINT, linewidth=0.8, zorder=1)
        axes.plot(rank, place, look[loss].marker, color=look[loss].colour, markersize=7)
        axes.annotate(
            f"{rank:.2f}", (1.01, place), xycoords=axes.get_yaxis_transform(), va="center"
        )
    for number, losses in enumerate(bars):
        _bar(axes, count - 0.2 + 0.6 * number, [ranking.mean_ranks[loss] for loss in losses])
    _axes(axes, ranking, count - 0.2 + 0.6 * len(bars))
    test = f"Friedman's test: p = {ranking.friedman_p:.2g}; " if count > 2 else ""
    headline(
        figure,
        f"Mean ranks over {ranking.data_sets} data sets by {ranking.metric.label}",
        f"{test}{_reading(bars)} (Wilcoxon, Holm over {len(ranking.pairs)})",
    )
    return figure


def alike(ranking: Ranking) -> list[set[str]]:
    """Return the groups of losses that do not differ significantly, the best first."""
    ranks = ranking.mean_ranks
    unclear = [frozenset((p.a, p.b)) for p in ranking.pairs if ranking.better(p) is None]
    found = cliques(ranks, unclear)
    return sorted(found, key=lambda losses: sorted(ranks[loss] for loss in losses))


def _reading(bars: list[set[str]]) -> str:
    if not bars:
        return "all losses differ"
    return "losses joined by a bar do not differ significantly"


def _bar(axes: Axes, height: float, ranks: list[float]) -> None:
    """Draw a bar from the best to the worst rank, with a dot for each loss it joins."""
    axes.plot(
        [min(ranks), max(ranks)],
        [height, height],
        color=INK,
        linewidth=2.2,
        solid_capstyle="round",
    )
    axes.plot(ranks, [height] * len(ranks), "o", color=INK, markersize=4)


def _axes(axes: Axes, ranking: Ranking, bottom: float) -> None:
    count = len(ranking.mean_ranks)
    axes.grid(axis="y", visible=False)
    axes.set_yticks(range(count), [wrapped(loss, on_screen(24, 16)) for loss in ranking.mean_ranks])
    axes.set(xlim=(0.9, count + 0.1), ylim=(bottom, -0.6), xlabel="mean rank (1 is best)")
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
