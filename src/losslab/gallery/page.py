"""Write the pages of the gallery: claim, results, their significance, and how to reproduce them."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from losslab.analysis.comparison_groups import Row
from losslab.analysis.summaries import summarize
from losslab.gallery.claim import Claim
from losslab.gallery.evaluation import ComparisonResult, conclusion, mde
from losslab.gallery.rows import metric_named
from losslab.metrics.labels import Metric, number
from losslab.report.cells import cell, seeds_text
from losslab.runs.folder import replace_file


@dataclass(frozen=True)
class PageFigure:
    """Figure of a page with its caption."""

    name: str
    figure: Figure
    caption: str


def write_page(
    claim: Claim,
    rows: Sequence[Row],
    results: Sequence[ComparisonResult],
    figures: Sequence[PageFigure],
    folder: Path,
) -> Path:
    """Write the page of a claim and its figures, overwriting earlier ones."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for figure in figures:
        save_png(figure.figure, folder / "images" / f"{figure.name}.png")
    text = "\n".join(_page(claim, rows, results, figures)) + "\n"
    path = folder / f"{claim.name}.md"
    replace_file(path, text.encode())
    return path


def save_png(figure: Figure, path: Path) -> None:
    """Save a figure as a PNG with few colours, to keep pages and the repository small."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    image = Image.open(buffer).convert("RGB").quantize(96, method=Image.Quantize.MEDIANCUT)
    image.save(path, optimize=True)


def _page(
    claim: Claim,
    rows: Sequence[Row],
    results: Sequence[ComparisonResult],
    figures: Sequence[PageFigure],
) -> list[str]:
    lines = [f"# {claim.says}", "", f"**{_sentence(conclusion(results))}.** {_counts(results)}", ""]
    if claim.why:
        lines += [claim.why, ""]
    for figure in figures:
        lines += [f"![{figure.caption}](images/{figure.name}.png)", "", figure.caption, ""]
    lines += ["## Preregistered comparisons", ""]
    lines += _table(["expected", "difference [95 %]", "p", "outcome"], map(_result_line, results))
    lines += ["", _how_sure(results), ""]
    lines += ["## Results", "", *_numbers(claim, rows), ""]
    lines += [f"- {note}" for note in _notes(rows)]
    lines += ["", "## Reproduce", "", *_reproduce(claim, rows)]
    return lines


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _counts(results: Sequence[ComparisonResult]) -> str:
    held = sum(each.outcome == "held" for each in results)
    return f"{held} of {len(results)} preregistered comparisons came out as claimed."


def _table(head: Sequence[str], lines: "Sequence[Sequence[str]] | map[list[str]]") -> list[str]:
    table = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return table + [f"| {' | '.join(line)} |" for line in lines]


def _result_line(result: ComparisonResult) -> list[str]:
    pair, comparison = result.pair, result.comparison
    words = f"{pair.metric.label}: {pair.a} {comparison.expected} {_than(result)}"
    size = "no seed at which both finished"
    if pair.differences:
        low, high, _ = pair.interval
        size = pair.metric.difference_text(pair.mean)
        if math.isfinite(low):
            ends = (pair.metric.number(end, like=pair.mean) for end in (low, high))
            size += f" [{', '.join(ends)}]"
    lost = pair.failures.lost
    size += f", a run failed in {lost} of {len(pair.seeds)} pairs" if lost else ""
    if comparison.within is None:
        size += f", {comparison.expected} for {pair.wins:g} of {pair.n} seeds"
    return [words, size, f"{result.adjusted_p:.2g}", f"**{result.outcome}**"]


def _than(result: ComparisonResult) -> str:
    metric, comparison = result.pair.metric, result.comparison
    if comparison.within is not None:
        within = metric.difference_text(comparison.within, sign=False)
        return f"to {result.pair.b}, within {within}"
    if isinstance(comparison.than, Mapping):
        return f"than {result.pair.b}"
    return f"than {metric.text(float(comparison.than))}"


def _how_sure(results: Sequence[ComparisonResult]) -> str:
    m = len(results)
    n = sorted({each.pair.n for each in results})
    seeds = f"{n[0]}" if len(n) == 1 else f"{n[0]} to {n[-1]}"
    text = (
        f"Differences are the first row minus the second, paired by seed ({seeds} seeds), with "
        "95 % confidence intervals. p-values are from the exact sign-flip test, Holm-corrected for "
        f"{m} comparison{'s' if m > 1 else ''}; equality is tested by two one-sided tests."
    )
    unclear = [each for each in results if each.outcome == "no significant difference"]
    effects = [
        f"{each.pair.metric.label}, {each.pair.a}: "
        f"{each.pair.metric.difference_text(size, sign=False)}"
        for each in unclear
        if math.isfinite(size := mde(each, m)) and each.comparison.within is None
    ]
    if effects:
        text += f" Minimum detectable effects (80 % power): {'; '.join(effects)}."
    return text


def _numbers(claim: Claim, rows: Sequence[Row]) -> list[str]:
    metrics = [metric_named(name, rows[0]) for name in claim.columns]
    head = ["loss", "seeds", *(metric.header for metric in metrics)]
    return _table(head, [_numbers_line(row, metrics) for row in rows])


def _numbers_line(row: Row, metrics: Sequence[Metric]) -> list[str]:
    return [row.label, seeds_text(row), *(cell(summarize(row, metric)) for metric in metrics)]


def _notes(rows: Sequence[Row]) -> list[str]:
    """Name the runs that are not done, and why."""
    return [
        f"{row.label}, seed {run.seed}: {run.problem}"
        for row in rows
        for run in row.runs
        if run.problem
    ]


def _reproduce(claim: Claim, rows: Sequence[Row]) -> list[str]:
    runs = sum(len(row.runs) for row in rows)
    return [
        f"`make gallery CLAIM={claim.name}` repeats the runs and rewrites this page; "
        f"`{claim.command}` repeats only the runs. The {runs} runs took {seconds(rows):.0f} s on "
        "one core of a shared machine. The sweep:",
        "",
        *(f"    {line}" for line in claim.sweep),
        "",
        f"The settings are in `conf/experiment/claims/{claim.name}.yaml`.",
    ]


def seconds(rows: Sequence[Row]) -> float:
    """Return the total time of the runs."""
    return sum(run.record["seconds"] for row in rows for run in row.runs)


# --- the index ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class IndexEntry:
    """Line of the index."""

    claim: Claim
    conclusion: str
    """Empty if the claim has not been run."""
    held: int
    runs: int
    seconds: float


def write_index(entries: Sequence[IndexEntry], folder: Path) -> Path:
    """Write the index of the gallery."""
    lines = [
        "# Gallery",
        "",
        "Common claims about losses, tested. Each page has the claim, the runs that test it, a "
        "figure and the statistics of the preregistered comparisons, from which the conclusion is "
        "computed. `make gallery` rebuilds all pages, `make gallery CLAIM=name` one of them.",
        "",
    ]
    head = ["claim", "conclusion", "preregistered comparisons that held", "runs", "core seconds"]
    lines += _table(head, map(_entry_line, entries))
    known = [entry for entry in entries if entry.conclusion]
    total = sum(entry.seconds for entry in known)
    lines += [
        "",
        f"In total {sum(entry.runs for entry in known)} runs and {total / 60:.0f} core minutes. "
        "These results hold for the small data sets used here only.",
    ]
    path = folder / "README.md"
    replace_file(path, ("\n".join(lines) + "\n").encode())
    return path


def _entry_line(entry: IndexEntry) -> list[str]:
    claim = entry.claim
    if not entry.conclusion:
        return [claim.says, "not run yet", "", "", ""]
    held = f"{entry.held} of {len(claim.preregistered)}"
    link = f"[{claim.says}]({claim.name}.md)"
    return [link, f"**{entry.conclusion}**", held, f"{entry.runs}", number(entry.seconds, digits=3)]
