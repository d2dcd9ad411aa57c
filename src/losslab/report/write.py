"""Write the folder of a report."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from losslab.analysis.comparison import Comparison
from losslab.analysis.overall import overall
from losslab.analysis.search import Tuning
from losslab.report.figures.rendering import save_figures
from losslab.report.figures.selection import OVERALL, overall_figures, table_figures, tuning_figures
from losslab.report.frames import pairs_frame, pooled_frame, runs_frame, table_frame
from losslab.report.html import page
from losslab.report.latex import latex
from losslab.report.markup import markdown

if TYPE_CHECKING:
    import pandas


def write_report(comparison: Comparison, folder: Path, tuning: Tuning | None = None) -> Path:
    """Write the report of a comparison, overwriting an earlier one.

    Args:
        comparison: result of :func:`losslab.analysis.comparison.compare`.
        folder: folder of the report, created if missing.
        tuning: the search that chose the compared settings, if there was one.

    Returns:
        Path of the HTML report.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    figures = {table.name: list(table_figures(comparison, table)) for table in comparison.tables}
    figures[OVERALL] = list(overall_figures(comparison))
    tuned = list(tuning_figures(tuning)) if tuning is not None else []
    save_figures([*tuned, *(each for of in figures.values() for each in of)], folder / "figures")
    write_csv(runs_frame(comparison), folder / "runs.csv")
    write_csv(table_frame(comparison), folder / "table.csv")
    write_csv(pairs_frame(comparison), folder / "pairs.csv")
    if overall(comparison).pooled:
        write_csv(pooled_frame(comparison), folder / "pooled.csv")
    if tuning is not None:
        write_csv(tuning.frame(), folder / "tuning.csv")
    (folder / "table.tex").write_text(latex(comparison), encoding="utf-8")
    text = markdown(comparison, tuning, figures, tuned)
    (folder / "report.md").write_text(text, encoding="utf-8")
    html = page(comparison, figures, tuning, tuned)
    (folder / "report.html").write_text(html, encoding="utf-8")
    return folder / "report.html"


def write_csv(frame: "pandas.DataFrame", path: Path) -> None:
    """Write a table, with an apostrophe before texts that a spreadsheet would compute."""
    frame.rename(columns=_no_formula).map(_no_formula).to_csv(path, index=False)


def _no_formula(cell: Any) -> Any:
    """Return a cell that a spreadsheet shows as it is.

    Example:
        >>> [_no_formula(cell) for cell in ("=HYPERLINK(1)", "-0.5", "mse", -0.5)]
        ["'=HYPERLINK(1)", '-0.5', 'mse', -0.5]
    """
    if not isinstance(cell, str) or not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    return cell if _is_number(cell) else f"'{cell}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
