"""What a notebook shows of a comparison: answer, tables and figures."""

import base64
import html
import io
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from losslab.analysis.comparison import Comparison, ComparisonTable
from losslab.analysis.search import Tuning
from losslab.config.errors import UserError
from losslab.report.figures.final_metrics import final_metrics
from losslab.report.figures.learning_rates import learning_rates
from losslab.report.figures.over_time import TableCurves
from losslab.report.figures.seed_differences import seed_differences
from losslab.report.figures.style import NothingToDraw
from losslab.report.figures.validation_curves import validation_curves
from losslab.report.frames import grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEAD = "text-align:{}; vertical-align:bottom; max-width:8em"
CELL = "text-align:{}; white-space:nowrap"


class Plots:
    """Figures of a comparison, as matplotlib figures.

    Args:
        comparison: the comparison; figures are about its first table.
        tuning: the search that chose the compared settings, if there was one.
    """

    def __init__(self, comparison: Comparison, tuning: Tuning | None = None) -> None:
        self._table: ComparisonTable = comparison.tables[0]
        self._tuning = tuning

    def differences(self) -> "Figure":
        """Draw the differences between losses, seed by seed, with their intervals."""
        return _displayed(seed_differences(self._table))

    def metrics(self) -> "Figure":
        """Draw the final metrics of each loss."""
        return _displayed(final_metrics(self._table))

    def curves(self) -> "Figure":
        """Draw the validation metrics over training."""
        return _displayed(validation_curves(self._table, read=TableCurves(self._table)))

    def learning_rates(self) -> "Figure":
        """Draw the validation metric of each trial against its learning rate.

        Raises:
            UserError: if no learning rate was tuned.
        """
        if self._tuning is None:
            raise UserError("no learning rate was tuned: losslab.tune(...) tries several")
        try:
            return _displayed(learning_rates(self._tuning))
        except NothingToDraw as error:
            raise UserError(
                f'{error}: losslab.tune(..., protocol="tuned") tries several'
            ) from error


def page(comparison: Comparison, answer: str, more: Sequence[str] = ()) -> str:
    """Return answer, further lines, tables and the figure of differences as HTML."""
    first, *others = [html.escape(line) for line in (*answer.splitlines(), *more) if line]
    parts = [f"<p><b>{first}</b></p>", *(f"<p>{line}</p>" for line in others)]
    parts += [_table(table) for table in comparison.tables]
    with suppress(NothingToDraw):
        picture = base64.b64encode(_png(Plots(comparison).differences())).decode()
        parts.append(f'<img style="max-width:100%" src="data:image/png;base64,{picture}">')
    return "\n".join(parts)


def _table(table: ComparisonTable) -> str:
    head, *lines = grid(table)
    names = "".join(
        f'<th style="{HEAD.format(_side(place))}">{html.escape(cell)}</th>'
        for place, cell in enumerate(head)
    )
    rows = "".join(
        f"<tr>{''.join(_cell(place, cell) for place, cell in enumerate(line))}</tr>"
        for line in lines
    )
    return (
        '<div style="overflow-x:auto"><table>'
        f"<thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _cell(place: int, text: str) -> str:
    """Return a cell of the table, with the interval below the mean."""
    mean, bracket, interval = html.escape(text).partition(" [")
    below = f"<br><small>[{interval}</small>" if bracket and place else ""
    shown = mean if below else html.escape(text)
    return f'<td style="{CELL.format(_side(place))}">{shown}{below}</td>'


def _side(place: int) -> str:
    return "right" if place else "left"


def _displayed(figure: "Figure") -> "Figure":
    """Let a notebook show a figure that pyplot does not know, and may not have been imported."""
    figure._repr_png_ = lambda: _png(figure)  # type: ignore[attr-defined]
    return figure


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
