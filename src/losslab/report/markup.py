"""Report as Markdown, and its tables as LaTeX."""

from collections.abc import Iterator, Mapping, Sequence

from losslab.analysis.answer import answers
from losslab.analysis.comparison import Comparison, ComparisonTable
from losslab.analysis.conclusions import conclusions
from losslab.analysis.notes import comparison_notes, notes, tuning_notes, unreadable_notes
from losslab.analysis.overall import overall_answer, overall_conclusions
from losslab.analysis.search import Tuning
from losslab.report.figures.selection import OVERALL, ReportFigure
from losslab.report.frames import grid, markdown_table, pairs_grid
from losslab.report.glossary import glossary
from losslab.report.provenance import provenance, title_of


def markdown(
    comparison: Comparison,
    tuning: Tuning | None = None,
    figures: Mapping[str, Sequence[ReportFigure]] = {},
    tuning_figures: Sequence[ReportFigure] = (),
) -> str:
    """Render the report as Markdown; for the arguments see :func:`losslab.report.html.page`."""
    return "\n".join(_markdown(comparison, tuning, figures, tuning_figures)) + "\n"


def _markdown(
    comparison: Comparison,
    tuning: Tuning | None,
    figures: Mapping[str, Sequence[ReportFigure]],
    tuning_figures: Sequence[ReportFigure],
) -> Iterator[str]:
    content = "\n".join(_content(comparison, tuning, figures, tuning_figures))
    yield f"# {title_of(comparison)}\n"
    yield content
    terms = glossary(content)
    if terms:
        yield "\n## Glossary\n"
        yield from (f"- **{term}**: {meaning}" for term, meaning in terms.items())


def _content(
    comparison: Comparison,
    tuning: Tuning | None,
    figures: Mapping[str, Sequence[ReportFigure]],
    tuning_figures: Sequence[ReportFigure],
) -> Iterator[str]:
    tuned = tuning is not None and tuning.protocol == "tuned"
    yield from (f"**{line}**\n" for line in overall_answer(comparison))
    for answer in answers(comparison, tuned=tuned):
        first, following = answer.lines
        yield f"**{first}**\n\n{following}\n"
    if tuning is not None:
        yield "\n## Tuning\n"
        yield from (f"- {line}" for line in (*tuning.lines(), *tuning_notes(tuning)))
        yield from map(_image, tuning_figures)
    for table in comparison.tables:
        yield f"\n## {table.title}\n"
        yield from (f"- {key}: {_code(key, text)}" for key, text in provenance(table).items())
        yield ""
        yield from markdown_table(grid(table, costs=True))
        yield ""
        yield from (f"- {line}" for line in conclusions(table))
        yield from (f"- {line}" for line in notes(table))
        yield from map(_image, figures.get(table.name, ()))
        if table.pairs:
            yield ""
            yield from markdown_table(pairs_grid(table))
    last = [
        *overall_conclusions(comparison),
        *comparison_notes(comparison),
        *unreadable_notes(comparison),
    ]
    if last:
        yield "\n## Overall\n"
        yield from (f"- {line}" for line in last)
        yield from map(_image, figures.get(OVERALL, ()))


def _code(keyword: str, text: str) -> str:
    return f"`{text}`" if keyword == "Command" else text


def _image(figure: ReportFigure) -> str:
    return f"\n![{figure.caption}](figures/{figure.name}.png)\n\n{figure.caption}"


def latex(comparison: Comparison) -> str:
    """Render the tables as LaTeX with booktabs."""
    return "\n\n".join(_latex(table) for table in comparison.tables) + "\n"


def _latex(table: ComparisonTable) -> str:
    head, *lines = grid(table)
    body = [r" & ".join(map(_escaped, line)) + r" \\" for line in (head, *lines)]
    return "\n".join(
        [
            f"% {table.title}: mean and 95 % interval over seeds",
            rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"\toprule",
            body[0],
            r"\midrule",
            *body[1:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _escaped(text: str) -> str:
    for character in ("&", "%", "_", "#"):
        text = text.replace(character, rf"\{character}")
    return text.replace("↑", r"$\uparrow$").replace("↓", r"$\downarrow$").replace("²", "$^2$")
