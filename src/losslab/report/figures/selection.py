"""Every picture of a report, drawn from the comparison and from what the runs left."""

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from losslab.analysis.comparison import Comparison, Table
from losslab.analysis.search import Tuning
from losslab.report.figures.cross_losses import cross_losses
from losslab.report.figures.curves import curves
from losslab.report.figures.final_metrics import final_metrics
from losslab.report.figures.gradient_norms import gradient_norms
from losslab.report.figures.learning_rates import learning_rates
from losslab.report.figures.over_time import Curves
from losslab.report.figures.seed_differences import seed_differences
from losslab.report.figures.side_by_side import own_pictures
from losslab.report.figures.steps_to_target import steps_to_target
from losslab.report.figures.style import NothingToDraw, svg

MOST_TABLES = 4
"""Of more comparison groups than these only the final metrics are drawn."""


@dataclass(frozen=True)
class Picture:
    """One picture of the report."""

    name: str
    """Of its files, without ending."""
    caption: str
    figure: Figure

    @functools.cached_property
    def svg(self) -> str:
        """An ``<svg>`` element; drawn once for the page and for the file."""
        return svg(self.figure)

    def save(self, folder: Path) -> None:
        """Write it as PNG and as SVG."""
        self.figure.savefig(folder / f"{self.name}.png", dpi=160)
        (folder / f"{self.name}.svg").write_text(self.svg, encoding="utf-8")


def table_pictures(comparison: Comparison, table: Table) -> Iterator[Picture]:
    """The pictures of one table, the most telling first; what no run holds is left out."""
    many = len(comparison.tables) > 1
    prefix = re.sub(r"[^\w.=-]+", "_", table.name) + "_" if many else ""
    read = Curves(table)
    drawings: dict[str, tuple[str, Callable[[], Figure]]] = {
        "final_metrics": (
            "The metrics at the end: a dot a seed, the mean and its 95 % interval.",
            lambda: final_metrics(table),
        ),
        "seed_differences": (
            "Differences seed by seed, with the mean difference and its 95 % interval.",
            lambda: seed_differences(table),
        ),
        "curves": (
            "Over training, on validation: the mean with its 95 % band, thin lines are the seeds.",
            lambda: curves(table, read=read),
        ),
        "cross_losses": (
            "Trained with the row, judged by the column; how far each is behind the column's best.",
            lambda: cross_losses(table, comparison.split),
        ),
        "steps_to_target": (
            "How long each run takes to reach the same value on validation.",
            lambda: steps_to_target(table, read=read),
        ),
        "gradient_norms": (
            "The gradient's norm over training: the losses' own scales.",
            lambda: gradient_norms(table, read=read),
        ),
    }
    if len(comparison.tables) > MOST_TABLES:
        drawings = {"final_metrics": drawings["final_metrics"]}
    for name, (caption, draw) in drawings.items():
        try:
            yield Picture(f"{prefix}{name}", caption, draw())
        except NothingToDraw:
            continue
    if len(comparison.tables) <= MOST_TABLES:
        for name, figure in own_pictures(table):
            caption = f"What the runs of one seed show: {name.replace('_', ' ')}."
            yield Picture(f"{prefix}{name}", caption, figure)


def tuning_pictures(tuning: Tuning) -> Iterator[Picture]:
    """The metric against the learning rate, if one was tuned."""
    try:
        figure = learning_rates(tuning)
    except NothingToDraw:
        return
    yield Picture(
        "learning_rates",
        "The points that were tried, by learning rate; ringed is what was chosen.",
        figure,
    )
