"""What to do next after a comparison: more seeds, more data, a margin, tuning, or nothing."""

import math
from collections.abc import Sequence

from losslab.analysis.advice import PYTHON, SHELL, Advice
from losslab.analysis.comparison import ComparisonTable
from losslab.analysis.compounds import compounds
from losslab.analysis.convergence import not_converged, started_at_best
from losslab.analysis.pairs import Pair
from losslab.analysis.search import plan_of
from losslab.analysis.standing import Standing
from losslab.analysis.words import about, joined, listed, rounded
from losslab.runs.folder import has_default_options, in_sweep

MOST_SEEDS = 200
"""Number of seeds above which more seeds are not advised."""


def next_step(
    table: ComparisonTable,
    found: Standing,
    undecided: Sequence[Pair],
    *,
    tuned: bool,
    in_python: bool = False,
) -> str:
    """Return what would make the answer of a table better.

    Args:
        table: the comparison.
        found: its standing by the first primary metric.
        undecided: pairs that matter for the answer and are not decided.
        tuned: whether the learning rate of each loss was tuned.
        in_python: whether to advise calls instead of commands.
    """
    advice = PYTHON if in_python else SHELL
    if parts := _missing_parts(table, advice):
        return parts
    if len(table.rows) == 1:
        another = advice.another_loss.format(losses=_typed(table))
        return f"run another loss at the same seeds: {another}"
    training = "" if tuned else _training(table, advice)
    if training:
        return training
    if found.contradictory:
        return "choose between better values and fewer failures"
    open_pairs = [pair for pair in undecided if pair.seeds]
    if not open_pairs:
        return _nothing(found)
    return _decide(open_pairs, advice)


def _missing_parts(table: ComparisonTable, advice: Advice) -> str:
    """Advise to run the components of sums alone, if they were not."""
    sums = [each for each in compounds(table) if each.missing]
    names = list(dict.fromkeys(name for each in sums for name in each.missing))
    if not names:
        return ""
    run = sums[0].row.runs[0]
    alone = f"run {joined(names)} alone"
    if (plan := plan_of(run)) is not None:
        losses = ",".join(dict.fromkeys([*plan["losses"], *names]))
        tune = advice.tuned_components.format(losses=losses)
        return f"{alone}, tuned equally: {tune}"
    if in_sweep(run.folder) and all(has_default_options(each, run.overrides) for each in names):
        return f"{alone}: {advice.components.format(losses=','.join(names))}"
    return f"{alone}, at the same seeds and with the options that the sum gives them"


def _nothing(found: Standing) -> str:
    if not any(pair.seeds for pair in found.pairs):
        return "run the losses at the same seeds"
    if len(found.leading) == 1:
        return "nothing, the answer is decided"
    return "choose by cost or by another metric"


def _training(table: ComparisonTable, advice: Advice) -> str:
    """Advise to train otherwise, if the settings of the training may decide which loss is best."""
    diverged = [row.label for row in table.rows if any(r.outcome == "diverged" for r in row.runs)]
    tune = f"tune the learning rate of each loss: {advice.tuning.format(losses=_typed(table))}"
    if diverged:
        return f"{tune}; {listed(diverged)} diverged"
    first = [row.label for row in table.rows if started_at_best(row)]
    if first:
        return f"{tune}; the best epoch of {listed(first)} is the first"
    growing = [row.label for row in table.rows if not_converged(row)]
    if growing:
        still = f"{listed(growing)} {'was' if len(growing) == 1 else 'were'} still improving"
        return f"train longer ({advice.longer}), or {tune}; {still}"
    return ""


def _typed(table: ComparisonTable) -> str:
    """Return the losses as an argument; LOSSES if one of them is more than a name, as sums are."""
    for row in table.rows:
        typed = [each for each in row.runs[0].overrides if each.startswith("loss=")]
        if typed and typed[-1] != f"loss={row.loss}":
            return "LOSSES"
    return f"loss={','.join(dict.fromkeys(row.loss for row in table.rows))}"


def _decide(pairs: Sequence[Pair], advice: Advice) -> str:
    """Advise what would decide the pairs."""
    metric = pairs[0].metric
    if all(pair.underpowered for pair in pairs):
        needed = max(pair.needed for pair in pairs)
        return f"more seeds: at least {needed}{_more(needed, pairs, advice)}"
    if pairs[0].within is None:
        margin = f"set a margin: {advice.margin.format(metric=metric.name)}, the largest "
        return f"{margin}difference that does not matter{_data_for_observed(pairs)}"
    return _decide_margin(pairs, about(metric, pairs[0].within), advice)


def _more(needed: int, pairs: Sequence[Pair], advice: Advice) -> str:
    return advice.seeds.format(more=needed - max(len(pair.seeds) for pair in pairs))


def _decide_margin(pairs: Sequence[Pair], margin: str, advice: Advice) -> str:
    """Advise what would decide whether the differences are within the margin."""
    if any(math.isnan(pair.mde) for pair in pairs):
        return f"more seeds, or a larger margin than {margin}"
    planned = [pair.seeds_for_margin for pair in pairs]
    most = max((count for count in planned if count is not None), default=0)
    limited = None in planned or most > MOST_SEEDS
    if limited:
        samples = _samples_for_margin(pairs)
        if samples:
            return f"more data: about {rounded(samples)} samples decide differences of {margin}"
        return f"a larger margin: {margin} would take more than {MOST_SEEDS} seeds"
    if most > max(pair.n for pair in pairs):
        return f"more seeds: {most} decide differences of {margin}{_more(most, pairs, advice)}"
    return f"more seeds: the difference is close to the margin of {margin}"


def _samples_for_margin(pairs: Sequence[Pair]) -> float:
    """Return the number of samples that decide the margin; 0 if samples do not limit it."""
    limited = [
        pair for pair in pairs if pair.limited_by_samples and pair.design.total and pair.within
    ]
    return max(
        (pair.design.total * (pair.mde / (pair.within or math.nan)) ** 2 for pair in limited),
        default=0.0,
    )


def _data_for_observed(pairs: Sequence[Pair]) -> str:
    """Say how many samples would show the largest observed difference, if samples limit it."""
    limited = [pair for pair in pairs if pair.samples_to_see is not None]
    if not limited:
        return ""
    pair = max(limited, key=lambda each: abs(each.mean))
    size = about(pair.metric, abs(pair.mean))
    return f"; about {rounded(pair.samples_to_see or 0)} samples would show {size}"
