"""Conclusions of a comparison, as sentences."""

import itertools
import math
from collections.abc import Sequence

from losslab.analysis.comparison import ComparisonTable
from losslab.analysis.compound_answer import best_part_sentences
from losslab.analysis.location import SIGN_TEST, TRIMMED
from losslab.analysis.pairs import Pair
from losslab.analysis.scope import NEW_TEST_SAMPLES
from losslab.analysis.words import MOST_NAMES, in_short, rounded, span
from losslab.metrics.labels import Metric, some

LOCATIONS = {SIGN_TEST: "median difference in ", TRIMMED: "interquartile mean difference in "}
"""Location that a test is about, if it is not the mean."""

MOST_TOLD = 60
"""Number of pairs that are described one by one; ``pairs.csv`` has all."""


def conclusions(table: ComparisonTable) -> list[str]:
    """Describe the compared pairs of a table, primary metric by primary metric."""
    return [line for metric in table.primary_metrics for line in _conclusions_by(table, metric)]


def _conclusions_by(table: ComparisonTable, metric: Metric) -> list[str]:
    pairs = table.pairs_of(metric)
    if not pairs:
        return [f"{metric.label}: nothing to compare, there is one row"]
    decided = [pair for pair in pairs if pair.verdict != "undecided"]
    rest = [pair for pair in pairs if pair.verdict == "undecided"]
    too_few: list[Pair] = []
    unclear: list[Pair] = []
    for pair in rest:
        few = pair.underpowered and (pair.n or not pair.failures.lost)
        (too_few if few else unclear).append(pair)
    lines = [pair_sentence(pair) for pair in decided[:MOST_TOLD]]
    lines += itertools.islice(filter(None, map(failure_sentence, pairs)), MOST_TOLD)
    if unclear and not lines:
        lines.append(f"{metric.label}: no significant differences")
    lines += [pair_sentence(pair) for pair in unclear[:MOST_TOLD]]
    if too_few:
        lines.append(_underpowered(too_few))
        lines += [pair_sentence(pair) for pair in too_few[:MOST_TOLD]]
    if more := sum(max(len(each) - MOST_TOLD, 0) for each in (decided, unclear, too_few)):
        lines.append(f"{metric.label}: {some(more, 'more pairs')} in pairs.csv")
    return lines + best_part_sentences(table, metric)


def short_conclusions(table: ComparisonTable, metric: Metric) -> list[str]:
    """Describe the compared pairs in short: one line per row that is better than others."""
    pairs = table.pairs_of(metric)
    beaten: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.preferred is not None:
            beaten.setdefault(pair.preferred, []).append(pair.other(pair.preferred))
    lines = [
        f"{metric.label}: {row.label} is better than {in_short(beaten[row.label])}"
        for row in table.rows
        if row.label in beaten
    ]
    if (more := len(lines) - MOST_NAMES) > MOST_NAMES:
        lines[MOST_NAMES:] = [f"{metric.label}: {more} more rows are better than others"]
    equal = [pair for pair in pairs if pair.equivalent]
    if equal:
        margin = _within(equal[0])
        verb = "is" if len(equal) == 1 else "are"
        which = f"{len(equal)} of {some(len(pairs), 'pairs')}"
        lines.append(f"{metric.label}: {which} {verb} {margin}")
    rest = [pair for pair in pairs if pair.verdict == "undecided" and pair.preferred is None]
    too_few = [pair for pair in rest if pair.underpowered]
    lines += [_underpowered(too_few)] if too_few else []
    if unclear := len(rest) - len(too_few):
        which = f"{unclear} of {some(len(pairs), 'pairs')}"
        lines.append(f"{metric.label}: no significant difference in {which}")
    return lines + best_part_sentences(table, metric)


def _underpowered(pairs: Sequence[Pair]) -> str:
    shown = span(pair.n for pair in pairs)
    needed, comparisons = max(pair.needed for pair in pairs), pairs[0].comparisons
    among = "one comparison" if comparisons == 1 else f"{comparisons} comparisons"
    return (
        f"{pairs[0].metric.label}: underpowered with n = {shown}: no difference of any "
        f"size can reach p < 0.05 over {among}; at least {needed} seeds are needed"
    )


def pair_sentence(pair: Pair) -> str:
    """Describe what a pair's values show: better, equivalent or undecided, and why."""
    if not pair.n:
        both = "no seed at which both finished" if pair.seeds else "no seed in common"
        return f"{pair.a} and {pair.b} have {both}"
    if pair.verdict == "equivalent":
        return _equivalent(pair)
    if pair.verdict == "better":
        return _better(pair)
    size, outlook = _size(pair), _outlook(pair)
    if pair.underpowered:
        return f"{pair.a} vs {pair.b}: {size}{outlook}"
    undecided = "no significant difference" if pair.within is None else "undecided"
    return f"{pair.a} vs {pair.b}: {undecided}: {size}, {_p(pair)}{outlook}"


def _better(pair: Pair) -> str:
    pair = pair if pair.better == pair.a else pair.swapped
    share = f"better for {pair.wins} of {pair.n} seeds"
    return f"{pair.a} is better than {pair.b}: {_size(pair)}, {_p(pair)}, {share}{_after(pair)}"


def _equivalent(pair: Pair) -> str:
    test = f"p = {pair.adjusted_equivalence_p:.2g} ({_method(pair)}) for {_scope(pair)}"
    text = f"{pair.a} and {pair.b} are {_within(pair)}: {_size(pair)}, {test}{_after(pair)}"
    if pair.better is None:
        return text
    return f"{text}; within the margin {pair.better} is better, p = {pair.adjusted_p:.2g}"


def _after(pair: Pair) -> str:
    """Return after which look the pair was decided, if there were several."""
    return "" if pair.decided_after is None else f", decided after {pair.decided_after} seeds"


def _within(pair: Pair) -> str:
    assert pair.within is not None
    return f"equivalent within {pair.metric.difference_text(pair.within, sign=False)}"


def failure_sentence(pair: Pair) -> str | None:
    """Describe how often either row fails, if one failed where the other finished."""
    failures = pair.failures
    if not failures.differs:
        return None
    pair = pair if failures.a_fails_more else pair.swapped
    only_a, only_b = len(pair.failures.failed_a), len(pair.failures.failed_b)
    corrected = _corrected_over(pair)
    test = f"p = {failures.adjusted_p:.2g} (McNemar's test{corrected}) for {pair.design.of_seeds}"
    where = f"at {only_a} of {len(pair.seeds)} seeds where {pair.b} finished, "
    reverse = f"{pair.b} at {only_b} where {pair.a} did" if only_b else "never the reverse"
    if failures.significant:
        return f"{pair.a} fails more often than {pair.b}: {where}{reverse}, {test}"
    return f"{pair.a} failed {where}{reverse}: no significant difference in failures, {test}"


def _outlook(pair: Pair) -> str:
    """Return the spread of the differences, and what more seeds or samples would show."""
    if math.isnan(pair.deviation):
        return "; the spread is unknown with one pair"
    if pair.deviation == 0:
        return ""
    parts = [f"paired SD {pair.metric.difference_text(pair.deviation, sign=False)}"]
    parts += [*_margin_outlook(pair), *_samples_outlook(pair)]
    if math.isfinite(pair.mde) and not pair.underpowered:
        shown = pair.metric.difference_text(pair.mde, sign=False)
        if pair.mde > pair.metric.high - pair.metric.low:
            shown = "more than the metric's range"
        parts.append(f"minimum detectable effect with {pair.n} seeds: {shown}")
    return "".join(f"; {part}" for part in parts)


def _margin_outlook(pair: Pair) -> list[str]:
    if pair.within is None or pair.test.method in LOCATIONS:
        return []
    shown = pair.metric.difference_text(pair.within, sign=False)
    seeds = pair.seeds_for_margin
    if seeds is None:
        return [f"no number of seeds finds a difference of {shown}"]
    if seeds <= pair.n:
        return [f"a difference of {shown} would have been found"]
    return [f"{seeds} seeds find a difference of {shown}"]


def _samples_outlook(pair: Pair) -> list[str]:
    """Return what limits a conclusion about new samples, if the samples do and not the seeds."""
    if pair.samples_to_see is None:
        return []
    observed = pair.metric.difference_text(abs(pair.mean), sign=False)
    ever = pair.metric.difference_text(pair.smallest_ever, sign=False)
    return [
        f"with {pair.design.total:,} samples no number of seeds can show less than {ever}",
        f"about {rounded(pair.samples_to_see)} samples would show {observed}",
    ]


def _size(pair: Pair) -> str:
    """Return the mean difference, as in ``accuracy +0.84 points [0.31, 1.37]``."""
    if not any(pair.differences.values()):
        seeds = "the one seed" if pair.n == 1 else f"all {pair.n} seeds"
        return f"{pair.metric.label} equal at {seeds}"
    label = LOCATIONS.get(pair.test.method, "") + pair.metric.label
    text = f"{label} {pair.metric.difference_text(pair.mean)}"
    low, high, _ = pair.interval
    if not (math.isfinite(low) and math.isfinite(high)):
        return text
    number = pair.metric.number
    return f"{text} [{number(low, like=pair.mean)}, {number(high, like=pair.mean)}]"


def _p(pair: Pair) -> str:
    test = f"p = {pair.adjusted_p:.2g} ({_method(pair)}) for {_scope(pair)}"
    if pair.of_these_samples.holds_for == pair.test.holds_for:
        return test
    return f"{test}, p = {pair.adjusted_p_of_these_samples:.2g} for these samples"


def _method(pair: Pair) -> str:
    looks = f", {len(pair.looks)} looks" if len(pair.looks) > 1 else ""
    return pair.test.method + _corrected_over(pair) + looks


def _corrected_over(pair: Pair) -> str:
    if pair.comparisons == 1:
        return ""
    return f", {pair.correction.method} over {pair.comparisons}"


def _scope(pair: Pair) -> str:
    if pair.test.holds_for == NEW_TEST_SAMPLES:
        return f"{NEW_TEST_SAMPLES} (networks trained on these training samples)"
    return pair.test.holds_for
