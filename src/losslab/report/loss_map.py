"""Write what a map found: figure, table of the cells, and a page."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losslab.analysis.loss_map import Cell, LossMap
from losslab.analysis.map_answer import alternative_text, answer, caveats, how_sure
from losslab.report.figures.loss_map import draw_loss_map
from losslab.report.figures.style import save
from losslab.report.frames import markdown_table
from losslab.report.write import write_csv

if TYPE_CHECKING:
    import pandas

NAME = "map"
"""Name of the files, without suffix."""


def write_loss_map(found: LossMap, folder: Path) -> list[Path]:
    """Write ``map.png``, ``map.svg``, ``map.csv`` and ``map.md``; return their paths."""
    figures = save(draw_loss_map(found), folder / NAME)
    table, page = (folder / f"{NAME}.{ending}" for ending in ("csv", "md"))
    write_csv(cells_frame(found), table)
    page.write_text(map_page(found, f"{NAME}.png"), encoding="utf-8")
    return [*figures, table, page]


def cells_frame(found: LossMap) -> "pandas.DataFrame":
    """Return one row per cell.

    ``difference`` with its interval, which is not corrected, is the best loss minus the runner-up;
    ``p`` is corrected, and for the best loss being better than each of the others.
    """
    import pandas as pd  # noqa: PLC0415 (as in losslab.report.frames)

    return pd.DataFrame([_row(found, cell) for cell in found.cells.values()])


def _row(found: LossMap, cell: Cell) -> dict[str, Any]:
    row: dict[str, Any] = {
        found.saved.x.key: cell.x,
        found.saved.y.key: cell.y,
        "metric": found.metric.name,
        "best": cell.best,
        "mean": cell.mean,
        "established": "yes" if cell.outcome == "best" else "no",
        "outcome": cell.outcome,
    }
    if not cell.pairs:
        return row
    pair = cell.pairs[0]
    return row | {
        "runner_up": pair.b,
        "seeds": pair.n,
        "difference": pair.mean,
        "low": pair.interval.low,
        "high": pair.interval.high,
        "p": cell.p,
    }


def map_page(found: LossMap, image: str, title: str = "", plan: str = "") -> str:
    """Return the page of a map as Markdown.

    Args:
        found: the map.
        image: path of its figure.
        title: title of the page. Default: which options the axes are.
        plan: what was planned before the runs.
    """
    return "\n".join(_page(found, image, title, plan)) + "\n"


def _page(found: LossMap, image: str, title: str, plan: str) -> Iterator[str]:
    saved = found.saved
    yield f"# {title or f'Best loss over {saved.x.label} and {saved.y.label}'}\n"
    yield f"**{answer(found)}** ({how_sure(found)})\n"
    yield from (f"{line}\n" for line in caveats(found))
    if plan:
        yield f"{plan}\n"
    yield f"![{alternative_text(found)}]({image})\n"
    yield from _grid(found)
    yield "\nA loss in bold is established as the best; one in parentheses has the best mean.\n"
    yield "## What is claimed\n"
    yield (
        "A loss is established in a cell if it is better than each other loss there, by the paired "
        "test of all comparisons, corrected for all pairs of all cells together: over repetitions "
        "of the map with other seeds, it calls a loss the best where that is false anywhere at "
        "most 5 % of the time. Nothing is said about values between those of the grid, or about "
        "other learning rates and options of the losses; and an undecided cell does not say that "
        "losses are equal.\n"
    )
    yield "## Reproduce\n"
    yield f"    {saved.command}"


def _grid(found: LossMap) -> list[str]:
    """Return the map as a table, with the highest values of the vertical axis on top."""
    x, y = found.saved.x, found.saved.y
    head = [f"{y.label} \\ {x.label}", *(f"{value:g}" for value in x.values)]
    rows = [
        [
            f"{y.values[row]:g}",
            *(_named(found.cells[column, row]) for column in range(len(x.values))),
        ]
        for row in reversed(range(len(y.values)))
    ]
    return markdown_table([head, *rows])


def _named(cell: Cell) -> str:
    if cell.outcome == "best":
        return f"**{cell.best}**"
    if not cell.best:
        return "-"
    return f"({cell.best})"
