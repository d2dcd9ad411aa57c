"""The pages of the gallery: what was claimed, what came out, how sure that is, how to repeat it."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from losslab.analysis.comparison import summarize
from losslab.analysis.groups import Row
from losslab.gallery.claim import Claim
from losslab.gallery.judgement import Judged, detectable, verdict
from losslab.gallery.rows import metric_named
from losslab.metrics.labels import Metric, number
from losslab.report.cells import cell, seeds_text
from losslab.runs.folder import replace_file


@dataclass(frozen=True)
class Shown:
    """A picture of a page."""

    name: str
    figure: Figure
    caption: str


def write_page(
    claim: Claim,
    rows: Sequence[Row],
    judged: Sequence[Judged],
    pictures: Sequence[Shown],
    folder: Path,
) -> Path:
    """Write the page of a claim and its pictures; what an earlier one left is written over."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for shown in pictures:
        save(shown.figure, folder / "images" / f"{shown.name}.png")
    text = "\n".join(_page(claim, rows, judged, pictures)) + "\n"
    path = folder / f"{claim.name}.md"
    replace_file(path, text.encode())
    return path


def save(figure: Figure, path: Path) -> None:
    """A PNG of few colours: a page loads fast, and the repository stays small."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    image = Image.open(buffer).convert("RGB").quantize(96, method=Image.Quantize.MEDIANCUT)
    image.save(path, optimize=True)


def _page(
    claim: Claim, rows: Sequence[Row], judged: Sequence[Judged], pictures: Sequence[Shown]
) -> list[str]:
    lines = [f"# {claim.says}", "", f"**{_sentence(verdict(judged))}.** {_counts(judged)}", ""]
    if claim.why:
        lines += [claim.why, ""]
    for shown in pictures:
        lines += [f"![{shown.caption}](images/{shown.name}.png)", "", shown.caption, ""]
    lines += ["## What was planned, and what came out", ""]
    lines += _table(["expected", "difference [95 %]", "p", "outcome"], map(_judged_line, judged))
    lines += ["", _how_sure(judged), ""]
    lines += ["## The numbers", "", *_numbers(claim, rows), ""]
    lines += [f"- {note}" for note in _notes(rows)]
    lines += ["", "## Again", "", *_again(claim, rows)]
    return lines


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _counts(judged: Sequence[Judged]) -> str:
    held = sum(each.outcome == "held" for each in judged)
    return f"{held} of {len(judged)} planned comparisons came out as the claim says."


def _table(head: Sequence[str], lines: "Sequence[Sequence[str]] | map[list[str]]") -> list[str]:
    table = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return table + [f"| {' | '.join(line)} |" for line in lines]


def _judged_line(judged: Judged) -> list[str]:
    pair, planned = judged.pair, judged.planned
    words = f"{pair.metric.label}: {pair.a} {planned.expected} {_than(judged)}"
    size = "no seed at which both finished"
    if pair.differences:
        low, high, _ = pair.interval
        size = pair.metric.difference_text(pair.mean)
        if not math.isnan(low):
            ends = (pair.metric.number(end, like=pair.mean) for end in (low, high))
            size += f" [{', '.join(ends)}]"
    lost = len(pair.failed_a) + len(pair.failed_b)
    size += f", {lost} of {pair.n} pairs lost by a run that diverged" if lost else ""
    if planned.within is None:
        size += f", {planned.expected} at {pair.wins:g} of {pair.n} seeds"
    return [words, size, f"{judged.adjusted_p:.2g}", f"**{judged.outcome}**"]


def _than(judged: Judged) -> str:
    metric, planned = judged.pair.metric, judged.planned
    if planned.within is not None:
        within = metric.difference_text(planned.within, sign=False)
        return f"to {judged.pair.b}, within {within}"
    if isinstance(planned.than, Mapping):
        return f"than {judged.pair.b}"
    return f"than {metric.text(float(planned.than))}"


def _how_sure(judged: Sequence[Judged]) -> str:
    m = len(judged)
    n = sorted({each.pair.n for each in judged})
    seeds = f"{n[0]}" if len(n) == 1 else f"{n[0]} to {n[-1]}"
    text = (
        f"Differences are the first row minus the second, seed by seed ({seeds} paired seeds). "
        f"p is of the exact sign-flip test, by Holm over {m} comparison{'s' if m > 1 else ''}; "
        "equality is tested by two one-sided ones."
    )
    unclear = [each for each in judged if each.outcome == "not distinguishable"]
    found = [
        f"{each.pair.metric.label}, {each.pair.a}: "
        f"{each.pair.metric.difference_text(size, sign=False)}"
        for each in unclear
        if math.isfinite(size := detectable(each, m)) and each.planned.within is None
    ]
    if found:
        text += f" In 80 % of cases a true difference would be found from: {'; '.join(found)}."
    return text


def _numbers(claim: Claim, rows: Sequence[Row]) -> list[str]:
    metrics = [metric_named(name, rows[0]) for name in claim.shown]
    head = ["loss", "seeds", *(metric.header for metric in metrics)]
    return _table(head, [_numbers_line(row, metrics) for row in rows])


def _numbers_line(row: Row, metrics: Sequence[Metric]) -> list[str]:
    return [row.label, seeds_text(row), *(cell(summarize(row, metric)) for metric in metrics)]


def _notes(rows: Sequence[Row]) -> list[str]:
    """Runs that are not done, and why."""
    return [
        f"{row.label}, seed {run.seed}: {run.problem}"
        for row in rows
        for run in row.runs
        if run.problem
    ]


def _again(claim: Claim, rows: Sequence[Row]) -> list[str]:
    runs = sum(len(row.runs) for row in rows)
    return [
        f"`make gallery CLAIM={claim.name}` makes this page anew; `{claim.command}` makes the runs "
        f"alone. The {runs} runs took {seconds(rows):.0f} s of one core, where two shared the "
        "machine with other work. What is swept:",
        "",
        *(f"    {line}" for line in claim.sweep),
        "",
        f"The settings are in `conf/experiment/claims/{claim.name}.yaml`.",
    ]


def seconds(rows: Sequence[Row]) -> float:
    """What the runs took, all together."""
    return sum(run.record["seconds"] for row in rows for run in row.runs)


# --- the index ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A line of the index."""

    claim: Claim
    verdict: str
    """Empty where the claim has not been run."""
    held: int
    runs: int
    seconds: float


def write_index(entries: Sequence[Entry], folder: Path) -> Path:
    """Write the index of the gallery."""
    lines = [
        "# The gallery",
        "",
        "What is often said of losses, tried here. Each page has the claim, the runs that test it, "
        "a picture, and what the statistics say of the comparisons that were planned before; the "
        "verdicts are computed from these. `make gallery` makes all of it anew, "
        "`make gallery CLAIM=name` one page.",
        "",
    ]
    head = ["claim", "verdict", "planned comparisons that held", "runs", "seconds of one core"]
    lines += _table(head, map(_entry_line, entries))
    known = [entry for entry in entries if entry.verdict]
    total = sum(entry.seconds for entry in known)
    lines += [
        "",
        f"All together {sum(entry.runs for entry in known)} runs and {total / 60:.0f} minutes of "
        "one core. All of it is about small data sets: a claim "
        "that held here held on these data.",
    ]
    path = folder / "README.md"
    replace_file(path, ("\n".join(lines) + "\n").encode())
    return path


def _entry_line(entry: Entry) -> list[str]:
    claim = entry.claim
    if not entry.verdict:
        return [claim.says, "not run yet", "", "", ""]
    held = f"{entry.held} of {len(claim.planned)}"
    link = f"[{claim.says}]({claim.name}.md)"
    return [link, f"**{entry.verdict}**", held, f"{entry.runs}", number(entry.seconds, digits=3)]
