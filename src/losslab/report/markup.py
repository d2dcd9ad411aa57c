"""Report as Markdown."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from losslab.analysis.answer import answers
from losslab.analysis.comparison import Comparison
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
    yield f"# {plain_markdown(title_of(comparison))}\n"
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
    yield from (f"**{plain_markdown(line)}**\n" for line in overall_answer(comparison))
    for answer in answers(comparison, tuned=tuned):
        *lines, following = map(plain_markdown, answer.lines)
        yield from (f"**{line}**\n" for line in lines)
        yield f"{following}\n"
    if tuning is not None:
        yield "\n## Tuning\n"
        yield from _items([*tuning.lines(), *tuning_notes(tuning)])
        yield from map(_image, tuning_figures)
    for table in comparison.tables:
        yield f"\n## {plain_markdown(table.title)}\n"
        yield from (f"- {key}: {_code(key, text)}" for key, text in provenance(table).items())
        yield ""
        yield from _table(grid(table, costs=True))
        yield ""
        yield from _items([*conclusions(table), *notes(table)])
        yield from map(_image, figures.get(table.name, ()))
        if table.pairs:
            yield ""
            yield from _table(pairs_grid(table))
    last = [
        *overall_conclusions(comparison),
        *comparison_notes(comparison),
        *unreadable_notes(comparison),
    ]
    if last:
        yield "\n## Overall\n"
        yield from _items(last)
        yield from map(_image, figures.get(OVERALL, ()))


def _code(keyword: str, text: str) -> str:
    if keyword != "Command":
        return plain_markdown(text)
    text = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"


def _image(figure: ReportFigure) -> str:
    caption = plain_markdown(figure.caption)
    return f"\n![{caption}](figures/{figure.name}.png)\n\n{caption}"


def _items(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield "- " + re.sub(r"^(?=[#>+~=`-])", r"\\", plain_markdown(line))


def _table(cells: Sequence[Sequence[str]]) -> list[str]:
    return markdown_table([[plain_markdown(cell) for cell in row] for row in cells])


def plain_markdown(text: str) -> str:
    r"""Escape what Markdown would read in a text as HTML, a link, an image, code or a cell's end.

    Example:
        >>> plain_markdown("p < 0.05, [0.1, 0.2], label_noise")
        'p < 0.05, [0.1, 0.2], label_noise'
        >>> print(plain_markdown("<b> ![c](http://d) | `e`"))
        \<b> ![c]\(http://d) \| \`e\`
    """
    text = re.sub(r"<(?=[A-Za-z/!?])|[|`]", r"\\\g<0>", " ".join(text.split()))
    return re.sub(r"\](?=[(:\[])", r"]\\", text)
