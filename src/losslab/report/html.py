"""Report as one HTML file: the answer first, then tables, figures and a glossary.

It works offline, follows light and dark mode, and fits a phone: narrow screens get figures with one
panel per row, and tables that scroll sideways below their first column.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape, unescape

from losslab.analysis.answer import answers
from losslab.analysis.comparison import Comparison, ComparisonTable
from losslab.analysis.comparison_groups import Row
from losslab.analysis.conclusions import conclusions
from losslab.analysis.cost import Cost, cost
from losslab.analysis.notes import comparison_notes, notes, tuning_notes, unreadable_notes
from losslab.analysis.overall import overall_answer, overall_conclusions
from losslab.analysis.search import Tuning
from losslab.report.cells import CENTERS, COST, SPLITS, interval_text, mean_text, seeds_text
from losslab.report.figures.selection import OVERALL, ReportFigure
from losslab.report.figures.style import FAINT, INK, PAPER, RULE
from losslab.report.glossary import glossary
from losslab.report.provenance import provenance, title_of

MOST_ROWS = 200
"""Number of rows, the best ones, that a table of the page has."""

HINT = "Scroll sideways to see the rest."

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
body { margin: 2rem auto; max-width: 78rem; padding: 0 1rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { margin-top: 2.5rem; }
h1, h2, p, li, dd, figcaption { overflow-wrap: anywhere; }
.answer { background: var(--mark); border-left: .3rem solid #0072b2; padding: .1rem 1rem;
  margin: 1rem 0; font-size: 1.1rem; }
.answer .next { font-size: 1rem; }
.wide { overflow-x: auto; }
.hint { color: var(--faint); font-size: .9rem; margin: .3rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { font-weight: 600; }
dd { margin: 0; }
.provenance, .glossary { font-size: .9rem; }
code { font-size: .9em; overflow-wrap: anywhere; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .4rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--rule); }
th { vertical-align: bottom; white-space: normal; line-height: 1.3; }
td small { display: block; color: var(--faint); }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0;
  background: var(--paper); }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--faint); }
th[aria-sort=ascending] button::after { content: " \\25b4"; }
th[aria-sort=descending] button::after { content: " \\25be"; }
tbody tr:hover { background: var(--mark); }
figure { margin: 2rem 0; }
figure svg { max-width: 100%; height: auto; }
.phone { display: none; overflow-x: auto; }
.phone svg { max-width: none; }
figcaption { color: var(--faint); }
@media (max-width: 50rem) {
  body { margin-top: 1rem; }
  .desk { display: none; }
  .phone { display: block; }
  td:first-child { white-space: normal; min-width: 6.5rem; max-width: 9rem; }
  dl { grid-template-columns: 1fr; }
  dd { margin-bottom: .4rem; }
}
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
const hint = () => {
  for (const box of document.querySelectorAll('.wide, .phone'))
    box.previousElementSibling.hidden = box.scrollWidth <= box.clientWidth + 1;
};
addEventListener('resize', hint);
hint();
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
    content = "\n".join(_content(comparison, figures, tuning, tuning_figures))
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    title = escape(title_of(comparison))
    yield f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>"
    yield content
    yield from _glossary(content)
    yield f"<script>{SCRIPT}</script>\n</body>\n</html>"


def _content(
    comparison: Comparison,
    figures: Mapping[str, Sequence[ReportFigure]],
    tuning: Tuning | None,
    tuning_figures: Sequence[ReportFigure],
) -> Iterator[str]:
    tuned = tuning is not None and tuning.protocol == "tuned"
    for line in overall_answer(comparison):
        yield f'<div class="answer"><p>{escape(line)}</p></div>'
    for answer in answers(comparison, tuned=tuned):
        *lines, following = map(escape, answer.lines)
        said = "".join(f"<p>{line}</p>" for line in lines)
        yield f'<div class="answer">{said}<p class="next">{following}</p></div>'
    if tuning is not None:
        yield "<h2>Tuning</h2>"
        yield from _list([*tuning.lines(), *tuning_notes(tuning)])
        yield from _figures(tuning_figures)
    for table in comparison.tables:
        yield f"<h2>{escape(table.title)}</h2>"
        yield from _provenance(table)
        yield from _table(table, comparison.split, CENTERS[comparison.center])
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


def _list(lines: Sequence[str]) -> Iterator[str]:
    yield "<ul>"
    yield from (f"<li>{escape(line)}</li>" for line in lines)
    yield "</ul>"


def _provenance(table: ComparisonTable) -> Iterator[str]:
    yield '<dl class="provenance">'
    for keyword, text in provenance(table).items():
        shown = f"<code>{escape(text)}</code>" if keyword == "Command" else escape(text)
        yield f"<dt>{keyword}</dt><dd>{shown}</dd>"
    yield "</dl>"


def _glossary(content: str) -> Iterator[str]:
    """Explain the terms that occur outside of the figures."""
    text = unescape(re.sub(r"<svg.*?</svg>|<[^>]*>", " ", content, flags=re.DOTALL))
    terms = glossary(text)
    if terms:
        yield '<h2>Glossary</h2>\n<dl class="glossary">'
        yield from (f"<dt>{escape(t)}</dt><dd>{escape(terms[t])}</dd>" for t in terms)
        yield "</dl>"


def _table(table: ComparisonTable, split: str, center: str) -> Iterator[str]:
    """Render a table whose cells carry their sort key; cells without a key stay last."""
    best_by = escape(table.primary_metrics[0].label)
    yield (
        f"<p>{SPLITS[split].capitalize()} metrics: {center} over seeds [95 % interval], the best "
        f"by {best_by} first. Click a column header to sort.</p>"
    )
    yield f'<p class="hint" hidden>{HINT}</p><div class="wide"><table>'
    costs = {row.label: cost(row) for row in table.rows[:MOST_ROWS]}
    heads = ["loss", "seeds", *(metric.header for metric in table.columns)]
    heads += [COST] if any(costs.values()) else []
    yield "<thead><tr>"
    for head in heads:
        # the arrow stays beside its word
        text = escape(head).replace(" ↑", "&nbsp;↑").replace(" ↓", "&nbsp;↓")
        yield f'<th scope="col"><button>{text}</button></th>'
    yield "</tr></thead>\n<tbody>"
    shown = table.best(MOST_ROWS)
    for row in shown.rows:
        cells = [*_cells(table, row), *([_cost_cell(costs[row.label])] if COST in heads else [])]
        texts = (f'<td data-value="{escape(key)}">{text}</td>' for key, text in cells)
        yield f"<tr>{''.join(texts)}</tr>"
    yield "</tbody></table></div>"
    if shown.selection:
        yield f"<p>This table shows {shown.selection}; table.csv has all.</p>"


def _cells(table: ComparisonTable, row: Row) -> Iterator[tuple[str, str]]:
    """Yield the sort key and the content of each cell of a row."""
    yield row.label, escape(row.label)
    yield str(len(row.done)), escape(seeds_text(row, table.main_summary(row)))
    for metric in table.columns:
        summary = table.summary(row, metric)
        interval = f" <small>{interval_text(summary)}</small>" if summary.n > 1 else ""
        yield (repr(summary.mean) if summary.n else ""), mean_text(summary) + interval


def _cost_cell(cost: Cost | None) -> tuple[str, str]:
    if cost is None:
        return "", ""
    return repr(cost.loss_ms), f"{cost.of_loss} <small>{cost.of_run}</small>"


def _figures(figures: Sequence[ReportFigure]) -> Iterator[str]:
    for figure in figures:
        hint = f'<p class="hint" hidden>{HINT}</p>'
        phone = f'{hint}<div class="phone">{inlined(figure, phone=True)}</div>'
        yield f'<figure><div class="desk">{inlined(figure)}</div>{phone}'
        yield f"<figcaption>{escape(figure.caption)}</figcaption></figure>"


def inlined(figure: ReportFigure, *, phone: bool = False) -> str:
    """Return a figure as an SVG element with the page's colours and unique ids."""
    text = figure.phone_svg if phone else figure.svg
    mark = re.sub(r"[^A-Za-z0-9_-]", "-", figure.name) + ("-phone" if phone else "")
    text = re.sub(r'\bid="', f'id="{mark}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\1{mark}-", text)
    for colour, variable in CSS_VARIABLES.items():
        text = re.sub(rf"{colour}\b", f"var({variable})", text)
    title = escape(" ".join(figure.figure.get_suptitle().split()))
    return text.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
