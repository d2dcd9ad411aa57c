"""Compare losses: means over seeds, paired differences and their significance."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from losslab.analysis.advice import made_in_python
from losslab.analysis.comparison_groups import ComparisonGroup, Row, comparison_groups
from losslab.analysis.load import Collection, Run
from losslab.analysis.location import Center
from losslab.analysis.looks import compare_rows_over_looks, corrected_over_looks
from losslab.analysis.pairs import Pair
from losslab.analysis.scope import Scope
from losslab.analysis.summaries import Summary, summarize
from losslab.analysis.words import in_short
from losslab.config.values import margin_refusal
from losslab.metrics.labels import Metric, metric_of, name_rarest
from losslab.runs.looks import NO_LOOKS, Looks

MOST_PAIRS = 780
"""Number of pairs, those of 40 rows, up to which all pairs of a table are compared."""


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
    """Pairs of rows per primary metric: all pairs, each row against the baseline, or in a table of
    many rows each against the best one."""
    reference: Row | None = None
    """Row with which alone all others are compared, in a table of many rows."""
    untested: int = 0
    """Number of pairs that were not compared, since the table has many rows."""
    selection: str = ""
    """Which rows these are, if others are left out: ``the best 16 of 100 rows``."""

    @property
    def name(self) -> str:
        """Name of the comparison group, such as ``digits, imbalance=0.05``."""
        return self.comparison_group.name

    @property
    def title(self) -> str:
        """Name with the overrides that all runs share: ``regression (data.outliers=0.1)``."""
        shared = ", ".join(self.comparison_group.shared)
        title = f"{self.name} ({shared})" if shared else self.name
        return f"{title}, {self.selection}" if self.selection else title

    def best(self, count: int) -> "ComparisonTable":
        """Return the table with its best rows only, such as those that fit into a figure."""
        if len(self.rows) <= count:
            return self
        selection = f"the best {count} of {len(self.rows)} rows"
        return replace(self, rows=self.rows[:count], selection=selection)

    def summary(self, row: Row, metric: Metric) -> Summary:
        """Return the summary of one metric in one row."""
        return self.summaries[row.label, metric.name]

    def main_summary(self, row: Row) -> Summary:
        """Return the summary of the first primary metric in one row."""
        return self.summary(row, self.primary_metrics[0])

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
    center: Center
    """Location of the values over seeds that is shown and tested."""
    collection: Collection
    """Runs that were found; its ``runs`` are those compared."""
    searched: tuple[Run, ...] = ()
    """Left-out runs of a hyperparameter search, which do not read the test split."""
    looks: Looks = NO_LOOKS
    """Looks at the sweep that the p-values cover."""
    in_python: bool = False
    """Whether advice is to be in Python and not for the command line."""

    @property
    def runs(self) -> tuple[Run, ...]:
        """Runs that are compared."""
        return self.collection.runs

    @property
    def comparisons(self) -> int:
        """Number of tests made, which are corrected together."""
        every = (pair for table in self.tables for pair in table.pairs)
        return next((pair.comparisons for pair in every), 0)


def compare(
    collection: Collection,
    *,
    baseline: str | None = None,
    primary_metrics: Sequence[str] = (),
    columns: Sequence[str] = (),
    split: str | None = None,
    scope: Scope = "samples",
    within: Mapping[str, float] | None = None,
    center: Center = "mean",
    looks: Looks = NO_LOOKS,
    in_python: bool = False,
) -> Comparison:
    """Compare the losses of runs.

    Args:
        collection: the runs, as :func:`losslab.analysis.load.collect` reads them.
        baseline: a loss or a row's label; only comparisons with it are made.
        primary_metrics: metrics whose differences are tested, all corrected together. Default: the
            first metric of the task.
        columns: further metrics to show. Default: all metrics of the task.
        split: ``test`` or ``val``. Default: ``test`` if any run has read it.
        scope: what conclusions hold for: ``samples``, new samples of the same kind, or ``data``,
            these samples.
        within: margins of equivalence by metric. Default: those of the runs' configs.
        center: ``mean``, or a location that single collapsed runs do not move: ``median`` or
            ``iqm``, the interquartile mean.
        looks: looks at these runs so far, which the p-values cover together with this one.
        in_python: whether advice is to be in Python; always, if all runs were made there.

    Raises:
        ValueError: if there are no runs, a metric or the baseline is unknown, it is not known
            whether higher or lower values of a primary metric are better, or a margin is not
            positive.
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
    margins = _margins(collection.runs) if within is None else dict(within)
    for name, margin in margins.items():
        if refusal := margin_refusal(name, margin):
            raise ValueError(refusal)
    _require_known_metrics(collection.runs, [*primary_metrics, *columns, *margins], split)
    options = _Options(baseline, primary_metrics, columns, split, scope, margins, center, looks)
    tables = [_table(part, options) for part in comparison_groups(collection.runs)]
    rows = [row for table in tables for row in table.rows]
    if baseline is not None and not any(_is_baseline(row, baseline) for row in rows):
        labels = [*dict.fromkeys(row.label for row in rows)]
        raise ValueError(f"unknown baseline '{baseline}'. Rows: {in_short(labels)}")
    in_python = in_python or all(map(made_in_python, collection.runs))
    return Comparison(
        _corrected(tables), split, baseline, center, collection, searched, looks, in_python
    )


@dataclass(frozen=True)
class _Options:
    """Options of a comparison, see :func:`compare`."""

    baseline: str | None
    primary_metrics: Sequence[str]
    columns: Sequence[str]
    split: str
    scope: Scope
    within: Mapping[str, float]
    center: Center
    looks: Looks


def _margins(runs: Sequence[Run]) -> dict[str, float]:
    """Return the margins that the runs were made with.

    Raises:
        ValueError: if they differ.
    """
    found: dict[str, float] = {}
    for run in runs:
        for name, margin in (run.config.get("within") or {}).items():
            if found.setdefault(name, margin) != margin:
                raise ValueError(
                    f"the runs have different margins for {name}, {found[name]:g} and {margin:g}: "
                    f"choose one with --within {name}=MARGIN"
                )
    return found


def _corrected(tables: Sequence[ComparisonTable]) -> tuple[ComparisonTable, ...]:
    """Correct the p-values for all comparisons of all tables."""
    every = [pair for table in tables for pair in table.pairs]
    pairs = iter(corrected_over_looks(every, sum(table.untested for table in tables)))
    return tuple(
        replace(table, pairs=tuple(itertools.islice(pairs, len(table.pairs)))) for table in tables
    )


def _require_known_metrics(runs: Sequence[Run], names: Sequence[str], split: str) -> None:
    known = dict.fromkeys(name for run in runs for name in run.metrics(split))
    for name in names:
        if name not in known and known:
            raise ValueError(f"unknown metric '{name}'. Known: {', '.join(known)}")


def _table(part: ComparisonGroup, options: _Options) -> ComparisonTable:
    split, center = options.split, options.center
    primary, shown = _metrics(part, options)
    summaries = {
        (row.label, metric.name): summarize(row, metric, split, center)
        for row in part.rows
        for metric in shown
    }
    rows = sorted(part.rows, key=lambda row: summaries[row.label, primary[0].name].rank)
    couples, reference, untested = _couples(rows, options.baseline)
    pairs = [
        compare_rows_over_looks(
            *(a, b, metric, split, options.scope),
            center=center,
            within=options.within.get(metric.name),
            looks=options.looks,
        )
        for metric in primary
        for a, b in couples
        if not any(row.done and summaries[row.label, metric.name].undefined for row in (a, b))
    ]
    return ComparisonTable(
        *(part, tuple(rows), primary, shown, summaries, tuple(pairs)),
        reference=reference,
        untested=untested * len(primary),
    )


def _metrics(
    part: ComparisonGroup, options: _Options
) -> tuple[tuple[Metric, ...], tuple[Metric, ...]]:
    """Return the primary metrics and the columns; by default those that some run has."""
    runs = [run for row in part.rows for run in row.runs]
    task = runs[0].config["task"]
    own = runs[0].metric_names
    there = {name for run in runs for name in run.metrics(options.split)}
    present = [name for name in own if name in there] or own[:1]
    rarest = [run.record["rarest"] for run in runs]

    def labelled(name: str) -> Metric:
        found = metric_of(name, task)
        return replace(found, label=name_rarest(found.label, rarest))

    primary = tuple(map(labelled, options.primary_metrics or present[:1]))
    for metric in primary:
        if metric.better is None:
            raise ValueError(
                f"{metric.name} cannot be a primary metric: it is not known whether higher or "
                "lower is better"
            )
    names = dict.fromkeys([metric.name for metric in primary] + list(options.columns or present))
    return primary, tuple(map(labelled, names))


def _is_baseline(row: Row, baseline: str) -> bool:
    return baseline in (row.loss, row.label)


def _couples(
    rows: Sequence[Row], baseline: str | None
) -> tuple[list[tuple[Row, Row]], Row | None, int]:
    """Return the pairs of rows to compare, the better one first, or each row with the baseline's.

    Returns:
        The pairs; and if there are too many, the only row that the others are compared with, the
        best one or the best of the baseline's, and the number of pairs that this leaves out.
    """
    if baseline is None:
        count = math.comb(len(rows), 2)
        if count <= MOST_PAIRS:
            return list(itertools.combinations(rows, 2)), None, 0
        best, *others = rows
        return [(best, row) for row in others], best, count - len(others)
    references = [row for row in rows if _is_baseline(row, baseline)]
    others = [row for row in rows if not _is_baseline(row, baseline)]
    count = len(references) * len(others)
    if count <= max(MOST_PAIRS, len(others)):
        return list(itertools.product(others, references)), None, 0
    return [(row, references[0]) for row in others], references[0], count - len(others)
