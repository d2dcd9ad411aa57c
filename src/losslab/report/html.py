"""Report as one HTML file: works offline, follows light and dark mode, with sortable tables."""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from losslab.analysis.comparison import Comparison, ComparisonTable
from losslab.analysis.conclusions import conclusions
from losslab.analysis.notes import comparison_notes, notes, unreadable_notes
from losslab.analysis.overall import overall_conclusions
from losslab.analysis.search import Tuning
from losslab.report.cells import SPLITS, interval_text, mean_text, seeds_text
from losslab.report.figures.selection import OVERALL, ReportFigure
from losslab.report.figures.style import FAINT, INK, PAPER, RULE

CSS_VARIABLES = {
    INK: "--ink",
    FAINT: "--faint",
    RULE: "--rule",
    PAPER: "--paper",
    "#000000": "--ink",
}
"""Colours of figures that are replaced by the page's, so that they follow light and dark mode."""

STYLE = """
:root { color-scheme: light dark; --ink: #222222; --faint: #666666; --rule: #dddddd;
  --paper: #ffffff; --mark: #eef4fa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e4e4; --faint: #a3a3a3; --rule: #3c3c3c;
  --paper: #181818; --mark: #22303c; } }
body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h2 { margin-top: 2.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .4rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--rule); }
th { vertical-align: bottom; white-space: normal; line-height: 1.3; }
td small { display: block; color: var(--faint); }
th:first-child, td:first-child { text-align: left; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--faint); }
th[aria-sort=ascending] button::after { content: " \\25b4"; }
th[aria-sort=descending] button::after { content: " \\25be"; }
tbody tr:hover { background: var(--mark); }
figure { margin: 2rem 0; }
figure svg { max-width: 100%; height: auto; }
figcaption { color: var(--faint); }
"""

SCRIPT = """
for (const button of document.querySelectorAll('th button')) {
  button.addEventListener('click', () => {
    const head = button.closest('th'), body = head.closest('table').tBodies[0];
    const place = head.cellIndex, up = head.getAttribute('aria-sort') !== 'ascending';
    for (const other of head.parentNode.cells) other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
    const key = row => row.cells[place].dataset.value;
    const compare = (a, b) => isNaN(a) || isNaN(b) ? String(a).localeCompare(b) : a - b;
    const known = row => key(row) !== '';
    const rows = [...body.rows];
    const sorted = rows.filter(known).sort((a, b) => compare(key(a), key(b)) * (up ? 1 : -1));
    body.append(...sorted, ...rows.filter(row => !known(row)));
  });
}
"""


def page(
    comparison: Comparison,
    figures: Mapping[str, Sequence[ReportFigure]],
    tuning: Tuning | None = None,
    tuning_figures: Sequence[ReportFigure] = (),
) -> str:
    """Render the page.

    Args:
        comparison: the comparison to report.
        figures: figures of the tables, by table name.
        tuning: the search that chose the compared settings, if there was one.
        tuning_figures: figures of the search.
    """
    return "\n".join(_page(comparison, figures, tuning, tuning_figures)) + "\n"


def _page(
    comparison: Comparison,
    figures: Mapping[str, Sequence[ReportFigure]],
    tuning: Tuning | None,
    tuning_figures: Sequence[ReportFigure],
) -> Iterator[str]:
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    names = ", ".join(table.title for table in comparison.tables)
    yield f"<title>Comparison: {escape(names)}</title>"
    yield f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>Comparison</h1>"
    if tuning is not None:
        yield "<h2>Tuning</h2>"
        yield from _list(tuning.lines())
        yield from _figures(tuning_figures)
    for table in comparison.tables:
        yield f"<h2>{escape(table.title)}</h2>"
        yield from _table(table, comparison.split)
        yield from _list([*conclusions(table), *notes(table)])
        yield from _figures(figures.get(table.name, ()))
    last = [
        *overall_conclusions(comparison),
        *comparison_notes(comparison),
        *unreadable_notes(comparison),
    ]
    if last:
        yield "<h2>Overall</h2>"
        yield from _list(last)
        yield from _figures(figures.get(OVERALL, ()))
    yield f"<script>{SCRIPT}</script>\n</body>\n</html>"


def _list(lines: Sequence[str]) -> Iterator[str]:
    yield "<ul>"
    yield from (f"<li>{escape(line)}</li>" for line in lines)
    yield "</ul>"


def _table(table: ComparisonTable, split: str) -> Iterator[str]:
    """Render a table whose cells carry their sort key; cells without a key stay last."""
    yield (
        f"<p>{SPLITS[split].capitalize()} metrics: mean over seeds [95 % interval], the best by "
        f"{escape(table.primary_metrics[0].label)} first. Click a column header to sort.</p>"
    )
    yield '<div class="wide"><table>'
    heads = ["loss", "seeds", *(metric.header for metric in table.columns)]
    yield "<thead><tr>"
    for head in heads:
        # the arrow stays beside its word
        text = escape(head).replace(" ↑", "&nbsp;↑").replace(" ↓", "&nbsp;↓")
        yield f'<th scope="col"><button>{text}</button></th>'
    yield "</tr></thead>\n<tbody>"
    for row in table.rows:
        cells = [(row.label, escape(row.label)), (str(len(row.done)), escape(seeds_text(row)))]
        for metric in table.columns:
            summary = table.summary(row, metric)
            interval = f" <small>{interval_text(summary)}</small>" if summary.n > 1 else ""
            key = repr(summary.mean) if summary.n else ""
            cells.append((key, mean_text(summary) + interval))
        texts = (f'<td data-value="{escape(key)}">{text}</td>' for key, text in cells)
        yield f"<tr>{''.join(texts)}</tr>"
    yield "</tbody></table></div>"


def _figures(figures: Sequence[ReportFigure]) -> Iterator[str]:
    for figure in figures:
        yield f"<figure>{inlined(figure)}"
        yield f"<figcaption>{escape(figure.caption)}</figcaption></figure>"


def inlined(figure: ReportFigure) -> str:
    """Return a figure as an SVG element with the page's colours and unique ids."""
    text = figure.svg
    mark = re.sub(r"[^A-Za-z0-9_-]", "-", figure.name)
    text = re.sub(r'\bid="', f'id="{mark}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\1{mark}-", text)
    for colour, variable in CSS_VARIABLES.items():
        text = re.sub(rf"{colour}\b", f"var({variable})", text)
    title = escape(" ".join(figure.figure.get_suptitle().split()))
    return text.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
