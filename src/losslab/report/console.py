"""Show a comparison in the terminal: one table per data set, conclusions and notes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as Grid
from rich.text import Text

from losslab.analysis.answer import answers
from losslab.analysis.comparison import Comparison, ComparisonTable
from losslab.analysis.comparison_groups import Row
from losslab.analysis.conclusions import conclusions, short_conclusions
from losslab.analysis.cost import cost
from losslab.analysis.notes import comparison_notes, notes, tuning_notes, unreadable_notes
from losslab.analysis.overall import overall_answer, overall_conclusions
from losslab.analysis.search import Tuning
from losslab.metrics.labels import Metric, some
from losslab.report.cells import CENTERS, COST, SPLITS, beside_reference, cell, seeds_text
from losslab.report.run_table import plain_table
from losslab.report.write import write_report

MOST_ROWS, FEW_ROWS = 12, 10
"""Number of rows above which the terminal shows only the best ones, and how many of them."""

MOST_TABLES = 12
"""Number of tables that the terminal shows."""

MOST_SENTENCES = 12
"""Number of conclusions above which the terminal shows them in short; the report has them all."""


def show(
    console: Console, comparison: Comparison, folder: Path, tuning: Tuning | None = None
) -> None:
    """Print a comparison, write its report into the folder and print the report's path."""
    tuned = tuning is not None and tuning.protocol == "tuned"
    said = list(_answers(comparison, tuned=tuned))
    long = any(map(_is_long, comparison.tables)) or len(comparison.tables) > MOST_TABLES
    for line in [] if long else said:
        console.print(Text(line))
    if tuning is not None:
        for line in (*tuning.lines(), *tuning_notes(tuning)):
            console.print(Text(line))
        console.print()
    console.print(ComparisonView(comparison))
    for line in said if long else []:  # below what fills the screen
        console.print(Text(line))
    report = write_report(comparison, folder, tuning)
    # whole lines, so that a path can be copied
    for line in (*unreadable_notes(comparison), f"report: {report}"):
        console.print(Text(line), soft_wrap=True)


def _answers(comparison: Comparison, *, tuned: bool) -> Iterator[str]:
    """Yield the lines of the answers, with an empty line after each."""
    for line in overall_answer(comparison):
        yield from (line, "")
    found = answers(comparison, tuned=tuned)
    for answer in found[:MOST_TABLES]:
        yield from (*answer.lines, "")
    if len(found) > MOST_TABLES:
        yield from (f"{len(found) - MOST_TABLES} more answers are in the report.", "")


def _is_long(table: ComparisonTable) -> bool:
    """Return whether a table has more rows than the terminal shows."""
    return len(table.rows) > MOST_ROWS


class ComparisonView:
    """Renderable of a comparison that adapts to the width of the terminal.

    One row per loss with its options, best first: number of seeds, mean of each metric with its
    95 % interval, and the rows that it is significantly better than. Metrics that do not fit the
    width go into further tables below. Of more than 12 rows only the best 10 are shown, and the
    metrics that fit.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in self.comparison.tables[:MOST_TABLES]:
            columns = _Columns(table, self.comparison)
            yield Text(columns.title)
            yield from columns.grids(console, options)
            yield from map(Text, _sentences(table))
            yield Text()
        if len(self.comparison.tables) > MOST_TABLES:
            more = len(self.comparison.tables) - MOST_TABLES
            yield Text(f"{more} more tables are in the report\n")
        yield from map(Text, overall_conclusions(self.comparison))
        yield from map(Text, comparison_notes(self.comparison))


def _shown_rows(table: ComparisonTable, baseline: str | None) -> dict[int, Row]:
    """Return the rows by their place; of many, the best ones and those of the baseline, if few."""
    rows = dict(enumerate(table.rows, 1))
    if not _is_long(table):
        return rows
    best = {place: row for place, row in rows.items() if place <= FEW_ROWS}
    own = {place: row for place, row in rows.items() if baseline in (row.loss, row.label)}
    return dict(sorted((best | own).items())) if len(own) <= FEW_ROWS else best


def _sentences(table: ComparisonTable) -> list[str]:
    lines = conclusions(table)
    if len(lines) > MOST_SENTENCES:
        lines = [
            line for metric in table.primary_metrics for line in short_conclusions(table, metric)
        ]
    return lines + [f"note: {line}" for line in notes(table)]


class _Columns:
    """Columns of one table, split into as many grids as the width requires."""

    def __init__(self, table: ComparisonTable, comparison: Comparison) -> None:
        self.table = table
        self.rows = _shown_rows(table, comparison.baseline)
        split, center = SPLITS[comparison.split], CENTERS[comparison.center]
        self.title = f"{table.title}: {split} metrics, {center} [95 % interval] over seeds"

    def grids(self, console: Console, options: ConsoleOptions) -> Iterator[Grid | Text]:
        """Yield the grids; only the first shows seeds and which rows are better than which."""
        chunk: list[Metric] = []
        first = True
        for metric in self.table.columns:
            grid = self._grid([*chunk, metric], options, first=first)
            if chunk and console.measure(grid, options=_wide(options)).maximum > options.max_width:
                yield self._grid(chunk, options, first=first)
                if len(self.rows) < len(self.table.rows):
                    break
                chunk, first = [], False
            chunk.append(metric)
        else:
            yield self._last(chunk, console, options, first=first)
        if more := len(self.table.rows) - len(self.rows):
            yield Text(f"{more} more rows, and all metrics, are in table.csv of the report")

    def _last(
        self, metrics: Sequence[Metric], console: Console, options: ConsoleOptions, *, first: bool
    ) -> Grid:
        """Return the last grid, with the costs where they fit."""
        if any(map(cost, self.table.rows)):
            grid = self._grid(metrics, options, first=first, costs=True)
            if console.measure(grid, options=_wide(options)).maximum <= options.max_width:
                return grid
        return self._grid(metrics, options, first=first)

    def _grid(
        self,
        metrics: Sequence[Metric],
        options: ConsoleOptions,
        *,
        first: bool,
        costs: bool = False,
    ) -> Grid:
        reference = self.table.reference
        compared = bool(self.table.pairs)
        grid = plain_table(None)
        if compared:
            grid.add_column("", justify="right")
        # a long list of options must not take the room of the numbers
        grid.add_column("loss", overflow="fold", max_width=max(options.max_width // 3, 20))
        if first:
            grid.add_column("seeds")
        for metric in metrics:
            header = metric.short_header
            header = _ascii(header) if options.ascii_only else header
            grid.add_column(Text(header), justify="right", no_wrap=True)
        if costs:
            grid.add_column(COST, no_wrap=True)
        if first and compared:
            than = "better than" if reference is None else f"than {reference.label}"
            grid.add_column(Text(than))
        for place, row in self.rows.items():
            texts = [str(place)] if compared else []
            texts += [
                row.label,
                *([seeds_text(row, self.table.main_summary(row))] if first else []),
            ]
            texts += [cell(self.table.summary(row, metric)) for metric in metrics]
            texts += [str(cost(row) or "")] if costs else []
            texts += [self._beaten(row)] if first and compared else []
            grid.add_row(*map(Text, texts))  # as they are: brackets of labels are not markup
        return grid

    def _beaten(self, row: Row) -> str:
        """Return the numbers of the rows that this one is better than."""
        if self.table.reference is not None:
            return beside_reference(self.table, row)
        places = {other.label: place for place, other in enumerate(self.table.rows, 1)}
        beaten = [
            places[pair.b if pair.a == row.label else pair.a]
            for pair in self.table.pairs_of(self.table.primary_metrics[0])
            if pair.preferred == row.label
        ]
        if _is_long(self.table):
            return some(len(beaten), "rows") if beaten else ""
        return ", ".join(map(str, sorted(beaten)))


def _wide(options: ConsoleOptions) -> ConsoleOptions:
    return options.update(width=10_000)


def _ascii(header: str) -> str:
    return header.replace("↑", "(max)").replace("↓", "(min)")
