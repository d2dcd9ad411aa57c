"""The report as one HTML file: readable offline, light and dark, with tables that can be sorted."""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from losslab.analysis.comparison import Comparison, Table
from losslab.analysis.conclusions import (
    comparison_notes,
    conclusions,
    notes,
    unreadable_notes,
    wins,
)
from losslab.analysis.search import Tuning
from losslab.report.cells import SPLITS, interval_text, mean_text, seeds_text
from losslab.report.figures.selection import Picture
from losslab.report.figures.style import FAINT, INK, PAPER, RULE

COLOURS = {INK: "--ink", FAINT: "--faint", RULE: "--rule", PAPER: "--paper", "#000000": "--ink"}
"""What a picture takes from the page, so that it follows light and dark."""

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
    pictures: Mapping[str, Sequence[Picture]],
    tuning: Tuning | None = None,
    tuned: Sequence[Picture] = (),
) -> str:
    """The whole page.

    Args:
        comparison: what it reports.
        pictures: by table name.
        tuning: the search that chose what is compared, if there was one.
        tuned: its pictures.
    """
    return "\n".join(_page(comparison, pictures, tuning, tuned)) + "\n"


def _page(
    comparison: Comparison,
    pictures: Mapping[str, Sequence[Picture]],
    tuning: Tuning | None,
    tuned: Sequence[Picture],
) -> Iterator[str]:
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    names = ", ".join(table.title for table in comparison.tables)
    yield f"<title>Comparison: {escape(names)}</title>"
    yield f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>Comparison</h1>"
    if tuning is not None:
        yield "<h2>Tuning</h2>"
        yield from _list(tuning.lines())
        yield from _figures(tuned)
    for table in comparison.tables:
        yield f"<h2>{escape(table.title)}</h2>"
        yield from _table(table, comparison.split)
        yield from _list([*conclusions(table), *notes(table)])
        yield from _figures(pictures.get(table.name, ()))
    last = [
        *map(str, wins(comparison)),
        *comparison_notes(comparison),
        *unreadable_notes(comparison),
    ]
    if last:
        yield "<h2>Over all</h2>"
        yield from _list(last)
    yield f"<script>{SCRIPT}</script>\n</body>\n</html>"


def _list(lines: Sequence[str]) -> Iterator[str]:
    yield "<ul>"
    yield from (f"<li>{escape(line)}</li>" for line in lines)
    yield "</ul>"


def _table(table: Table, split: str) -> Iterator[str]:
    """Cells carry the number that they are sorted by; an empty one stays last."""
    yield (
        f"<p>{SPLITS[split].capitalize()} metrics: mean over seeds [95 % interval], the best by "
        f"{escape(table.judging[0].label)} first; a click on a head sorts.</p>"
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


def _figures(pictures: Sequence[Picture]) -> Iterator[str]:
    for picture in pictures:
        yield f"<figure>{inlined(picture)}"
        yield f"<figcaption>{escape(picture.caption)}</figcaption></figure>"


def inlined(picture: Picture) -> str:
    """A picture as an element of a page: in the page's colours, its ids apart from others'."""
    text = picture.svg
    mark = re.sub(r"[^A-Za-z0-9_-]", "-", picture.name)
    text = re.sub(r'\bid="', f'id="{mark}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\1{mark}-", text)
    for colour, variable in COLOURS.items():
        text = re.sub(rf"{colour}\b", f"var({variable})", text)
    title = escape(" ".join(picture.figure.get_suptitle().split()))
    return text.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
