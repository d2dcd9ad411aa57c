"""Compare losses: means over seeds, paired differences and their significance."""

import functools
import itertools
import math
import statistics as plain
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from losslab.analysis import statistics
from losslab.analysis.comparison_groups import ComparisonGroup, Row, comparison_groups
from losslab.analysis.load import Collection, Run
from losslab.analysis.scope import (
    Design,
    DifferenceTest,
    Scope,
    difference_test,
    rank_test,
)
from losslab.analysis.statistics import LEVEL, Interval
from losslab.metrics.labels import Metric, metric_of

TIE = 1e-6
"""Relative tolerance within which two values count as equal, since they differ by rounding."""

HASHES = {"weights": "initial weights", "data": "data", "batches": "batch order"}


@dataclass(frozen=True)
class Summary:
    """Mean, spread and confidence interval of one metric in one row."""

    metric: Metric
    values: Mapping[int, float]
    """Value per seed, for the finished runs that have the metric."""
    failed: tuple[int, ...]
    """Seeds whose run diverged or finished without reaching the metric."""
    mean: float
    deviation: float
    """Standard deviation over seeds; NaN for fewer than two seeds."""
    interval: Interval
    """95 % confidence interval of the mean."""

    @property
    def n(self) -> int:
        """Number of seeds that the mean is taken over."""
        return len(self.values)

    @property
    def undefined(self) -> bool:
        """Return whether the row lacks the metric, as a hinge loss lacks calibration."""
        return not self.values and not self.failed


@dataclass(frozen=True)
class Pair:
    """Paired comparison of two rows by one metric; differences are ``a - b`` per seed."""

    a: str
    b: str
    metric: Metric
    seeds: tuple[int, ...]
    """Seeds that count: both rows have a value, or one run diverged."""
    differences: Mapping[int, float]
    """Difference per seed, for the seeds at which both rows have a value."""
    failed_a: tuple[int, ...]
    failed_b: tuple[int, ...]
    """Seeds at which this row's run diverged and the other's did not."""
    failed_both: tuple[int, ...]
    mean: float
    deviation: float
    test: DifferenceTest
    """Test of the difference, for the scope of the comparison."""
    of_these_samples: DifferenceTest
    """Test for these samples only; the same as ``test`` if the seeds do not share samples."""
    design: Design
    """How the seeds share samples."""
    adjusted_p: float
    """P-value after Holm's correction over all comparisons."""
    adjusted_p_of_these_samples: float
    """The same for the test that holds for these samples only."""
    comparisons: int
    """Number of comparisons that Holm's correction covers."""
    wins: float
    losses: float
    ties: float
    """Number of seeds at which ``a`` is better, worse and equal."""
    mde: float
    """Minimum detectable effect: smallest true difference found with 80 % power."""
    hashes: Mapping[str, bool | None]
    """Whether ``weights``, ``data`` and ``batches`` agree at all seeds; ``None`` if unrecorded."""
    by_environment: bool
    """Whether only environment seeds are paired, as in reinforcement learning."""

    @property
    def n(self) -> int:
        """Number of paired seeds."""
        return len(self.seeds)

    @property
    def p(self) -> float:
        """P-value, not corrected for multiplicity."""
        return self.test.p

    @property
    def interval(self) -> Interval:
        """95 % interval of the mean difference that the test implies, not corrected."""
        return self.test.interval

    @property
    def ranked(self) -> bool:
        """Return whether the test uses signed ranks, because a run diverged."""
        return bool(self.failed_a or self.failed_b or self.failed_both)

    @property
    def swapped(self) -> "Pair":
        """Return the same comparison with ``a`` and ``b`` exchanged."""
        return replace(
            self,
            a=self.b,
            b=self.a,
            differences={seed: -value for seed, value in self.differences.items()},
            failed_a=self.failed_b,
            failed_b=self.failed_a,
            mean=-self.mean,
            test=self.test.swapped,
            of_these_samples=self.of_these_samples.swapped,
            wins=self.losses,
            losses=self.wins,
        )

    @property
    def improvement(self) -> float:
        """Estimated probability that ``a`` is better: the share of seeds at which it is."""
        return (self.wins + self.ties / 2) / self.n if self.n else math.nan

    @property
    def needed(self) -> int:
        """Minimum number of seeds with which a difference can be significant."""
        return self.test.needed_seeds(self.comparisons)

    @property
    def underpowered(self) -> bool:
        """Return whether there are too few seeds for any difference to be significant."""
        return self.n < self.needed

    @property
    def seeds_to_see(self) -> int | None:
        """Number of seeds needed to find a difference as large as the observed one."""
        if not (self.deviation >= 0 and self.mean) or self.test.estimate is not None:
            return None
        return statistics.seeds_to_see(self.mean, self.deviation, self.comparisons)

    @property
    def smallest_ever(self) -> float:
        """Smallest difference that any number of seeds finds; 0 if the samples do not limit it."""
        return self.test.smallest_ever(LEVEL / self.comparisons)

    @property
    def samples_to_see(self) -> int | None:
        """Number of samples that would show the observed difference with this number of seeds."""
        if self.significant or not (self.smallest_ever and self.mean and self.design.total):
            return None
        return math.ceil(self.design.total * (self.mde / abs(self.mean)) ** 2)

    @property
    def significant(self) -> bool:
        """Return whether the difference is significant at 5 % over all comparisons."""
        return not self.underpowered and self.adjusted_p <= LEVEL

    @functools.cached_property
    def better(self) -> str | None:
        """Label of the better row if the difference is significant, else ``None``."""
        if not self.significant:
            return None
        return self.a if ahead(self) > 0 else self.b

    @property
    def paired(self) -> bool:
        """Return whether data, initial weights and batch order agree at each seed."""
        if self.by_environment:
            return self.hashes["data"] is True
        return all(same is True for same in self.hashes.values())

    @property
    def unequal(self) -> list[str]:
        """Names of what differed between the rows at the same seed, according to the hashes."""
        return [HASHES[name] for name, same in self.hashes.items() if same is False]


@dataclass(frozen=True, eq=False)
class ComparisonTable:
    """Comparison within one comparison group: one table of the report."""

    comparison_group: ComparisonGroup
    rows: tuple[Row, ...]
    """Rows, best first by the first primary metric."""
    primary_metrics: tuple[Metric, ...]
    """Metrics whose differences are tested."""
    columns: tuple[Metric, ...]
    """Metrics that are shown, the primary metrics first."""
    summaries: Mapping[tuple[str, str], Summary]
    """Summaries by row label and metric name."""
    pairs: tuple[Pair, ...]
    """Pairs of rows per primary metric: all pairs, or each row against the baseline."""

    @property
    def name(self) -> str:
        """Name of the comparison group, such as ``digits, imbalance=0.05``."""
        return self.comparison_group.name

    @property
    def title(self) -> str:
        """Name with the overrides that all runs share: ``regression (data.outliers=0.1)``."""
        shared = ", ".join(self.comparison_group.shared)
        return f"{self.name} ({shared})" if shared else self.name

    def summary(self, row: Row, metric: Metric) -> Summary:
        """Return the summary of one metric in one row."""
        return self.summaries[row.label, metric.name]

    def pairs_of(self, metric: Metric) -> list[Pair]:
        """Return the pairs that were compared by one primary metric."""
        return [pair for pair in self.pairs if pair.metric.name == metric.name]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Result of comparing runs: the tables, and what they were made from."""

    tables: tuple[ComparisonTable, ...]
    split: str
    """``test``, or ``val`` if no run has read the test split."""
    baseline: str | None
    """Loss or row label that all other rows are compared with."""
    collection: Collection
    """Runs that were found; its ``runs`` are those compared."""
    searched: tuple[Run, ...] = ()
    """Left-out runs of a hyperparameter search, which do not read the test split."""

    @property
    def runs(self) -> tuple[Run, ...]:
        """Runs that are compared."""
        return self.collection.runs

    @property
    def comparisons(self) -> int:
        """Number of comparisons made, all covered by Holm's correction."""
        return sum(len(table.pairs) for table in self.tables)


def compare(
    collection: Collection,
    *,
    baseline: str | None = None,
    primary_metrics: Sequence[str] = (),
    columns: Sequence[str] = (),
    split: str | None = None,
    scope: Scope = "samples",
) -> Comparison:
    """Compare the losses of runs.

    Args:
        collection: the runs, as :func:`losslab.analysis.load.collect` reads them.
        baseline: a loss or a row's label; only comparisons with it are made.
        primary_metrics: metrics whose differences are tested, all covered by Holm's correction.
            Default: the first metric of the task.
        columns: further metrics to show. Default: all metrics of the task.
        split: ``test`` or ``val``. Default: ``test`` if any run has read it.
        scope: what conclusions hold for: ``samples``, new samples of the same kind, or ``data``,
            these samples.

    Raises:
        ValueError: if there are no runs, a metric or the baseline is unknown, or it is not known
            whether higher or lower values of a primary metric are better.
    """
    if not collection.runs:
        raise ValueError("no runs to compare")
    split = split or ("test" if any(run.test_read for run in collection.runs) else "val")
    searched: tuple[Run, ...] = ()
    if split == "test":
        searched = tuple(run for run in collection.runs if run.is_search)
        compared = tuple(run for run in collection.runs if not run.is_search)
        if not compared:
            raise ValueError("no run has read the test split: compare them on val")
        collection = replace(collection, runs=compared)
    _require_known_metrics(collection.runs, [*primary_metrics, *columns], split)
    tables = [
        _table(part, baseline, primary_metrics, columns, split, scope)
        for part in comparison_groups(collection.runs)
    ]
    rows = [row for table in tables for row in table.rows]
    if baseline is not None and not any(_is_baseline(row, baseline) for row in rows):
        labels = dict.fromkeys(row.label for row in rows)
        raise ValueError(f"unknown baseline '{baseline}'. Rows: {', '.join(labels)}")
    return Comparison(_corrected(tables), split, baseline, collection, searched)


def _require_known_metrics(runs: Sequence[Run], names: Sequence[str], split: str) -> None:
    known = dict.fromkeys(name for run in runs for name in run.metrics(split))
    for name in names:
        if name not in known and known:
            raise ValueError(f"unknown metric '{name}'. Known: {', '.join(known)}")


def _table(
    part: ComparisonGroup,
    baseline: str | None,
    primary_metrics: Sequence[str],
    columns: Sequence[str],
    split: str,
    scope: Scope,
) -> ComparisonTable:
    primary, shown = _metrics(part, primary_metrics, columns, split)
    summaries = {
        (row.label, metric.name): summarize(row, metric, split)
        for row in part.rows
        for metric in shown
    }
    rows = sorted(part.rows, key=lambda row: _rank(summaries[row.label, primary[0].name]))
    pairs = [
        compare_rows(a, b, metric, split, scope)
        for metric in primary
        for a, b in _couples(rows, baseline)
        if not any(row.done and summaries[row.label, metric.name].undefined for row in (a, b))
    ]
    return ComparisonTable(part, tuple(rows), primary, shown, summaries, tuple(pairs))


def _metrics(
    part: ComparisonGroup, primary_metrics: Sequence[str], columns: Sequence[str], split: str
) -> tuple[tuple[Metric, ...], tuple[Metric, ...]]:
    """Return the primary metrics and the columns; by default those that some run has."""
    runs = [run for row in part.rows for run in row.runs]
    task = runs[0].config["task"]
    own = runs[0].metric_names
    there = {name for run in runs for name in run.metrics(split)}
    present = [name for name in own if name in there] or own[:1]
    primary = tuple(metric_of(name, task) for name in primary_metrics or present[:1])
    for metric in primary:
        if metric.better is None:
            raise ValueError(
                f"{metric.name} cannot be a primary metric: it is not known whether higher or "
                "lower is better"
            )
    names = dict.fromkeys([metric.name for metric in primary] + list(columns or present))
    return primary, tuple(metric_of(name, task) for name in names)


def _rank(summary: Summary) -> tuple[bool, float]:
    return math.isnan(summary.mean), -summary.metric.sign * summary.mean


def _is_baseline(row: Row, baseline: str) -> bool:
    return baseline in (row.loss, row.label)


def _couples(rows: Sequence[Row], baseline: str | None) -> Iterable[tuple[Row, Row]]:
    """Return all pairs of rows, the better one first, or each row with the baseline's."""
    if baseline is None:
        yield from itertools.combinations(rows, 2)
        return
    references = [row for row in rows if _is_baseline(row, baseline)]
    others = [row for row in rows if not _is_baseline(row, baseline)]
    yield from itertools.product(others, references)


# --- one row --------------------------------------------------------------------------------------


def summarize(row: Row, metric: Metric, split: str = "test") -> Summary:
    """Summarize a metric of a row: mean and interval over the seeds that finished."""
    found = _values(row, metric, split)
    values = {seed: value for seed, value in found.items() if math.isfinite(value)}
    failed = tuple(seed for seed in found if seed not in values)
    numbers = list(values.values())
    low, high, method = statistics.mean_interval(numbers)
    return Summary(
        metric=metric,
        values=values,
        failed=failed,
        mean=plain.fmean(numbers) if numbers else math.nan,
        deviation=plain.stdev(numbers) if len(numbers) > 1 else math.nan,
        interval=Interval(max(low, metric.low), min(high, metric.high), method),
    )


def _values(row: Row, metric: Metric, split: str) -> dict[int, float]:
    """Return the value per seed, infinite for a diverged run; other missing runs are left out."""
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


def compare_rows(
    a: Row, b: Row, metric: Metric, split: str = "test", scope: Scope = "samples"
) -> Pair:
    """Compare two rows seed by seed, without correcting for other comparisons."""
    ours, theirs = _values(a, metric, split), _values(b, metric, split)
    seeds = tuple(seed for seed in ours if seed in theirs)
    differences = {
        seed: difference(ours[seed], theirs[seed])
        for seed in seeds
        if math.isfinite(ours[seed]) and math.isfinite(theirs[seed])
    }
    failed = {
        seed: (math.isinf(ours[seed]), math.isinf(theirs[seed]))
        for seed in seeds
        if seed not in differences
    }
    numbers = list(differences.values())
    advantages = [metric.sign * value for value in numbers]
    advantages += [_advantage_of_failure(*sides) for sides in failed.values()]
    design = a.runs[0].design
    if failed:
        test = of_these_samples = rank_test(advantages, design)
    else:
        test = difference_test(numbers, design, scope)
        of_these_samples = test
        if test.estimate is not None:
            of_these_samples = difference_test(numbers, design, "data")
    pair = Pair(
        a=a.label,
        b=b.label,
        metric=metric,
        seeds=seeds,
        differences=differences,
        failed_a=tuple(seed for seed, sides in failed.items() if sides == (True, False)),
        failed_b=tuple(seed for seed, sides in failed.items() if sides == (False, True)),
        failed_both=tuple(seed for seed, sides in failed.items() if sides == (True, True)),
        mean=plain.fmean(numbers) if numbers else math.nan,
        deviation=plain.stdev(numbers) if len(numbers) > 1 else math.nan,
        test=test,
        of_these_samples=of_these_samples,
        design=design,
        adjusted_p=test.p,
        adjusted_p_of_these_samples=of_these_samples.p,
        comparisons=1,
        wins=sum(value > 0 for value in advantages),
        losses=sum(value < 0 for value in advantages),
        ties=sum(value == 0 for value in advantages),
        mde=math.nan,
        hashes=_common_hashes(a, b, seeds),
        by_environment="data.env_id" in a.settings,
    )
    return _with_family(pair, test.p, of_these_samples.p, 1)


def difference(one: float, other: float) -> float:
    """Return ``one - other``, or exactly 0 if they differ only by rounding."""
    if abs(one - other) <= TIE * max(abs(one), abs(other)):
        return 0.0
    return one - other


def _advantage_of_failure(a_failed: bool, b_failed: bool) -> float:
    if a_failed and b_failed:
        return 0.0
    return -math.inf if a_failed else math.inf


def ahead(pair: Pair) -> float:
    """Return the test statistic: positive if ``a`` is better, significant or not."""
    values = [pair.metric.sign * value for value in pair.differences.values()]
    if not pair.ranked:
        return sum(values)
    values += [-math.inf] * len(pair.failed_a) + [math.inf] * len(pair.failed_b)
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


# --- correction for multiple comparisons ----------------------------------------------------------


def _corrected(tables: Sequence[ComparisonTable]) -> tuple[ComparisonTable, ...]:
    """Apply Holm's correction over all comparisons of the tables."""
    pairs = [pair for table in tables for pair in table.pairs]
    adjusted = zip(
        statistics.holm([pair.p for pair in pairs]),
        statistics.holm([pair.of_these_samples.p for pair in pairs]),
        strict=True,
    )
    return tuple(
        replace(
            table,
            pairs=tuple(_with_family(pair, *next(adjusted), len(pairs)) for pair in table.pairs),
        )
        for table in tables
    )


def _with_family(
    pair: Pair, adjusted_p: float, adjusted_p_of_these_samples: float, comparisons: int
) -> Pair:
    enough = pair.deviation >= 0  # not NaN
    mde = (
        pair.test.minimum_detectable_effect(pair.deviation, pair.n, LEVEL / comparisons)
        if enough
        else math.nan
    )
    return replace(
        pair,
        adjusted_p=float(adjusted_p),
        adjusted_p_of_these_samples=float(adjusted_p_of_these_samples),
        comparisons=comparisons,
        mde=mde,
    )
