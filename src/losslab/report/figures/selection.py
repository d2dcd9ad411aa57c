"""All figures of a report."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from matplotlib.figure import Figure

from losslab.analysis.comparison import Comparison, ComparisonTable
from losslab.analysis.overall import overall
from losslab.analysis.search import Tuning
from losslab.report.figures.critical_difference import critical_difference
from losslab.report.figures.cross_losses import cross_losses
from losslab.report.figures.final_metrics import final_metrics
from losslab.report.figures.gradient_norms import gradient_norms
from losslab.report.figures.learning_rates import learning_rates
from losslab.report.figures.over_time import TableCurves
from losslab.report.figures.seed_differences import seed_differences
from losslab.report.figures.side_by_side import run_figures
from losslab.report.figures.steps_to_target import steps_to_target
from losslab.report.figures.style import NothingToDraw, drawing_for, is_for_print, svg
from losslab.report.figures.validation_curves import validation_curves
from losslab.report.figures.weights import weights
from losslab.runs.folder import file_name

OVERALL = "overall"
"""Key of the figures that are about all tables."""

MOST_TABLES = 4
"""Number of comparison groups above which only the final metrics are drawn."""

MOST_ROWS = 16
"""Maximum number of rows that can be distinguished in a figure; the best ones are drawn."""


@dataclass(frozen=True)
class ReportFigure:
    """Figure of a report with its caption."""

    name: str
    """Name of its files, without suffix."""
    caption: str
    figure: Figure
    phone: Figure
    """The same figure for narrow screens, which only the page shows."""

    @cached_property
    def svg(self) -> str:
        """Return the figure as an ``<svg>`` element, rendered once."""
        return svg(self.figure)

    @cached_property
    def phone_svg(self) -> str:
        """Return the figure for narrow screens as an ``<svg>`` element, rendered once."""
        return svg(self.phone)

    def save(self, folder: Path) -> None:
        """Write the figure as PNG and as SVG."""
        (folder / f"{self.name}.svg").write_text(self.svg, encoding="utf-8")
        self.figure.set_layout_engine(None)  # it has its layout; another one takes as long again
        self.figure.savefig(folder / f"{self.name}.png", dpi=160)


def table_figures(comparison: Comparison, table: ComparisonTable) -> Iterator[ReportFigure]:
    """Yield the figures of one table; those that no run has data for are left out."""
    many = len(comparison.tables) > 1
    prefix = file_name(table.name.split(", "), joiner="_") + "_" if many else ""
    shown = table.best(MOST_ROWS)
    read = TableCurves(shown)
    drawings: dict[str, tuple[str, Callable[[], Figure]]] = {
        "final_metrics": (
            "Final metrics: mean over seeds with its 95 % interval; one small marker per seed.",
            lambda: final_metrics(shown),
        ),
        "seed_differences": (
            "Paired differences: one small marker per seed, and their mean with its 95 % interval.",
            lambda: seed_differences(table),
        ),
        "curves": (
            "Validation metrics over training: mean over seeds with its 95 % interval.",
            lambda: validation_curves(shown, read=read),
        ),
        "cross_losses": (
            "Losses trained with (rows) and evaluated by (columns): means over seeds.",
            lambda: cross_losses(shown, comparison.split),
        ),
        "steps_to_target": (
            "Time until each run reaches the same validation value; one marker per seed.",
            lambda: steps_to_target(shown, read=read),
        ),
        "weights": (
            "Two metrics over a component's weight: mean over seeds with 95 % intervals, and the "
            "Pareto front of the means.",
            lambda: weights(table),
        ),
        "gradient_norms": (
            "Gradient norm over training, which reflects the scale of the losses; mean over seeds.",
            lambda: gradient_norms(shown, read=read),
        ),
    }
    if len(comparison.tables) > MOST_TABLES:
        drawings = {"final_metrics": drawings["final_metrics"]}
    for name, (caption, draw) in drawings.items():
        try:
            yield ReportFigure(f"{prefix}{name}", caption, *both(draw))
        except NothingToDraw:
            continue
    if len(comparison.tables) <= MOST_TABLES:
        for name, draw in run_figures(table):
            caption = f"Figures saved by the runs of one seed: {name.replace('_', ' ')}."
            yield ReportFigure(f"{prefix}{name}", caption, *both(draw))


def both(draw: Callable[[], Figure]) -> tuple[Figure, Figure]:
    """Draw for wide and for narrow screens; once for print."""
    wide = draw()
    if is_for_print():
        return wide, wide
    with drawing_for("phone"):
        return wide, draw()


def overall_figures(comparison: Comparison) -> Iterator[ReportFigure]:
    """Yield a critical-difference diagram for each metric whose losses are ranked."""
    rankings = overall(comparison).rankings
    for ranking in rankings:
        suffix = ranking.metric.name.split("/") if len(rankings) > 1 else []
        yield ReportFigure(
            file_name(["critical_difference", *suffix], joiner="_"),
            "Mean ranks over data sets; losses joined by a bar do not differ significantly.",
            *both(partial(critical_difference, ranking)),
        )


def tuning_figures(tuning: Tuning) -> Iterator[ReportFigure]:
    """Yield the figure of the metric against the learning rate, if one was tuned."""
    try:
        drawn = both(lambda: learning_rates(tuning))
    except NothingToDraw:
        return
    yield ReportFigure(
        "learning_rates",
        "Points that were tried, by learning rate; the chosen ones are ringed.",
        *drawn,
    )
