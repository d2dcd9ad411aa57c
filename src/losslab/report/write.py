"""Writing a report's folder; every file is made of the comparison and of what the runs left."""

from pathlib import Path

from losslab.analysis.comparison import Comparison
from losslab.analysis.search import Tuning
from losslab.report.figures.selection import table_pictures, tuning_pictures
from losslab.report.frames import pairs_frame, runs_frame, table_frame
from losslab.report.html import page
from losslab.report.markup import latex, markdown


def write_report(comparison: Comparison, folder: Path, tuning: Tuning | None = None) -> Path:
    """Write the report of a comparison; what an earlier one left is written over.

    Args:
        comparison: as :func:`losslab.analysis.comparison.compare` gives it.
        folder: made where it is not there.
        tuning: the search that chose what is compared, if there was one.

    Returns:
        The file to open first.
    """
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    pictures = {table.name: list(table_pictures(comparison, table)) for table in comparison.tables}
    tuned = list(tuning_pictures(tuning)) if tuning is not None else []
    for picture in [*tuned, *(each for drawn in pictures.values() for each in drawn)]:
        picture.save(folder / "pictures")
    runs_frame(comparison).to_csv(folder / "runs.csv", index=False)
    table_frame(comparison).to_csv(folder / "table.csv", index=False)
    pairs_frame(comparison).to_csv(folder / "pairs.csv", index=False)
    if tuning is not None:
        tuning.frame().to_csv(folder / "tuning.csv", index=False)
    (folder / "table.tex").write_text(latex(comparison), encoding="utf-8")
    text = markdown(comparison, tuning, pictures, tuned)
    (folder / "report.md").write_text(text, encoding="utf-8")
    html = page(comparison, pictures, tuning, tuned)
    (folder / "report.html").write_text(html, encoding="utf-8")
    return folder / "report.html"
