"""From runs to what can be said of their losses: means, paired differences, who is better."""

import functools
import itertools
import math
import statistics as plain
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from losslab.analysis import statistics
from losslab.analysis.groups import ComparisonGroup, Row, comparison_groups
from losslab.analysis.load import Collection, Run
from losslab.analysis.statistics import LEVEL, Interval
from losslab.metrics.labels import Metric, metric_of

TIE = 1e-6
"""Values nearer to each other than this share of the larger are equal: they differ by rounding."""

HASHES = {"weights": "initial weights", "data": "data", "batches": "batch order"}


@dataclass(frozen=True)
class Summary:
    """One metric of one row."""

    metric: Metric
    values: Mapping[int, float]
    """By seed, of the runs that are finished and have it."""
    lost: tuple[int, ...]
    """The seeds whose run diverged, or finished without getting there."""
    mean: float
    deviation: float
    """Standard deviation over seeds; NaN for fewer than two."""
    interval: Interval
    """95 %, of the mean."""

    @property
    def n(self) -> int:
        """How many values the mean is of."""
        return len(self.values)

    @property
    def undefined(self) -> bool:
        """Whether no run has it, and none lost it: a hinge has no calibration."""
        return not self.values and not self.lost


@dataclass(frozen=True)
class Pair:
    """Two rows, one metric, seed by seed. Differences are ``a - b``, in the metric's unit."""

    a: str
    b: str
    metric: Metric
    seeds: tuple[int, ...]
    """Those that count: both rows have a value, or a run that diverged lost the pair."""
    differences: Mapping[int, float]
    """By seed, where both rows have a value."""
    lost_by_a: tuple[int, ...]
    lost_by_b: tuple[int, ...]
    """Seeds at which the other has a value and this one's run diverged."""
    lost_by_both: tuple[int, ...]
    mean: float
    deviation: float
    interval: Interval
    """95 %, of the mean difference, for this pair alone."""
    p: float
    """Of the exact sign-flip test; on signed ranks where a run diverged."""
    adjusted_p: float
    """The same by Holm, over all comparisons that were made."""
    comparisons: int
    """How many these are."""
    wins: float
    losses: float
    ties: float
    """At how many seeds ``a`` is better, worse, equal."""
    detectable: float
    """The smallest true difference found with a power of 80 % at the Holm level."""
    hashes: Mapping[str, bool | None]
    """Whether ``weights``, ``data`` and ``batches`` agree at every seed; ``None``: not recorded."""
    by_environment: bool
    """Reinforcement learning: what is met depends on the policy, only environment seeds agree."""

    @property
    def n(self) -> int:
        """The number of pairs."""
        return len(self.seeds)

    @property
    def ranked(self) -> bool:
        """Whether the test works on signed ranks, because a run lost its pair."""
        return bool(self.lost_by_a or self.lost_by_b or self.lost_by_both)

    @property
    def swapped(self) -> "Pair":
        """The same with ``b`` first."""
        low, high, method = self.interval
        return replace(
            self,
            a=self.b,
            b=self.a,
            differences={seed: -value for seed, value in self.differences.items()},
            lost_by_a=self.lost_by_b,
            lost_by_b=self.lost_by_a,
            mean=-self.mean,
            interval=Interval(-high, -low, method),
            wins=self.losses,
            losses=self.wins,
        )

    @property
    def improvement(self) -> float:
        """The probability that ``a`` is better, estimated by the share of seeds."""
        return (self.wins + self.ties / 2) / self.n if self.n else math.nan

    @property
    def needed(self) -> int:
        """The fewest seeds with which anything can be claimed."""
        return statistics.needed_seeds(self.comparisons)

    @property
    def exploratory(self) -> bool:
        """Whether there are too few seeds to claim anything."""
        return self.n < self.needed

    @property
    def seeds_to_see(self) -> int | None:
        """How many seeds would show a difference as large as the one observed."""
        if not (self.deviation >= 0 and self.mean):
            return None
        return statistics.seeds_to_see(self.mean, self.deviation, self.comparisons)

    @property
    def distinguishable(self) -> bool:
        """Whether the difference is claimed, at 5 % for all comparisons together."""
        return not self.exploratory and self.adjusted_p <= LEVEL

    @functools.cached_property
    def better(self) -> str | None:
        """The row that is better, if that is claimed."""
        if not self.distinguishable:
            return None
        return self.a if ahead(self) > 0 else self.b

    @property
    def paired(self) -> bool:
        """Whether all that a seed decides was the same for both rows."""
        if self.by_environment:
            return self.hashes["data"] is True
        return all(same is True for same in self.hashes.values())

    @property
    def unequal(self) -> list[str]:
        """What the hashes say was not the same, in words."""
        return [HASHES[name] for name, same in self.hashes.items() if same is False]


@dataclass(frozen=True, eq=False)
class Table:
    """The comparison under one comparison group: one table of the report."""

    comparison_groups: ComparisonGroup
    rows: tuple[Row, ...]
    """The best first, by the first judging metric."""
    judging: tuple[Metric, ...]
    """What is tested and claimed."""
    columns: tuple[Metric, ...]
    """What is shown; the judging metrics first."""
    summaries: Mapping[tuple[str, str], Summary]
    """By row label and metric name."""
    pairs: tuple[Pair, ...]
    """Of the judging metrics; every two rows, or every row against the baseline."""

    @property
    def name(self) -> str:
        """Of the comparison groups, such as ``digits, imbalance=0.05``."""
        return self.comparison_groups.name

    @property
    def title(self) -> str:
        """The name with what every run was asked for: ``regression (data.outliers=0.1)``."""
        shared = ", ".join(self.comparison_groups.shared)
        return f"{self.name} ({shared})" if shared else self.name

    def summary(self, row: Row, metric: Metric) -> Summary:
        """One cell."""
        return self.summaries[row.label, metric.name]

    def pairs_of(self, metric: Metric) -> list[Pair]:
        """The pairs of one judging metric."""
        return [pair for pair in self.pairs if pair.metric.name == metric.name]


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that a table, a page or a picture says of some runs."""

    tables: tuple[Table, ...]
    split: str
    """``test``; ``val`` where no run has read the test split."""
    baseline: str | None
    """The loss, or the label of the row, that all others are compared with."""
    collection: Collection
    """What was found; its ``runs`` are those compared."""
    searched: tuple[Run, ...] = ()
    """Runs of a search, which leave the test split unread, beside those that read it."""

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run that is compared."""
        return self.collection.runs

    @property
    def comparisons(self) -> int:
        """How many comparisons were made; Holm corrects for all of them."""
        return sum(len(table.pairs) for table in self.tables)


def compare(
    collection: Collection,
    *,
    baseline: str | None = None,
    judging: Sequence[str] = (),
    columns: Sequence[str] = (),
    split: str | None = None,
) -> Comparison:
    """Compare the losses of some runs.

    Args:
        collection: the runs, as :func:`losslab.analysis.load.collect` reads them.
        baseline: a loss or a row's label; each other row is compared with it, and no others.
        judging: the metrics whose differences are tested; by default the first of the task's.
            Holm corrects for all of them.
        columns: the metrics that are shown besides; by default all of the task's.
        split: ``test`` or ``val``; by default the test split where a run has read it.

    Raises:
        ValueError: if there is no run, no such metric or baseline, or if a judging metric has no
            direction that is better.
    """
    if not collection.runs:
        raise ValueError("there is no run to compare")
    split = split or ("test" if any(run.test_read for run in collection.runs) else "val")
    searched: tuple[Run, ...] = ()
    if split == "test":
        searched = tuple(run for run in collection.runs if run.is_search)
        compared = tuple(run for run in collection.runs if not run.is_search)
        if not compared:
            raise ValueError("every run leaves the test split unread: compare them on val")
        collection = replace(collection, runs=compared)
    _require_known_metrics(collection.runs, [*judging, *columns], split)
    tables = [
        _table(part, baseline, judging, columns, split)
        for part in comparison_groups(collection.runs)
    ]
    rows = [row for table in tables for row in table.rows]
    if baseline is not None and not any(_is_baseline(row, baseline) for row in rows):
        labels = dict.fromkeys(row.label for row in rows)
        raise ValueError(f"there is no baseline '{baseline}'. Rows: {', '.join(labels)}")
    return Comparison(_corrected(tables), split, baseline, collection, searched)


def _require_known_metrics(runs: Sequence[Run], names: Sequence[str], split: str) -> None:
    known = dict.fromkeys(name for run in runs for name in run.metrics(split))
    for name in names:
        if name not in known and known:
            raise ValueError(f"unknown metric '{name}'. Known: {', '.join(known)}")


def _table(
    part: ComparisonGroup,
    baseline: str | None,
    judging: Sequence[str],
    columns: Sequence[str],
    split: str,
) -> Table:
    judges, shown = _metrics(part, judging, columns, split)
    summaries = {
        (row.label, metric.name): summarize(row, metric, split)
        for row in part.rows
        for metric in shown
    }
    rows = sorted(part.rows, key=lambda row: _rank(summaries[row.label, judges[0].name]))
    pairs = [
        compare_rows(a, b, metric, split)
        for metric in judges
        for a, b in _couples(rows, baseline)
        if not any(row.done and summaries[row.label, metric.name].undefined for row in (a, b))
    ]
    return Table(part, tuple(rows), judges, shown, summaries, tuple(pairs))


def _metrics(
    part: ComparisonGroup, judging: Sequence[str], columns: Sequence[str], split: str
) -> tuple[tuple[Metric, ...], tuple[Metric, ...]]:
    """What judges and what is shown; of the task's own metrics those that a run has."""
    runs = [run for row in part.rows for run in row.runs]
    task = runs[0].config["task"]
    own = runs[0].judges
    there = {name for run in runs for name in run.metrics(split)}
    present = [name for name in own if name in there] or own[:1]
    judges = tuple(metric_of(name, task) for name in judging or present[:1])
    for judge in judges:
        if judge.better is None:
            raise ValueError(
                f"{judge.name} cannot judge: whether higher or lower is better is not known"
            )
    names = dict.fromkeys([judge.name for judge in judges] + list(columns or present))
    return judges, tuple(metric_of(name, task) for name in names)


def _rank(summary: Summary) -> tuple[bool, float]:
    return math.isnan(summary.mean), -summary.metric.sign * summary.mean


def _is_baseline(row: Row, baseline: str) -> bool:
    return baseline in (row.loss, row.label)


def _couples(rows: Sequence[Row], baseline: str | None) -> Iterable[tuple[Row, Row]]:
    """Every two rows, the better one first; or each other row and a baseline's."""
    if baseline is None:
        yield from itertools.combinations(rows, 2)
        return
    references = [row for row in rows if _is_baseline(row, baseline)]
    others = [row for row in rows if not _is_baseline(row, baseline)]
    yield from itertools.product(others, references)


# --- one row --------------------------------------------------------------------------------------


def summarize(row: Row, metric: Metric, split: str = "test") -> Summary:
    """One metric of one row: mean and interval over the seeds that finished."""
    found = _values(row, metric, split)
    values = {seed: value for seed, value in found.items() if math.isfinite(value)}
    lost = tuple(seed for seed in found if seed not in values)
    numbers = list(values.values())
    low, high, method = statistics.mean_interval(numbers)
    return Summary(
        metric=metric,
        values=values,
        lost=lost,
        mean=plain.fmean(numbers) if numbers else math.nan,
        deviation=plain.stdev(numbers) if len(numbers) > 1 else math.nan,
        interval=Interval(max(low, metric.low), min(high, metric.high), method),
    )


def _values(row: Row, metric: Metric, split: str) -> dict[int, float]:
    """By seed; infinity stands for a run that lost its pair. Runs that say nothing are left out."""
    measured = {
        run.seed: run.metrics(split)[metric.name]
        for run in row.done
        if metric.name in run.metrics(split)
    }
    if row.done and not measured and not metric.absent_is_worst:
        return {}  # the loss defines no such metric: a hinge has no calibration
    values: dict[int, float] = {}
    for run in row.runs:
        value = measured.get(run.seed, math.nan)
        absent = run.outcome == "done" and metric.absent_is_worst
        if math.isfinite(value):
            values[run.seed] = value
        elif run.outcome == "diverged" or run.seed in measured or absent:
            values[run.seed] = math.inf
    return values


# --- two rows -------------------------------------------------------------------------------------


def compare_rows(a: Row, b: Row, metric: Metric, split: str = "test") -> Pair:
    """Two rows, seed by seed, as the only comparison made."""
    ours, theirs = _values(a, metric, split), _values(b, metric, split)
    seeds = tuple(seed for seed in ours if seed in theirs)
    differences = {
        seed: difference(ours[seed], theirs[seed])
        for seed in seeds
        if math.isfinite(ours[seed]) and math.isfinite(theirs[seed])
    }
    lost = {
        seed: (math.isinf(ours[seed]), math.isinf(theirs[seed]))
        for seed in seeds
        if seed not in differences
    }
    numbers = list(differences.values())
    advantages = [metric.sign * value for value in numbers]
    advantages += [_lost_advantage(*sides) for sides in lost.values()]
    tested = statistics.signed_ranks(advantages) if lost else advantages
    p = statistics.sign_flip_p(tested) if seeds else 1.0
    pair = Pair(
        a=a.label,
        b=b.label,
        metric=metric,
        seeds=seeds,
        differences=differences,
        lost_by_a=tuple(seed for seed, sides in lost.items() if sides == (True, False)),
        lost_by_b=tuple(seed for seed, sides in lost.items() if sides == (False, True)),
        lost_by_both=tuple(seed for seed, sides in lost.items() if sides == (True, True)),
        mean=plain.fmean(numbers) if numbers else math.nan,
        deviation=plain.stdev(numbers) if len(numbers) > 1 else math.nan,
        interval=statistics.mean_interval(numbers),
        p=p,
        adjusted_p=p,
        comparisons=1,
        wins=sum(value > 0 for value in advantages),
        losses=sum(value < 0 for value in advantages),
        ties=sum(value == 0 for value in advantages),
        detectable=math.nan,
        hashes=_common_hashes(a, b, seeds),
        by_environment="data.env_id" in a.settings,
    )
    return _with_family(pair, p, 1)


def difference(one: float, other: float) -> float:
    """``one - other``, and exactly 0 if they differ by no more than rounding."""
    if abs(one - other) <= TIE * max(abs(one), abs(other)):
        return 0.0
    return one - other


def _lost_advantage(a_lost: bool, b_lost: bool) -> float:
    if a_lost and b_lost:
        return 0.0
    return -math.inf if a_lost else math.inf


def ahead(pair: Pair) -> float:
    """What the test saw: positive where ``a`` is better, claimed or not."""
    values = [pair.metric.sign * value for value in pair.differences.values()]
    if not pair.ranked:
        return sum(values)
    values += [-math.inf] * len(pair.lost_by_a) + [math.inf] * len(pair.lost_by_b)
    return float(statistics.signed_ranks(values).sum())


def _common_hashes(a: Row, b: Row, seeds: Sequence[int]) -> dict[str, bool | None]:
    ours, theirs = a.by_seed, b.by_seed

    def agree(name: str) -> bool | None:
        hashes = [
            (ours[seed].record["hashes"].get(name), theirs[seed].record["hashes"].get(name))
            for seed in seeds
        ]
        if not hashes or any(None in sides for sides in hashes):
            return None
        return all(one == other for one, other in hashes)

    return {name: agree(name) for name in HASHES}


# --- all comparisons together ---------------------------------------------------------------------


def _corrected(tables: Sequence[Table]) -> tuple[Table, ...]:
    """The tables with Holm's correction over all comparisons that they make."""
    pairs = [pair for table in tables for pair in table.pairs]
    adjusted = iter(statistics.holm([pair.p for pair in pairs]))
    return tuple(
        replace(
            table,
            pairs=tuple(_with_family(pair, next(adjusted), len(pairs)) for pair in table.pairs),
        )
        for table in tables
    )


def _with_family(pair: Pair, adjusted_p: float, comparisons: int) -> Pair:
    enough = pair.deviation >= 0  # not NaN
    detectable = (
        statistics.detectable_difference(pair.deviation, pair.n, LEVEL / comparisons)
        if enough
        else math.nan
    )
    return replace(
        pair, adjusted_p=float(adjusted_p), comparisons=comparisons, detectable=detectable
    )
