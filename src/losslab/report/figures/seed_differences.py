"""Paired differences between losses: one marker per seed, and their mean with its interval."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losslab.analysis.comparison import ComparisonTable
from losslab.analysis.pairs import Pair
from losslab.metrics.labels import Metric
from losslab.report.figures.style import (
    BETTER,
    FAINT,
    INK,
    WORSE,
    NothingToDraw,
    beside,
    headline,
    on_screen,
    panels,
    styled,
    wrapped,
)

MOST_PAIRS = 16
"""Maximum number of pairs in a figure; of more, those with the baseline or the best row."""


@styled
def seed_differences(table: ComparisonTable, metric: Metric | None = None) -> Figure:
    """Plot the per-seed differences of a primary metric, one line per pair of rows.

    Raises:
        NothingToDraw: if no rows are compared by the metric.
    """
    metric = metric or table.primary_metrics[0]
    every = table.pairs_of(metric)
    pairs = drawn_pairs(table, every)
    if not pairs:
        raise NothingToDraw(f"{table.name}: no rows are compared by {metric.name}")
    letters = on_screen(60, 13)
    figure, [axes] = panels(1, 8.2, on_screen(0.42, 0.7) * len(pairs) + 1.35)
    for place, pair in enumerate(pairs):
        _draw(axes, place, pair)
    axes.axvline(0, color=INK, linewidth=0.9, zorder=1)
    axes.grid(axis="y", visible=False)
    axes.set_yticks(range(len(pairs)), [wrapped(f"{pair.a} - {pair.b}", letters) for pair in pairs])
    unit = "points" if metric.percent else metric.unit
    axes.set(
        ylim=(len(pairs) - 0.4, -0.6),
    )
    label = f"difference in {metric.label}{f' [{unit}]' if unit else ''}, {_sides(metric)}"
    axes.set_xlabel(wrapped(label, on_screen(90, 26)))
    left_out = "" if len(pairs) == len(every) else f"; {len(pairs)} of {len(every)} pairs"
    headline(
        figure,
        f"{table.title}: differences at the same seed{left_out}",
        "small markers: single seeds; bar: 95 % interval of their mean; coloured if significant; "
        f"p corrected for {pairs[0].comparisons} comparison"
        f"{'s' if pairs[0].comparisons > 1 else ''}",
    )
    return figure


def drawn_pairs(table: ComparisonTable, pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs with common seeds; of many, those with the baseline or the best row."""
    there = [pair for pair in pairs if pair.n]
    if len(there) <= MOST_PAIRS:
        return there
    baseline = set.intersection(*({pair.a, pair.b} for pair in there))
    shown = baseline or {table.rows[0].label}
    return [pair for pair in there if shown & {pair.a, pair.b}][:MOST_PAIRS]


def _sides(metric: Metric) -> str:
    better, worse = ("right", "left") if metric.sign > 0 else ("left", "right")
    return f"{better} of 0 the first is better, {worse} the second"


def _draw(axes: Axes, place: int, pair: Pair) -> None:
    scale = pair.metric.scale
    colour = FAINT if pair.better is None else BETTER if pair.better == pair.a else WORSE
    values = [scale * value for value in pair.differences.values()]
    low, high, _ = pair.interval
    axes.plot(
        values,
        beside(values, place + 0.2, 0.08, room=0.5),
        "o",
        color=colour,
        alpha=0.55,
        markersize=3,
        markeredgewidth=0,
    )
    axes.plot(
        [scale * low, scale * high],
        [place, place],
        color=colour,
        linewidth=2.2,
        solid_capstyle="butt",
    )
    axes.plot(scale * pair.mean, place, "D" if pair.better else "o", color=colour, markersize=6)
    axes.annotate(
        _words(pair),
        (1.01, place),
        xycoords=axes.get_yaxis_transform(),
        va="center",
        fontsize=8,
    )


def _words(pair: Pair) -> str:
    failed = [
        f"{label} failed at {len(seeds)}"
        for label, seeds in ((pair.a, pair.failures.failed_a), (pair.b, pair.failures.failed_b))
        if seeds
    ]
    result = f"p = {pair.adjusted_p:.2g}"
    if pair.equivalent and pair.within is not None:
        margin = pair.metric.difference_text(pair.within, sign=False)
        result = f"equivalent within {margin}, p = {pair.adjusted_equivalence_p:.2g}"
    elif pair.better is not None:
        result = f"{pair.better} is better, {result}"
    elif pair.underpowered:
        result = f"underpowered: n = {pair.n} of {pair.needed}"
    return "\n".join(wrapped(line, on_screen(60, 13)) for line in (result, *failed))
