"""The answer to the question of a comparison: which loss to use here, and how sure that is.

One :class:`Answer` per table: sentences that a person can act on, and what to do next. They follow
from the pairs of the first primary metric; :mod:`losslab.analysis.conclusions` has the numbers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from losslab.analysis.comparison import Comparison, ComparisonTable
from losslab.analysis.compound_answer import help_sentences
from losslab.analysis.next_step import next_step
from losslab.analysis.pairs import Pair
from losslab.analysis.scope import NEW_SAMPLES, NEW_TEST_SAMPLES
from losslab.analysis.standing import Standing, standing
from losslab.analysis.words import (
    MOST_LISTED,
    about,
    beside,
    joined,
    listed,
    samples,
    seeds,
    why_undecided,
)
from losslab.metrics.labels import Metric, some

KINDS = ("better", "equally good", "undecided", "worse")

MOST_WORSE = 4
"""Number of worse rows above which they are not named one by one."""


@dataclass(frozen=True)
class Answer:
    """Answer of one table."""

    text: str
    """Which loss to use, and how sure that is."""
    of_sums: tuple[str, ...]
    """Whether sums of losses are better than their parts, one sentence per sum."""
    next_step: str
    """What would make the answer better, or why nothing needs to be done."""

    @property
    def lines(self) -> tuple[str, ...]:
        """Answer and, last, the next step, as the lines to show."""
        return self.text, *self.of_sums, f"Next: {self.next_step}"


def answers(comparison: Comparison, *, tuned: bool = False) -> list[Answer]:
    """Return the answer of each table.

    Args:
        comparison: result of :func:`losslab.analysis.comparison.compare`.
        tuned: whether the learning rate of each loss was tuned.
    """
    return [
        answer(table, comparison.baseline, tuned=tuned, in_python=comparison.in_python)
        for table in comparison.tables
    ]


def answer(
    table: ComparisonTable,
    baseline: str | None = None,
    *,
    tuned: bool = False,
    in_python: bool = False,
) -> Answer:
    """Return the answer of one table, with calls or commands as advice; see :func:`answers`."""
    found = standing(table)
    first = _against_baseline(table, found) if baseline else _of_all_pairs(table, found)
    sentences = [f"{first}.", *_by_other_metrics(table, found), *_unreliable(table)]
    pairs = [pair for pair in found.pairs if pair.seeds]
    sentences += [f"{_sureness(pairs)}."] if pairs else []
    undecided = found.undecided if baseline is None else found.open
    following = next_step(table, found, undecided, tuned=tuned, in_python=in_python)
    return Answer(" ".join(sentences), tuple(help_sentences(table)), following)


# --- which loss -----------------------------------------------------------------------------------


def _of_all_pairs(table: ComparisonTable, found: Standing) -> str:
    where, metric = f"On {place(table)},", table.primary_metrics[0]
    if len(table.rows) == 1:
        return f"{where} only {table.rows[0].label} was run: there is nothing to compare it with"
    if not any(pair.seeds for pair in found.pairs):
        labels = joined(row.label for row in table.rows)
        return f"{where} {labels} cannot be compared: they have no finished seed in common"
    alike = _alike(found) if not found.equivalent else []
    if not found.beaten and not found.equivalent:
        undecided = f"undecided between {listed(found.leading)}: {why_undecided(found.inner)}"
        return f"{where} {'; '.join([undecided, *alike])}"
    return f"{where} {'; '.join([_leaders(table, found), *alike, *_worse(found, metric)])}"


def _leaders(table: ComparisonTable, found: Standing) -> str:
    metric, labels = table.primary_metrics[0], listed(found.leading)
    if found.equivalent:
        of = "of" if metric.percent or metric.unit else "in"
        return f"{labels} are equally good within {_margin(found)} {of} {metric.label}"
    if found.contradictory:
        return f"undecided between {labels}: {why_undecided(found.inner)}"
    if len(found.leading) > 1 and table.reference is not None:
        best, *others = found.leading
        return f"no significant difference in {metric.label} between {best} and {listed(others)}"
    if len(found.leading) > 1:
        return f"no significant difference in {metric.label} between {labels}"
    if any(pair.better for pair in found.beaten.values()):
        return f"{labels} has the best {metric.label}"
    return f"{labels} is to be preferred"


def _alike(found: Standing) -> list[str]:
    """Name the leading rows that are equivalent among leading rows that are not all so."""
    rows = found.mutually_equivalent
    return [f"{listed(rows)} are equally good within {_margin(found)}"] if rows else []


def _margin(found: Standing) -> str:
    pair = found.inner[0]
    return about(pair.metric, pair.within or 0.0)


def _worse(found: Standing, metric: Metric) -> Iterator[str]:
    """Describe the rows that another is better than, by how much they are worse."""
    by_value = {row: pair for row, pair in found.beaten.items() if pair.better}
    sizes = {row: abs(pair.mean) for row, pair in by_value.items()}
    if len(sizes) > MOST_WORSE:
        least, most = about(metric, min(sizes.values()), unit=False), max(sizes.values())
        yield f"the other {len(sizes)} are worse by {least} to {about(metric, most)}"
    elif sizes:
        texts = {
            row: f"{_than(by_value[row], found)} by about {about(metric, size)}"
            for row, size in sizes.items()
        }
        yield _as_group("worse", texts)
    for row, pair in found.beaten.items():
        if not pair.better:
            yield f"{row} fails more often{_than(pair, found)}"


def _than(pair: Pair, found: Standing) -> str:
    """Name the better row, unless it is the best."""
    if pair.preferred == found.leading[0]:
        return ""
    return f" than {pair.preferred}"


def _against_baseline(table: ComparisonTable, found: Standing) -> str:
    """Compare each row with the baseline, since no other pairs were compared."""
    groups: dict[str, dict[str, dict[str, str]]] = {}
    for pair in found.pairs:
        kind, size = beside(pair)
        groups.setdefault(pair.b, {}).setdefault(kind, {})[pair.a] = size
    if not groups:
        return f"On {place(table)}, nothing was compared with the baseline"
    by = table.primary_metrics[0].label
    parts = [
        f"compared with {reference} by {by}, "
        + "; ".join(_as_group(kind, own[kind]) for kind in KINDS if kind in own)
        for reference, own in groups.items()
    ]
    return f"On {place(table)}, {'; '.join(parts)}"


def _as_group(kind: str, sizes: Mapping[str, str]) -> str:
    verb = "is" if len(sizes) == 1 else "are"
    if len(sizes) > MOST_LISTED:
        return f"{listed([*sizes])} are {kind}"
    if len(set(sizes.values())) == 1:
        return f"{joined(sizes)} {verb} {kind}{next(iter(sizes.values()))}"
    first, *others = sizes
    texts = [f"{first} is {kind}{sizes[first]}", *(f"{row}{sizes[row]}" for row in others)]
    return joined(texts)


# --- what else counts -----------------------------------------------------------------------------


def _by_other_metrics(table: ComparisonTable, found: Standing) -> Iterator[str]:
    """Say where a leading row is worse by another primary metric."""
    for metric in table.primary_metrics[1:]:
        other = standing(table, metric)
        worse = {row: other.beaten[row] for row in found.leading if row in other.beaten}
        texts = [
            f"{row} is worse than {pair.preferred} by about {about(metric, abs(pair.mean))}"
            for row, pair in worse.items()
            if pair.better
        ]
        if texts:
            yield f"But by {metric.label}, {joined(texts)}."


def _unreliable(table: ComparisonTable) -> list[str]:
    """Name the rows whose runs failed or collapsed at some seeds."""
    found = list(_unreliable_rows(table))
    if len(found) <= MOST_LISTED:
        return found
    more = len(found) - MOST_WORSE
    return [*found[:MOST_WORSE], f"{more} more rows have runs that failed or collapsed."]


def _unreliable_rows(table: ComparisonTable) -> Iterator[str]:
    for row in table.rows:
        summary = table.main_summary(row)
        failed = {*summary.failed, *(run.seed for run in row.failed)}
        for word, count in (("failed", len(failed)), ("collapsed", len(summary.collapsed))):
            if count:
                yield f"{row.label} {word} at {count} of {some(len(row.runs), 'seeds')}."
        if not (summary.n or failed):
            yield f"{row.label} has no result."


def _sureness(pairs: Sequence[Pair]) -> str:
    decided = any(pair.verdict != "undecided" or pair.preferred for pair in pairs)
    verb = "holds" if decided else "judged"
    return f"{seeds(pairs)}; {verb} for {_scope(pairs)}"


def _scope(pairs: Sequence[Pair]) -> str:
    holds_for = pairs[0].test.holds_for
    if holds_for == NEW_SAMPLES:
        return "new data of this kind"
    if holds_for == NEW_TEST_SAMPLES:
        return "new test data of this kind, with networks trained on these training samples"
    return f"{samples(pairs[0], 'these ')} only"


def place(table: ComparisonTable) -> str:
    """Return the data of a table in words: ``regression with outliers=0.1``."""
    data, *settings = table.name.split(", ")
    named = {setting.partition("=")[0] for setting in settings}
    for override in table.comparison_group.shared:
        setting = override.removeprefix("data.")
        if setting != override and setting.partition("=")[0] not in named:
            settings.append(setting)
    return f"{data} with {joined(settings)}" if settings else data
