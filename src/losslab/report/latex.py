"""Tables of a comparison in LaTeX, with booktabs."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Literal

from losslab.analysis.comparison import Comparison, ComparisonTable
from losslab.analysis.standing import standing
from losslab.analysis.summaries import Summary
from losslab.analysis.words import joined, span
from losslab.metrics.labels import Metric
from losslab.report.cells import CENTERS, SPLITS, cell, mean_text, seeds_text
from losslab.report.frames import pairs_grid

Spread = Literal["sd", "interval", "none"]
SPREADS: tuple[Spread, ...] = ("sd", "interval", "none")

WIDEST = 60
"""Letters of all headers above which metrics have their short names."""
WIDEST_LINE = 100
"""Letters of a line above which its columns are divided into blocks."""
WIDEST_SMALL = 80
"""Letters of a line above which it is set smaller."""
MOST_PAIRS = 40
"""Number of pairs that fit on a page; more are left to the files."""

_OF_SPREAD = {
    "sd": " $\\pm$ standard deviation",
    "interval": " with its 95\\,\\% confidence interval",
    "none": "",
}
_SIGNS = {
    **{character: rf"\{character}" for character in "&%_#${}"},
    **{"\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\~{}", "<": "$<$", ">": "$>$", "|": "$|$"},
    **{"↑": r"$\uparrow$", "↓": r"$\downarrow$", "²": "$^2$", "±": r"$\pm$"},
}

_COMMAND = re.compile(r"\\[A-Za-z]+|[{}$\\]")

_GREEK = re.compile(
    "greek (?:small letter (?!omicron)|capital letter "
    "(?=gamma|delta|theta|lambda|xi|pi|sigma|upsilon|phi|psi|omega))([a-z]+)"
)
"""Names of the letters that TeX calls by the same name."""


def latex(comparison: Comparison, spread: Spread = "interval") -> str:
    """Return the tables of a comparison as LaTeX.

    Args:
        comparison: the comparison.
        spread: what stands beside a mean: ``sd``, the standard deviation over seeds, ``interval``,
            its 95 % confidence interval, or ``none``.
    """
    return "\n\n".join(_table(each, comparison, spread) for each in comparison.tables) + "\n"


def latex_pairs(comparison: Comparison) -> str:
    """Return the compared pairs as LaTeX, of each table with few enough for a page."""
    tables = [each for each in comparison.tables if 0 < len(each.pairs) <= MOST_PAIRS]
    return "\n\n".join(map(_pairs, tables)) + "\n"


def escaped(text: str) -> str:
    r"""Escape a text for LaTeX; letters that it lacks become similar ones.

    Example:
        >>> print(escaped("my_loss (50 %), β"))
        my\_loss (50 \%), $\beta$
    """
    return "".join(map(_letter, re.sub(r"\s+", " ", text)))


def _numbers(text: str) -> str:
    """Escape a text of numbers for LaTeX, with minus signs."""
    return re.sub(r"(?<![\w.])-(?=\d)", "$-$", escaped(text))


def _letter(letter: str) -> str:
    if letter in _SIGNS or letter.isascii():
        return _SIGNS.get(letter, letter)
    if "\xa1" <= letter <= "\xff":
        return letter  # TeX composes them
    name = unicodedata.name(letter, "").lower().replace("lamda", "lambda")
    if greek := _GREEK.fullmatch(name):
        return f"$\\{greek[1].title() if 'capital' in name else greek[1]}$"
    if unicodedata.category(letter) == "Pd":
        return "--"
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return "".join(_SIGNS.get(each, each) for each in plain) or "?"


def _table(table: ComparisonTable, comparison: Comparison, spread: Spread) -> str:
    counts = {seeds_text(row, table.main_summary(row)) for row in table.rows}
    short = sum(len(metric.header) for metric in table.columns) > WIDEST
    head = ["loss", *(["seeds"] if len(counts) > 1 else [])]
    head += [metric.short_header if short else metric.header for metric in table.columns]
    bold = {metric.name: bold_rows(table, metric, comparison) for metric in table.columns}
    lines = []
    for row in table.rows:
        line = [escaped(row.label)]
        line += [escaped(seeds_text(row, table.main_summary(row)))] if len(counts) > 1 else []
        for metric in table.columns:
            text = _cell(table.summary(row, metric), spread)
            line.append(_bold(text) if row.label in bold[metric.name] else text)
        lines.append(line)
    caption = " ".join(_caption(table, comparison, spread, any(bold.values())))
    return _tabular([*map(escaped, head)], lines, caption, f"tab:{_label(table)}")


def _cell(summary: Summary, spread: Spread) -> str:
    if spread == "interval":
        return _numbers(cell(summary))
    mean = _numbers(mean_text(summary))
    if spread == "none" or summary.n < 2:
        return mean
    return rf"{mean} $\pm$ {escaped(summary.metric.number(summary.deviation, like=summary.mean))}"


def _bold(text: str) -> str:
    bold_sign = text.replace(r"$\pm$", r"$\boldsymbol{\pm}$")
    return rf"\textbf{{{bold_sign}}}" if text else text


def bold_rows(table: ComparisonTable, metric: Metric, comparison: Comparison) -> set[str]:
    """Return the rows that are set in bold, see :func:`rule`; none if nothing is significant."""
    if metric.name not in {each.name for each in table.primary_metrics}:
        return set()
    found = standing(table, metric)
    if comparison.baseline is not None:
        return {pair.a for pair in found.pairs if pair.preferred == pair.a}
    return set(found.leading) if found.beaten else set()


def rule(table: ComparisonTable, comparison: Comparison, *, any_bold: bool) -> str:
    """Say in plain text what bold means in a table."""
    metrics = joined(metric.label for metric in table.primary_metrics)
    test = f"at 5 % after correction for {comparison.comparisons} comparisons"
    if comparison.comparisons == 1:
        test = "at 5 %"
    if not table.pairs:
        return ""
    if comparison.baseline is not None:
        if not any_bold:
            return f"No loss is significantly better than {comparison.baseline} ({test})."
        return f"Bold: significantly better than {comparison.baseline} in {metrics} ({test})."
    if not any_bold:
        return f"No difference in {metrics} is significant ({test}), so nothing is bold."
    if table.reference is not None:
        best = table.reference.label
        return f"Bold: not significantly worse than {best} in {metrics} ({test})."
    return f"Bold: no other loss is significantly better in {metrics} ({test})."


def _caption(
    table: ComparisonTable, comparison: Comparison, spread: Spread, any_bold: bool
) -> Iterator[str]:
    counts = span(len(row.done) for row in table.rows)
    center = CENTERS[comparison.center].capitalize()
    yield f"{escaped(table.title)}: {SPLITS[comparison.split]} metrics."
    yield f"{center}{_OF_SPREAD[spread]} over {counts} seed{'' if counts == '1' else 's'}."
    if said := rule(table, comparison, any_bold=any_bold):
        yield escaped(said)


def _pairs(table: ComparisonTable) -> str:
    head, *lines = pairs_grid(table)
    caption = f"{escaped(table.title)}: paired differences. MDE: minimum detectable effect."
    texts = [[*map(escaped, line[:3]), *map(_numbers, line[3:])] for line in lines]
    return _tabular([*map(escaped, head)], texts, caption, f"tab:{_label(table)}-pairs", left=3)


def _label(table: ComparisonTable) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", table.name).strip("-")


def _tabular(
    head: Sequence[str],
    lines: Sequence[Sequence[str]],
    caption: str,
    label: str,
    left: int = 1,
) -> str:
    blocks = _blocks([head, *lines], left)
    size = (
        "small" if len(blocks) == 1 and _width([head, *lines]) <= WIDEST_SMALL else "footnotesize"
    )
    tabulars = [_block(block, left) for block in blocks]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\centering\{size}\setlength{{\tabcolsep}}{{3pt}}",
            rf"\caption{{{caption}}}",
            rf"\label{{{label}}}",
            "\n\n\\medskip\n".join(tabulars),
            r"\end{table}",
        ]
    )


def _blocks(grid: Sequence[Sequence[str]], left: int) -> list[list[list[str]]]:
    """Divide the columns of a table into blocks that fit on a page, which all have the first."""
    columns = list(zip(*grid, strict=True))
    first, others = columns[:left], columns[left:]
    blocks: list[list[tuple[str, ...]]] = []
    for column in others:
        if not blocks or _width(list(zip(*blocks[-1], column, strict=True))) > WIDEST_LINE:
            blocks.append(list(first))
        blocks[-1].append(column)
    return [[list(line) for line in zip(*block, strict=True)] for block in blocks]


def _width(grid: Sequence[Sequence[str]]) -> int:
    """Return the letters of a table's columns, without the commands of LaTeX."""
    columns = zip(*grid, strict=True)
    return sum(max(len(_COMMAND.sub("", each)) for each in column) for column in columns)


def _block(grid: Sequence[Sequence[str]], left: int) -> str:
    head, *lines = grid
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{'l' * left + 'r' * (len(head) - left)}}}",
            r"\toprule",
            rf"{' & '.join(head)} \\",
            r"\midrule",
            *(rf"{' & '.join(line)} \\" for line in lines),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )
