"""Whether the components of a sum of losses help: the sum against each of its parts alone.

A sum is better than the best of its parts if it is better than each of them. Then all of these
pairs are significant, so the largest of their p-values tests it, without a further correction: an
intersection-union test (Berger, "Multiparameter Hypothesis Testing and Acceptance Sampling", 1982).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from losslab.analysis.comparison import ComparisonTable
from losslab.analysis.compounds import compounds
from losslab.analysis.pairs import Pair
from losslab.analysis.words import beside, joined, listed, why_undecided
from losslab.metrics.labels import Metric

YES, OPEN, WITHIN, NO = ANSWERS = ("Yes", "Undecided", "Not by more than the margin", "No")
"""Answers for one sum; of several sums, the first of these is the answer."""

VERBS = {
    "better": ("is better", "than"),
    "equally good": ("is as good", "as"),
    "worse": ("is worse", "than"),
}
"""What is said of a sum beside its parts, and before each part."""


@dataclass(frozen=True)
class _Tested:
    """Sum of losses with its comparisons by one metric."""

    label: str
    components: tuple[str, ...]
    missing: tuple[str, ...]
    """Components that were not run alone."""
    pairs: Mapping[str, Pair | None]
    """Comparison with each part, by its label, the sum first; ``None`` if there is none."""

    @property
    def found(self) -> list[Pair]:
        """Comparisons with parts that there are."""
        return [pair for pair in self.pairs.values() if pair is not None]

    def kinds(self) -> dict[str, dict[str, str]]:
        """Return the parts by how the sum stands beside them, with the size of the difference."""
        kinds: dict[str, dict[str, str]] = {}
        for pair in self.found:
            kind, size = beside(pair)
            kinds.setdefault(kind, {})[pair.b] = size
        return kinds

    @property
    def answer(self) -> str:
        """Whether the sum is better than its best part, as the first words of an answer."""
        kinds = self.kinds()
        if "worse" in kinds:
            return NO
        if "equally good" in kinds:
            return WITHIN
        return YES if self.is_complete and list(kinds) == ["better"] else OPEN

    @property
    def is_complete(self) -> bool:
        """Whether all components were run alone and compared with the sum."""
        return not self.missing and len(self.found) == len(self.pairs)


def help_sentences(table: ComparisonTable) -> list[str]:
    """Say whether sums of losses are better than their parts, by the first primary metric.

    Returns:
        A question with its answer for all sums of the same losses; sums that were compared with
        none of their parts are left out.
    """
    metric = table.primary_metrics[0]
    sums: dict[tuple[str, ...], list[_Tested]] = {}
    for each in _tested(table, metric):
        sums.setdefault(each.components, []).append(each)
    return [f"{_question(names)} {_answer(alike, metric)}." for names, alike in sums.items()]


def best_part_sentences(table: ComparisonTable, metric: Metric) -> list[str]:
    """Name the sums that are better than the best of their parts, with the p-value."""
    return [
        f"{each.label} is better than the best of its parts, {joined(each.pairs)}: "
        f"p = {max(pair.adjusted_p for pair in each.found):.2g} (the largest of these pairs, "
        "intersection-union test)"
        for each in _tested(table, metric)
        if each.is_complete and all(pair.better == pair.a for pair in each.found)
    ]


def _tested(table: ComparisonTable, metric: Metric) -> Iterator[_Tested]:
    for compound in compounds(table):
        pairs = compound.pairs(table, metric)
        if any(pairs.values()):
            names, missing = tuple(compound.parts), tuple(compound.missing)
            yield _Tested(compound.row.label, names, missing, pairs)


def _question(components: Sequence[str]) -> str:
    first, *others = components
    if len(others) == 1:
        return f"Does {others[0]} help beside {first}?"
    return f"Is the sum of {joined(components)} better than each of them?"


def _answer(sums: Sequence[_Tested], metric: Metric) -> str:
    answer = min((each.answer for each in sums), key=ANSWERS.index)
    decided = [each for each in sums if each.kinds().keys() - {"undecided"}]
    open_ = [each for each in sums if each not in decided]
    texts = [*map(_decided, decided), *([_undecided(open_)] if open_ else [])]
    missing = dict.fromkeys(name for each in sums for name in each.missing)
    texts += [f"{name} was not run alone" for name in missing]
    by = f"by {metric.label}, " if decided else ""
    return f"{answer}: {by}{'; '.join(texts)}"


def _decided(each: _Tested) -> str:
    """Describe a sum with at least one part about which something was decided."""
    kinds = each.kinds()
    clauses = [
        f"{verb} {joined(f'{link} {part} alone{size}' for part, size in kinds[kind].items())}"
        for kind, (verb, link) in VERBS.items()
        if kind in kinds
    ]
    text = f"{each.label} {joined(clauses)}"
    parts = [part for part, pair in each.pairs.items() if pair is None]
    rest = [f"it was not compared with {joined(parts)} alone"] if parts else []
    if undecided := kinds.get("undecided"):
        why = why_undecided([pair for pair in each.found if pair.b in undecided])
        rest.insert(0, f"beside {joined(undecided)} alone, {why}")
    return f"{text} ({'; '.join(rest)})" if rest else text


def _undecided(sums: Sequence[_Tested]) -> str:
    """Describe sums about which nothing was decided."""
    pairs = [pair for each in sums for pair in each.found]
    parts = joined(dict.fromkeys(f"{pair.b} alone" for pair in pairs))
    return f"{listed([each.label for each in sums])} beside {parts}: {why_undecided(pairs)}"
