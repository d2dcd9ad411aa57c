"""Write the pages of the gallery: claim, results, their significance, and how to reproduce them."""

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from losslab.analysis.comparison_groups import Row
from losslab.analysis.conclusions import failure_sentence
from losslab.analysis.pairs import Pair
from losslab.analysis.scope import THESE_SAMPLES
from losslab.analysis.summaries import summarize
from losslab.gallery.claim import Claim
from losslab.gallery.evaluation import ComparisonResult, conclusion
from losslab.gallery.rows import metric_named
from losslab.metrics.labels import Metric
from losslab.report.cells import cell, difference_cell, seeds_text
from losslab.report.frames import markdown_table
from losslab.runs.folder import replace_file

TESTS = {
    "sign flips": "The exact sign-flip test holds for {holds_for}.",
    "corrected t": (
        "Seeds draw their splits from the same samples; the corrected resampled t-test accounts "
        "for that and holds for {holds_for} of the same kind."
    ),
    "crossed t": (
        "Seeds share their test samples; the t-test of seeds crossed with test samples holds for "
        "{holds_for}, and for networks trained on these training samples."
    ),
}
"""Tests in words."""


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
    lines = [f"# {claim.says}", "", f"**{_sentence(conclusion(results))}.**", ""]
    if claim.why:
        lines += [claim.why, ""]
    for figure in figures:
        lines += [f"![{figure.caption}](images/{figure.name}.png)", "", figure.caption, ""]
    lines += ["## Preregistered comparisons", ""]
    head = ["expected", "difference [95 %]", "p (test)", "outcome"]
    lines += markdown_table([head, *map(_result_line, results)])
    lines += ["", *_failures(results), " ".join(_how_sure(results)), ""]
    lines += ["## Results", "", *_numbers(claim, rows), ""]
    if notes := [f"- {note}" for note in _notes(claim, rows)]:
        lines += [*notes, ""]
    if claim.misleads:
        lines += ["## How this could mislead", "", claim.misleads, ""]
    lines += ["## Reproduce", "", *_reproduce(claim, rows)]
    return lines


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _result_line(result: ComparisonResult) -> list[str]:
    pair, comparison = result.pair, result.comparison
    words = f"{pair.metric.label}: {pair.a} {comparison.expected} {_than(result)}"
    size = difference_cell(pair) or "no seed at which both finished"
    if comparison.within is None:
        size += f", {comparison.expected} for {pair.wins:g} of {pair.n} seeds"
    return [words, size, _p(result), f"**{result.outcome}**"]


def _p(result: ComparisonResult) -> str:
    pair = result.pair
    text = f"{result.adjusted_p:.2g} ({pair.test.method})"
    if result.comparison.within is None and pair.test.holds_for != pair.of_these_samples.holds_for:
        text += f"; for {THESE_SAMPLES} {pair.adjusted_p_of_these_samples:.2g}"
    return text


def _than(result: ComparisonResult) -> str:
    metric, comparison = result.pair.metric, result.comparison
    if comparison.within is not None:
        within = metric.difference_text(comparison.within, sign=False)
        return f"to {result.pair.b}, within {within}"
    if isinstance(comparison.than, Mapping):
        return f"than {result.pair.b}"
    return f"than {metric.text(float(comparison.than))}"


def _failures(results: Sequence[ComparisonResult]) -> list[str]:
    """Say how often runs failed at the seeds of the comparisons, apart from their values."""
    sentences = filter(None, (failure_sentence(each.pair) for each in results))
    lines = [f"- {sentence}" for sentence in dict.fromkeys(sentences)]  # begins with a label
    return [*lines, ""] if lines else []


def _how_sure(results: Sequence[ComparisonResult]) -> list[str]:
    n = sorted({each.pair.n for each in results})
    seeds = f"{n[0]}" if len(n) == 1 else f"{n[0]} to {n[-1]}"
    sentences = [
        f"Differences are the first row minus the second, paired by seed ({seeds} seeds), with "
        "the 95 % intervals that the test implies, not corrected.",
        *dict.fromkeys(_test_sentence(each.pair) for each in results),
    ]
    if any(each.comparison.trend for each in results):
        sentences.append(
            "A slope is that of the least-squares line through the values of a seed, in the order "
            "of the setting: the change from one of its values to the next."
        )
    if any(each.comparison.within is not None for each in results):
        sentences.append("Equality is tested by two one-sided tests.")
    pair = results[0].pair
    if pair.comparisons > 1:
        method = f"{pair.correction.method}'s method"
        sentences.append(f"p-values are corrected for {pair.comparisons} tests by {method}.")
    return sentences + _power(results)


def _test_sentence(pair: Pair) -> str:
    """Say which test was used, and what its conclusion holds for."""
    return TESTS[pair.test.method].format(holds_for=pair.test.holds_for)


def _power(results: Sequence[ComparisonResult]) -> list[str]:
    """Say what the undecided comparisons could have shown."""
    unclear = [
        each.pair
        for each in results
        if each.outcome == "undecided" and each.comparison.within is None
    ]
    sentences = []
    if any(pair.underpowered for pair in unclear):
        needed = max(pair.needed for pair in unclear)
        sentences.append(f"With fewer than {needed} seeds no difference can be significant.")
    effects = [_detectable(pair) for pair in unclear if math.isfinite(pair.mde)]
    if effects:
        shown = "; ".join(effects)
        sentences.append(f"Minimum detectable effects (80 % power) of what is undecided: {shown}.")
    if any(pair.limited_by_samples for pair in unclear):
        sentences.append("To detect less takes more samples, since all seeds share the same ones.")
    return sentences


def _detectable(pair: Pair) -> str:
    """Say which difference the seeds detect, and which any number of them if samples limit it."""
    size = pair.metric.difference_text(pair.mde, sign=False)
    if pair.limited_by_samples:
        ever = pair.metric.difference_text(pair.smallest_ever, sign=False)
        size += f" ({ever} with any number of seeds)"
    return f"{pair.metric.label}, {pair.a}: {size}"


def _numbers(claim: Claim, rows: Sequence[Row]) -> list[str]:
    metrics = [metric_named(name, rows[0]) for name in claim.columns]
    head = ["loss", "seeds", *(metric.header for metric in metrics)]
    return markdown_table([head, *(_numbers_line(row, metrics) for row in rows)])


def _numbers_line(row: Row, metrics: Sequence[Metric]) -> list[str]:
    return [row.label, seeds_text(row), *(cell(summarize(row, metric)) for metric in metrics)]


def _notes(claim: Claim, rows: Sequence[Row]) -> list[str]:
    """Name the runs that are not done, and why, and those that collapsed."""
    metric = metric_named(claim.columns[0], rows[0])
    summaries = {row.label: summarize(row, metric) for row in rows}
    return [
        f"{label}: {len(seeds)} of {summary.n} runs collapsed in {metric.label}, at "
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        for label, summary in summaries.items()
        if (seeds := summary.collapsed)
    ] + [
        f"{row.label}, seed {run.seed}: {run.problem}"
        for row in rows
        for run in row.runs
        if run.problem
    ]


def _reproduce(claim: Claim, rows: Sequence[Row]) -> list[str]:
    runs = sum(len(row.runs) for row in rows)
    return [
        f"`make gallery CLAIM={claim.name}` repeats the runs and rewrites this page; "
        f"`{claim.command}` repeats only the runs. The {runs} runs took {seconds(rows):.0f} s of "
        "one process on a shared machine. The sweep:",
        "",
        *(f"    {line}" for line in claim.sweep),
        "",
        f"The settings are in `conf/experiment/claims/{claim.name}.yaml`.",
    ]


def seconds(rows: Sequence[Row]) -> float:
    """Return the time that processes spent on the runs; runs of one stack share theirs."""
    spans: dict[tuple[str, int, str | None], list[tuple[float, float]]] = {}
    for record in (run.record for row in rows for run in row.runs):
        process = record["host"], record["pid"], record["process_start"]
        end = record["heartbeat"]
        spans.setdefault(process, []).append((end - record["seconds"], end))
    return sum(map(_covered, spans.values()))


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of intervals.

    Example:
        >>> _covered([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0)])
        4.0
    """
    total, until = 0.0, -math.inf
    for start, end in sorted(spans):
        total += max(end - max(start, until), 0.0)
        until = max(until, end)
    return total
