"""Text of table cells, for the terminal and for reports."""

import math

from losslab.analysis.comparison import ComparisonTable
from losslab.analysis.comparison_groups import Row
from losslab.analysis.pairs import Pair
from losslab.analysis.summaries import Summary
from losslab.analysis.words import beside

CENTERS = {"mean": "mean", "median": "median", "iqm": "interquartile mean"}
"""Names of the locations in prose."""

COST = "cost"
"""Header of the column of costs."""

SPLITS = {"test": "test", "val": "validation"}
"""Names of the splits in prose."""


def cell(summary: Summary) -> str:
    """Format mean and interval: ``92.11 [90.30, 93.92]``; empty if nothing was measured."""
    return f"{mean_text(summary)} {interval_text(summary)}".strip()


def mean_text(summary: Summary) -> str:
    """Format the mean: ``92.11``; empty if nothing was measured."""
    return summary.metric.number(summary.mean) if summary.n else ""


def interval_text(summary: Summary) -> str:
    """Format the interval: ``[90.30, 93.92]``; empty for fewer than two seeds."""
    if summary.n < 2:
        return ""
    return _ends(summary)


def difference_cell(pair: Pair) -> str:
    """Format the mean difference and its interval: ``+0.84 points [0.31, 1.37]``.

    Empty if both rows finished at no seed; without the interval if it has no ends.
    """
    if not pair.differences:
        return ""
    size = pair.metric.difference_text(pair.mean)
    return f"{size} {_ends(pair)}" if math.isfinite(pair.interval.low) else size


def beside_reference(table: ComparisonTable, row: Row) -> str:
    """Say how a row stands beside the one with which all others are compared."""
    for pair in table.pairs_of(table.primary_metrics[0]):
        if row.label in (pair.a, pair.b) and table.reference is not row:
            kind, size = beside(pair if pair.a == row.label else pair.swapped)
            return kind + size
    return ""


def _ends(found: Summary | Pair) -> str:
    number, (low, high, _) = found.metric.number, found.interval
    return f"[{number(low, like=found.mean)}, {number(high, like=found.mean)}]"


def seeds_text(row: Row, summary: Summary | None = None) -> str:
    """Format the number of finished runs: ``8``, or ``6, 2 of 8 failed``.

    With the summary of the primary metric, collapsed runs are counted too: ``8, 1 of 8 collapsed``.
    """
    running = sum(run.outcome == "running" for run in row.absent)
    counts = {
        "collapsed": 0 if summary is None else len(summary.collapsed),
        "failed": len(row.failed),
        "running": running,
        "missing": len(row.absent) - running,
    }
    parts = [f"{count} of {len(row.runs)} {word}" for word, count in counts.items() if count]
    return ", ".join([str(len(row.done)), *parts])
