"""Write the folder of a report."""

from pathlib import Path

from losslab.analysis.comparison import Comparison
from losslab.analysis.overall import overall
from losslab.analysis.search import Tuning
from losslab.report.figures.selection import OVERALL, overall_figures, table_figures, tuning_figures
from losslab.report.frames import pairs_frame, pooled_frame, runs_frame, table_frame
from losslab.report.html import page
from losslab.report.markup import latex, markdown


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
    for figure in [*tuned, *(each for drawn in figures.values() for each in drawn)]:
        figure.save(folder / "figures")
    runs_frame(comparison).to_csv(folder / "runs.csv", index=False)
    table_frame(comparison).to_csv(folder / "table.csv", index=False)
    pairs_frame(comparison).to_csv(folder / "pairs.csv", index=False)
    if overall(comparison).pooled:
        pooled_frame(comparison).to_csv(folder / "pooled.csv", index=False)
    if tuning is not None:
        tuning.frame().to_csv(folder / "tuning.csv", index=False)
    (folder / "table.tex").write_text(latex(comparison), encoding="utf-8")
    text = markdown(comparison, tuning, figures, tuned)
    (folder / "report.md").write_text(text, encoding="utf-8")
    html = page(comparison, figures, tuning, tuned)
    (folder / "report.html").write_text(html, encoding="utf-8")
    return folder / "report.html"
