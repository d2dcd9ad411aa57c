"""Comparisons of a sweep that was looked at before: the p-values hold over all looks.

A look is the comparison of the runs that there were. Each pair is compared at every look, and its
p-values are replaced by group-sequential ones (:mod:`losslab.analysis.sequential`):

- **Planned looks** (``seeds=auto``) spend the level by the part of the information that they have.
- **Other looks** were each made at the whole level, as if they were the only one. What they decided
  stands, and a later look spends what they left: little, unless they had too few seeds to decide.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from losslab.analysis.comparison_groups import Row
from losslab.analysis.generalization import MeanTest
from losslab.analysis.load import Collection, collect
from losslab.analysis.location import SIGN_TEST, TRIMMED, Center
from losslab.analysis.multiplicity import corrected
from losslab.analysis.pairs import Look, Pair, compare_rows
from losslab.analysis.scope import DifferenceTest, Scope
from losslab.analysis.sequential import (
    sequential_equivalence_p,
    sequential_sign_flip_p,
    spending,
)
from losslab.analysis.sequential_t import information, sequential_t_p, shared_variance
from losslab.metrics.labels import Metric
from losslab.runs.folder import is_sweep
from losslab.runs.looks import Looks, look_at, merged, read_looks, write_looks

NOTHING = MeanTest(math.nan, math.nan, math.nan, math.nan)


def compare_rows_over_looks(
    a: Row,
    b: Row,
    metric: Metric,
    split: str,
    scope: Scope,
    *,
    center: Center,
    within: float | None,
    looks: Looks,
) -> Pair:
    """Compare two rows, with p-values that hold over all looks at them."""

    def compared(a: Row, b: Row) -> Pair:
        return compare_rows(a, b, metric, split, scope, center=center, within=within)

    pair = compared(a, b)
    before = looks.before(pair.seeds)
    if not (before or looks.planned) or not pair.seeds:
        return pair
    earlier = [compared(_at(a, seeds), _at(b, seeds)) for seeds in before]
    return _sequential([*earlier, pair], looks.planned)


def _at(row: Row, seeds: frozenset[int]) -> Row:
    return replace(row, runs=tuple(run for run in row.runs if run.seed in seeds))


def _sequential(pairs: Sequence[Pair], planned: Sequence[int]) -> Pair:
    """Return the last of a pair's comparisons with p-values over all of them."""
    last = pairs[-1]
    test = _over_looks([pair.test for pair in pairs], pairs, planned)
    these = test
    if last.of_these_samples is not last.test:
        these = _over_looks([pair.of_these_samples for pair in pairs], pairs, planned)
    spent = _spent([len(pair.seeds) for pair in pairs], planned)
    columns = (test.p, these.p, test.equivalence_p, _failure_p(pairs, spent))
    looks = tuple(
        Look(len(pair.seeds), *map(float, row))
        for pair, row in zip(pairs, zip(*columns, strict=True), strict=True)
    )
    last = replace(
        last,
        looks=looks,
        test=replace(last.test, smallest_p=min(1.0, last.test.smallest_p / test.spent)),
    )
    return _as_of(last, looks[-1].n)


@dataclass(frozen=True)
class _OverLooks:
    """P-values of one test after each look, and the part of the level that is spent by now."""

    p: np.ndarray
    equivalence_p: np.ndarray
    spent: float


def _over_looks(
    tests: Sequence[DifferenceTest], pairs: Sequence[Pair], planned: Sequence[int]
) -> _OverLooks:
    seeds = [len(pair.seeds) for pair in pairs]
    counts = [pair.n for pair in pairs]
    within = None if pairs[-1].failures.lost else pairs[-1].within
    equivalence_p = np.ones(len(pairs))
    if tests[-1].estimate is not None:
        estimates = [test.estimate or NOTHING for test in tests]
        share = shared_variance(estimates[-1], counts[-1])
        spent = _spent(seeds, planned, share)
        p = sequential_t_p(estimates, counts, spent)
        if within is not None:
            equivalence_p = sequential_t_p(estimates, counts, spent, within)
    else:
        spent, method = _spent(seeds, planned), tests[-1].method
        median, trimmed = method == SIGN_TEST, method == TRIMMED
        values = np.array(_in_order([pair.differences for pair in pairs]))
        flipped = np.sign(values) if median else values
        p = sequential_sign_flip_p(flipped, counts, spent, trimmed=trimmed)
        if within is not None:
            equivalence_p = sequential_equivalence_p(
                values, within, counts, spent, median=median, trimmed=trimmed
            )
    return _OverLooks(p, equivalence_p, spent[-1])


def _spent(counts: Sequence[int], planned: Sequence[int], share: float = 0.0) -> list[float]:
    """Return the part of the level that may be spent up to each look."""
    if not planned:
        return [1.0] * len(counts)
    whole = information(planned[-1], share)
    return [spending(information(count, share) / whole) for count in counts]


def _failure_p(pairs: Sequence[Pair], spent: Sequence[float]) -> np.ndarray:
    """Compute the p-value of the failures after each look; sign flips are McNemar's test."""
    sides = [
        {seed: (seed in pair.failures.failed_a) - (seed in pair.failures.failed_b)}
        for pair in pairs
        for seed in pair.seeds
    ]
    return sequential_sign_flip_p(_in_order(sides), [len(pair.seeds) for pair in pairs], spent)


def _in_order(by_seed: Iterable[Mapping[int, float]]) -> list[float]:
    """Return the values of all looks, in the order in which the seeds were added."""
    return list({seed: value for each in by_seed for seed, value in each.items()}.values())


def looks_at(collection: Collection) -> Looks:
    """Note that the sweeps of these runs are compared now; return their looks.

    A run that failed tells something too, one that was interrupted does not.
    """
    seeds: dict[Path, set[int]] = {}
    for run in collection.runs:
        if run.outcome in ("done", "diverged", "failed"):
            seeds.setdefault(run.folder.parent.parent, set()).add(run.seed)
    return merged([look_at(sweep, its) for sweep, its in seeds.items() if is_sweep(sweep)])


def keep_looks(folder: Path) -> None:
    """Keep the looks at a sweep from now on; its folder need not exist yet.

    A sweep of version 0.1 has been compared once, with the runs that it has.
    """
    if read_looks(folder) is None:
        looks = looks_at(collect([folder]))
        folder.mkdir(parents=True, exist_ok=True)
        write_looks(folder, looks)


# --- what was decided when ------------------------------------------------------------------------


def corrected_over_looks(pairs: Sequence[Pair], untested: int = 0) -> list[Pair]:
    """Correct the p-values for all comparisons, and find after which look each was decided.

    For the arguments see :func:`losslab.analysis.multiplicity.corrected`.
    """
    final = corrected(pairs, untested)
    decided: dict[int, int] = {}
    for n in sorted({look.n for pair in pairs for look in pair.looks}):
        for place, then in enumerate(corrected([_as_of(pair, n) for pair in pairs], untested)):
            if then.verdict == final[place].verdict != "undecided":
                decided.setdefault(place, n)
    return [replace(pair, decided_after=decided.get(place)) for place, pair in enumerate(final)]


def _as_of(pair: Pair, n: int) -> Pair:
    """Return a pair with the p-values that it had after the look at n seeds."""
    if not pair.looks:
        return pair
    nothing = Look(0, 1.0, 1.0, 1.0, 1.0)
    look = next((look for look in reversed(pair.looks) if look.n <= n), nothing)
    return replace(
        pair,
        test=replace(pair.test, p=look.p, equivalence_p=look.equivalence_p),
        of_these_samples=replace(pair.of_these_samples, p=look.p_of_these_samples),
        failures=replace(pair.failures, p_over_looks=look.failure_p),
    )
