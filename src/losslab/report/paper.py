"""What a paper needs of a comparison: tables, figures, methods and references in one folder."""

from pathlib import Path
from typing import TYPE_CHECKING

from losslab.analysis.comparison import Comparison
from losslab.analysis.overall import overall
from losslab.analysis.search import Tuning
from losslab.config.extras import is_installed, not_installed
from losslab.report.bibliography import bibtex
from losslab.report.figures.selection import (
    ReportFigure,
    overall_figures,
    table_figures,
    tuning_figures,
)
from losslab.report.figures.style import PRINT_WIDTH, drawing_for, save_for_print
from losslab.report.frames import pairs_frame, pooled_frame, runs_frame, table_frame
from losslab.report.latex import Spread, escaped, latex, latex_pairs
from losslab.report.methods import as_latex, as_text, citations, paragraphs
from losslab.report.write import write_csv

if TYPE_CHECKING:
    import pandas

PREVIEW = r"""% Shows all of it: pdflatex paper && bibtex paper && pdflatex paper && pdflatex paper
\documentclass{{article}}
\usepackage[utf8]{{inputenc}}
\usepackage[margin=2.5cm]{{geometry}}
\usepackage{{amsmath,booktabs,graphicx}}
\begin{{document}}
\section{{Methods}}
\input{{methods}}
\section{{Results}}
\input{{tables}}
\input{{pairs}}
{figures}
\bibliographystyle{{plain}}
\bibliography{{references}}
\end{{document}}
"""

FIGURE = r"""\begin{{figure}}
\centering
\includegraphics{size}{{figures/{name}.pdf}}
\caption{{{caption}}}
\end{{figure}}"""

SHRUNK = r"width=\linewidth,height=0.85\textheight,keepaspectratio"
PRINT_HEIGHT = 8.0
"""Height in inches of a figure that fits on a page with its caption."""


def write_paper(
    comparison: Comparison, folder: Path, tuning: Tuning | None = None, spread: Spread = "sd"
) -> list[str]:
    """Write tables, figures, methods and references of a comparison into a folder.

    Args:
        comparison: the comparison.
        folder: the folder, created if missing; files of an earlier time are overwritten.
        tuning: the search that chose the compared settings, if there was one.
        spread: what stands beside the means of the LaTeX tables.

    Returns:
        What is worth to know, line by line: which files were left out, and why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = _figures(comparison, tuning)
    for figure in figures:
        save_for_print(figure.figure, folder / "figures" / figure.name)
    texts = paragraphs(comparison, tuning)
    files = {
        "tables.tex": latex(comparison, spread),
        "pairs.tex": latex_pairs(comparison),
        "methods.tex": "\n\n".join(map(as_latex, texts)) + "\n",
        "methods.txt": "\n\n".join(map(as_text, texts)) + "\n",
        "references.bib": bibtex(citations(texts)),
        "paper.tex": PREVIEW.format(figures="\n".join(map(_included, figures))),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return _write_frames(comparison, folder, tuning)


def _figures(comparison: Comparison, tuning: Tuning | None) -> list[ReportFigure]:
    with drawing_for("print"):
        drawn = [each for table in comparison.tables for each in table_figures(comparison, table)]
        drawn += overall_figures(comparison)
        return drawn + (list(tuning_figures(tuning)) if tuning is not None else [])


def _included(figure: ReportFigure) -> str:
    said = " ".join(str(figure.figure.get_label()).split())
    caption = f"{said[0].upper()}{said[1:]}." if said else figure.caption
    width, height = figure.figure.get_size_inches()
    fits = width <= PRINT_WIDTH and height <= PRINT_HEIGHT
    return FIGURE.format(
        name=figure.name, caption=escaped(caption), size="" if fits else f"[{SHRUNK}]"
    )


def _write_frames(comparison: Comparison, folder: Path, tuning: Tuning | None) -> list[str]:
    frames = {
        "runs": runs_frame(comparison),
        "table": table_frame(comparison),
        "pairs": pairs_frame(comparison),
    }
    if overall(comparison).pooled:
        frames["pooled"] = pooled_frame(comparison)
    if tuning is not None:
        frames["tuning"] = tuning.frame()
    parquet = is_installed("pyarrow")
    for name, frame in frames.items():
        write_csv(frame, folder / f"{name}.csv")
        if parquet:
            _one_type(frame).to_parquet(folder / f"{name}.parquet", index=False)
    return [] if parquet else [f"Parquet files are left out: {not_installed('pyarrow')}"]


def _one_type(frame: "pandas.DataFrame") -> "pandas.DataFrame":
    """Return a table whose columns of mixed or nested values are texts, as Parquet needs."""
    frame = frame.copy()
    for name, column in frame.select_dtypes("object").items():
        kinds = set(map(type, column.dropna()))
        if len(kinds) > 1 or kinds & {tuple, list, dict}:
            frame[name] = column.map(str)
    return frame
