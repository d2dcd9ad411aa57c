"""Cross-evaluation: losses that were trained, evaluated by the other losses and the metrics."""

import math
from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from losslab.analysis.comparison import ComparisonTable
from losslab.analysis.summaries import Summary, summarize
from losslab.metrics.labels import Metric, metric_of
from losslab.report.figures.style import NothingToDraw, headline, new_figure, styled, wrapped

INKS = ("#111111", "#fefefe")
"""Text colours on light and dark cells; fixed, since dark pages replace only the style's ink."""


@styled
def cross_losses(
    table: ComparisonTable, split: str = "test", metrics: Sequence[Metric] | None = None
) -> Figure:
    """Plot the mean of each reference loss and metric, coloured by its distance from the best.

    Args:
        table: comparison whose rows are the trained losses.
        split: split on which they are evaluated.
        metrics: the columns. Default: the reference losses, then the table's metrics.

    Raises:
        NothingToDraw: if no run has any of the columns.
    """
    metrics = evaluation_metrics(table, split) if metrics is None else metrics
    cells = [[summarize(row, metric, split) for metric in metrics] for row in table.rows]
    if not any(summary.n for line in cells for summary in line):
        raise NothingToDraw(f"{table.name}: nothing was measured on {split}")
    figure = new_figure(max(5.0, 1.0 * len(metrics) + 2.2), 0.5 * len(table.rows) + 2.1)
    axes = figure.subplots()
    for column, metric in enumerate(metrics):
        own = [line[column] for line in cells]
        for place, (row, summary) in enumerate(zip(table.rows, own, strict=True)):
            _draw(axes, column, place, summary, shortfall(summary, own))
            if metric.name == f"ref/{row.loss}":
                frame = {"facecolor": "none", "edgecolor": INKS[0], "linewidth": 1.6}
                axes.add_patch(_cell(column, place, **frame, zorder=3))
    references = sum(metric.name.startswith("ref/") for metric in metrics)
    if 0 < references < len(metrics):
        axes.axvline(references - 0.5, color=INKS[0], linewidth=2.5, zorder=2)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(metrics)), [wrapped(metric.header, 14) for metric in metrics])
    axes.set_yticks(range(len(table.rows)), [row.label for row in table.rows])
    axes.set(
        xlim=(-0.5, len(metrics) - 0.5), ylim=(len(table.rows) - 0.5, -0.5), ylabel="trained with"
    )
    headline(
        figure,
        f"{table.title}: trained with the row, evaluated by the column",
        "mean over seeds, and its distance from the column's best; framed: the loss trained with",
    )
    return figure


def evaluation_metrics(table: ComparisonTable, split: str) -> list[Metric]:
    """Return the reference losses of any run, then the table's metrics with a better direction."""
    task = table.rows[0].runs[0].config["task"]
    names = {name for row in table.rows for run in row.done for name in run.metrics(split)}
    references = [metric_of(name, task) for name in sorted(names) if name.startswith("ref/")]
    return references + [metric for metric in table.columns if metric.better is not None]


def shortfall(summary: Summary, column: Sequence[Summary]) -> float:
    """Compute how much worse a mean is than the column's best, relative to the best.

    Infinity if the best is 0 and this is not; NaN if nothing was measured.
    """
    sign = summary.metric.sign
    means = [other.mean for other in column if math.isfinite(other.mean)]
    if not means or not math.isfinite(summary.mean):
        return math.nan
    best = sign * max(sign * mean for mean in means)
    behind = abs(summary.mean - best)
    return behind / abs(best) if best else math.inf if behind else 0.0


def _draw(axes: Axes, column: int, place: int, summary: Summary, behind: float) -> None:
    if math.isnan(behind):
        axes.text(column, place, "not measured", ha="center", va="center", fontsize=8)
        return
    # 0 at the best, 0.5 at twice as bad, towards 1
    depth = 1.0 if math.isinf(behind) else behind / (1 + behind)
    axes.add_patch(
        _cell(
            column,
            place,
            facecolor=colormaps["Blues"](0.9 * depth),
            edgecolor="#bbbbbb",
            linewidth=0.5,
        )
    )
    best = behind == 0
    words = "best" if best else "" if math.isinf(behind) else _percent(behind)
    colour = INKS[depth > 0.55]
    axes.text(
        column,
        place - 0.14,
        summary.metric.number(summary.mean),
        ha="center",
        va="center",
        fontsize=8.5,
        color=colour,
        weight="bold" if best else "normal",
    )
    axes.text(column, place + 0.22, words, ha="center", va="center", fontsize=8, color=colour)


def _cell(column: int, place: int, **look: object) -> Rectangle:
    return Rectangle((column - 0.5, place - 0.5), 1, 1, **look)  # type: ignore[arg-type]


def _percent(behind: float) -> str:
    """Format the distance from the best, in per cent or as a factor."""
    if behind < 0.995:
        return f"{100 * behind:.2g} % off"
    return f"{1 + behind:.3g} times"
