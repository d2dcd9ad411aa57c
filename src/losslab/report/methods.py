"""The methods of a comparison in plain English, to paste into a paper.

Texts hold citations as ``[@key,key]``, which :func:`as_text` and :func:`as_latex` resolve.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from losslab import given
from losslab.analysis.answer import place
from losslab.analysis.comparison import Comparison, ComparisonTable
from losslab.analysis.comparison_groups import Row
from losslab.analysis.pairs import Pair
from losslab.analysis.scope import NEW_SAMPLES, NEW_TEST_SAMPLES
from losslab.analysis.search import Tuning
from losslab.analysis.words import about, joined, span
from losslab.metrics.labels import some
from losslab.report.bibliography import entries, keys_for, keys_of_row
from losslab.report.cells import CENTERS, SPLITS
from losslab.report.latex import escaped
from losslab.report.provenance import SAMPLING, provenance

TESTS = {
    "sign flips": "a sign-flip test of the mean difference (a paired permutation test)",
    "corrected t": "the corrected resampled t-test, since the seeds split the same samples",
    "crossed t": "a t-test with the variance of seeds and test samples, since the seeds share the "
    "test samples",
    "sign test": "a sign test of the median difference",
    "trimmed sign flips": "a sign-flip test of the interquartile mean of the differences",
}
"""What the methods of :class:`~losslab.analysis.scope.DifferenceTest` are."""

PACKAGES = {
    "losslab": "losslab",
    "torch": "PyTorch",
    "pytorch-lightning": "PyTorch Lightning",
    "python": "Python",
}
"""Packages whose versions are named, with their names in prose."""

OWN_MODEL = "[your network]"

_CITATION = re.compile(r" ?\[@([^\]]+)\]")


def paragraphs(comparison: Comparison, tuning: Tuning | None = None) -> list[str]:
    """Return what was done: a paragraph per table, then one about the statistics.

    Args:
        comparison: the comparison.
        tuning: the search that chose the compared settings, if there was one.
    """
    described = [" ".join(_of_table(table, tuning)) for table in comparison.tables]
    return [*described, " ".join(_statistics(comparison))]


def citations(texts: Iterable[str]) -> list[str]:
    """Return the cited keys, in order."""
    found = [key for text in texts for each in _CITATION.findall(text) for key in each.split(",")]
    return list(dict.fromkeys(found))


def as_text(text: str) -> str:
    """Replace citations by authors and years."""
    known = entries()

    def short(found: re.Match[str]) -> str:
        return f" ({'; '.join(known[key].short for key in found[1].split(','))})"

    return _CITATION.sub(short, text)


def as_latex(text: str) -> str:
    r"""Escape a text for LaTeX, with its citations as ``\cite``."""
    first, *others = _CITATION.split(text)  # texts and keys take turns
    cited = zip(others[::2], others[1::2], strict=True)
    return escaped(first) + "".join(rf"~\cite{{{keys}}}{escaped(then)}" for keys, then in cited)


# --- what was run ---------------------------------------------------------------------------------


def _of_table(table: ComparisonTable, tuning: Tuning | None) -> Iterator[str]:
    found = provenance(table)
    runs = [run for row in table.rows for run in row.runs]
    task = str(runs[0].record["task"]).replace("_", " ")
    losses = joined(map(_cited, table.rows))
    verb = "compared the losses" if len(table.rows) > 1 else "trained with the loss"
    named = "" if task == runs[0].data else f" ({task})"
    yield f"We {verb} {losses} on {place(table)}{named}."
    yield from _data(found["Data"].partition(": ")[2])
    if model := found.get("Model"):
        targets = {f"model._target_={run.config['model'].get('_target_')}" for run in runs}
        own = bool(given.paths_in(targets))
        yield f"The network was {OWN_MODEL if own else model}."
    yield from _training(found.get("Training", ""))
    if tuning is not None:
        yield from _tuning(tuning)
    counts = span(len(row.runs) for row in table.rows)
    yield f"Each loss was trained with {counts} seed{'' if counts == '1' else 's'}."
    yield from _pairing(table, found)
    yield from _failures(table)


def _cited(row: Row) -> str:
    keys = keys_of_row(row)
    return f"{row.label} [@{','.join(keys)}]" if keys else row.label


def _data(described: str) -> Iterator[str]:
    """Say how large the splits are and what the seeds share, from the line of a report."""
    for text in filter(None, described.split("; ")):
        if text in SAMPLING.values():
            yield f"{text[0].upper()}{text[1:]}."
        else:
            yield f"The splits have {text}."


def _training(described: str) -> Iterator[str]:
    """Say how networks were trained and which checkpoint was tested, from the line of a report."""
    trained, _, checkpoint = described.partition("; tested checkpoint: ")
    if trained:
        yield f"It was trained by {', '.join(trained.split('; '))}."
    if checkpoint:
        yield f"The checkpoint that was tested was {checkpoint}."


def _tuning(tuning: Tuning) -> Iterator[str]:
    rates = " and the learning rate" if tuning.protocol == "tuned" else ""
    cited = _citing("methods", tuning.sampler)
    yield (
        f"The options of each loss{rates} were tuned with an equal budget of "
        f"{some(tuning.budget, 'settings')} per loss (the default setting and points of one Sobol "
        f"sequence{tuning.chosen_by}{cited}), each on {some(len(tuning.tuning_seeds), 'seeds')}, "
        f"and chosen by validation {tuning.metric.label}; the comparison is of other seeds."
    )
    search = "in a training or validation split of the search"
    if tuning.overlap:
        yield f"{tuning.overlap} of the {tuning.test_samples} test samples were {search}."
    elif tuning.overlap == 0:
        yield f"None of the test samples was {search}."


def _pairing(table: ComparisonTable, found: dict[str, str]) -> Iterator[str]:
    if text := found.get("Pairing"):
        yield f"{text[0].upper()}{text[1:]}."
    elif any(pair.n for pair in table.pairs):
        yield "Runs of the same seed did not all have the same data, initial weights and batches."


def _failures(table: ComparisonTable) -> Iterator[str]:
    for row in table.rows:
        failed, absent = len(row.failed), len(row.absent)
        if failed:
            yield f"{failed} of {len(row.runs)} runs of {row.label} failed."
        if absent:
            yield f"{absent} of {len(row.runs)} runs of {row.label} have no result."


# --- how it was analysed --------------------------------------------------------------------------


def _statistics(comparison: Comparison) -> Iterator[str]:
    pairs = [pair for table in comparison.tables for pair in table.pairs]
    center, split = CENTERS[comparison.center], SPLITS[comparison.split]
    yield f"We report {split} metrics as the {center} over seeds."
    tested = [pair for pair in pairs if pair.n]
    if tested:
        yield from _tests(comparison, tested)
        yield from _margins(tested)
        yield from _looks(comparison, tested)
        yield from _scope(tested)
    yield _versions(comparison)


def _tests(comparison: Comparison, pairs: Sequence[Pair]) -> Iterator[str]:
    metrics = joined(dict.fromkeys(pair.metric.label for pair in pairs))
    base = comparison.baseline
    which = f"each loss with {base}" if base else "all pairs of losses"
    if any(table.untested for table in comparison.tables):
        which = "each loss with the best one where there are many, else all pairs of losses,"
    methods = list(dict.fromkeys(pair.test.method for pair in pairs))
    tests = joined(f"{TESTS[each]}{_citing('methods', each)}" for each in methods)
    yield f"We compared {which} by {metrics}, on the differences per seed, with {tests}."
    if any(pair.failures.differs for pair in pairs):
        yield "How often losses fail was compared with McNemar's exact test."
    if comparison.comparisons > 1:
        method = pairs[0].correction.method
        yield (
            f"The p-values are corrected for {comparison.comparisons} comparisons by {method}'s "
            f"method{_citing('methods', method)}; differences with a corrected p of at most 0.05 "
            "are called significant."
        )
    else:
        yield "Differences with a p of at most 0.05 are called significant."


def _margins(pairs: Sequence[Pair]) -> Iterator[str]:
    margins = {pair.metric.label: pair for pair in pairs if pair.within is not None}
    if margins:
        listed = joined(
            f"{about(pair.metric, pair.within or 0.0)} in {label}"
            for label, pair in margins.items()
        )
        test = _citing("methods", "equivalence")
        yield f"Losses are called equivalent within {listed} by two one-sided tests{test}."


def _looks(comparison: Comparison, pairs: Sequence[Pair]) -> Iterator[str]:
    looks = max((pair.looks for pair in pairs), key=len)
    if comparison.looks.planned:
        planned = joined(map(str, comparison.looks.planned))
        yield (
            f"Looks at {planned} seeds were planned, {len(looks)} were taken, and p-values hold "
            f"over all of them{_citing('methods', 'looks')}."
        )
    elif len(looks) > 1:
        seeds = joined(str(look.n) for look in looks)
        yield f"The runs were compared {len(looks)} times, with {seeds} seeds; p-values cover all."


def _scope(pairs: Sequence[Pair]) -> Iterator[str]:
    scopes = {
        NEW_SAMPLES: "new data of this kind",
        NEW_TEST_SAMPLES: "new test data of this kind, with networks trained on these samples",
    }
    holds = dict.fromkeys(scopes.get(pair.test.holds_for, "these samples only") for pair in pairs)
    yield f"Conclusions hold for {joined(holds)}."


def _citing(kind: str, name: str) -> str:
    keys = keys_for(kind, name)
    return f" [@{','.join(keys)}]" if keys else ""


def _versions(comparison: Comparison) -> str:
    found: dict[str, dict[str, None]] = {}
    for run in comparison.runs:
        for package, version in run.record["versions"].items():
            found.setdefault(package, {})[version] = None
    named = [
        f"{name} {' and '.join(found[package])}"
        for package, name in PACKAGES.items()
        if package in found
    ]
    cited = _citing("libraries", "torch")
    return f"The runs were made with {joined(named)}{cited}." if named else ""
