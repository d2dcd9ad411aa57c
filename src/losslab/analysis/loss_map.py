"""Map of the best loss over two options: one comparison per cell of a grid.

In each cell the best loss is the one with the best mean of the primary metric. It is *established*
if it is better there than each other loss, by the tests of :mod:`losslab.analysis.comparison` with
p-values that are corrected for all pairs of all cells together. So, over repetitions of the whole
map with other seeds, at most 5 % of the maps call any loss the best in a cell where it is not
better than each of the others. Nothing is claimed between the points of the grid, or at
other options, such as learning rates; and a cell that is undecided does not say that the losses are
equal.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from losslab.analysis.comparison import Comparison, ComparisonTable
from losslab.analysis.load import Run
from losslab.analysis.pairs import Pair
from losslab.analysis.standing import standing
from losslab.config.axes import Axis
from losslab.metrics.labels import Metric
from losslab.runs.map_file import SavedMap

Outcome = Literal["best", "equal", "undecided", "missing"]
"""``best``: one loss is established as the best; ``equal``: the leading losses are equivalent
within the margin; ``undecided``: neither; ``missing``: losses have no result yet."""


@dataclass(frozen=True, eq=False)
class Cell:
    """Cell of a map.

    Attributes:
        x: value of the horizontal axis.
        y: value of the vertical axis.
        outcome: what is established.
        best: loss with the best mean; empty if there is none yet.
        mean: its mean over seeds.
        pairs: comparisons of the best loss, as the first, with each of the others; the one with the
            runner-up is the first.
    """

    x: float
    y: float
    outcome: Outcome
    best: str = ""
    mean: float = float("nan")
    pairs: tuple[Pair, ...] = ()

    @property
    def p(self) -> float:
        """Corrected p-value for the best loss being better than each of the others."""
        return max(map(_p, self.pairs), default=1.0)


@dataclass(frozen=True, eq=False)
class LossMap:
    """Best losses over two options.

    Attributes:
        saved: axes, losses and seeds.
        comparison: the comparison of all runs.
        metric: primary metric.
        losses: labels of the losses that were found, sorted.
        cells: cells by the places of their values on the axes.
    """

    saved: SavedMap
    comparison: Comparison
    metric: Metric
    losses: tuple[str, ...]
    cells: Mapping[tuple[int, int], Cell]

    def of(self, outcome: Outcome) -> list[Cell]:
        """Return the cells with an outcome."""
        return [cell for cell in self.cells.values() if cell.outcome == outcome]

    @property
    def data(self) -> str:
        """Name of the data set."""
        return self.comparison.tables[0].comparison_group.data

    @property
    def pairs(self) -> list[Pair]:
        """All pairs of losses in all cells that were compared by the primary metric."""
        tables = self.comparison.tables
        return [pair for table in tables for pair in table.pairs_of(self.metric)]


def loss_map(comparison: Comparison, saved: SavedMap) -> LossMap:
    """Find the best loss of each cell.

    Args:
        comparison: comparison of all runs of the map.
        saved: its axes and losses.

    Raises:
        ValueError: if there are several comparisons in a cell, or runs outside of the grid.
    """
    places = {
        (x, y): (column, row)
        for column, x in enumerate(saved.x.values)
        for row, y in enumerate(saved.y.values)
    }
    cells = {place: Cell(*values, "missing") for values, place in places.items()}
    found: set[tuple[float, float]] = set()
    for table in comparison.tables:
        values = _values(table, (saved.x, saved.y))
        if values not in places or values in found:
            raise ValueError(f"{table.title}: this comparison is not one of a cell of the map")
        found.add(values)
        cells[places[values]] = _cell(*values, table, len(saved.losses))
    labels = {row.label for table in comparison.tables for row in table.rows}
    metric = comparison.tables[0].primary_metrics[0]
    return LossMap(saved, comparison, metric, tuple(sorted(labels)), cells)


def _values(table: ComparisonTable, axes: Iterable[Axis]) -> tuple[float, float]:
    """Return where the runs of a table are on the axes."""
    run = table.rows[0].runs[0]
    x, y = (_option(run, axis.key) for axis in axes)
    return x, y


def _option(run: Run, key: str) -> Any:
    return functools.reduce(lambda node, part: node[part], key.split("."), run.config)


def _cell(x: float, y: float, table: ComparisonTable, losses: int) -> Cell:
    best = table.rows[0]
    summary = table.main_summary(best)
    if not summary.n:
        return Cell(x, y, "missing")
    own = {
        pair.other(best.label): pair if pair.a == best.label else pair.swapped
        for pair in table.pairs_of(table.primary_metrics[0])
        if best.label in (pair.a, pair.b)
    }
    pairs = tuple(own[row.label] for row in table.rows[1:] if row.label in own)
    complete = len(pairs) == losses - 1 and all(pair.seeds for pair in pairs)
    outcome: Outcome = "undecided" if complete else "missing"
    if complete and all(_is_better(pair) for pair in pairs):
        outcome = "best"
    elif complete and standing(table).equivalent:
        outcome = "equal"
    return Cell(x, y, outcome, best.label, summary.mean, pairs)


def _is_better(pair: Pair) -> bool:
    """Return whether the first loss is better, by more than a margin that makes them equivalent."""
    return pair.preferred == pair.a and not pair.equivalent


def _p(pair: Pair) -> float:
    """Return the corrected p-value that favours the first loss, by values or by failures."""
    if pair.better is None and pair.fails_less == pair.a:
        return pair.failures.adjusted_p
    return pair.adjusted_p
