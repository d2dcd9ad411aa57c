"""Tables of a report, as data frames and as text."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from losslab.analysis.comparison import Comparison, ComparisonTable
from losslab.analysis.cost import NO_COST, cost
from losslab.analysis.overall import overall
from losslab.report.cells import COST, cell, difference_cell, seeds_text

if TYPE_CHECKING:
    import pandas

MOST_LINES = 200
"""Number of rows and of pairs that tables of a text show; the CSV files have all."""


def runs_frame(comparison: Comparison) -> "pandas.DataFrame":
    """Return one row per run: comparison group, outcome, folder, metrics and settings."""
    import pandas as pd  # noqa: PLC0415 (a third of a second that a single run does not need)

    rows: list[dict[str, Any]] = []
    for table in comparison.tables:
        for row in table.rows:
            for run in row.runs:
                record = run.record
                rows.append(
                    {
                        "comparison_group": table.name,
                        "data": run.data,
                        "task": record["task"],
                        "loss": run.loss,
                        "row": row.label,
                        "seed": run.seed,
                        "tags": ", ".join(record["tags"]),
                        "outcome": run.outcome,
                        "problem": run.problem,
                        "epochs": record["epochs"],
                        "steps": record["steps"],
                        "seconds": record["seconds"],
                        "best_epoch": record["best"]["epoch"] + 1 if record["best"] else None,
                        "folder": str(run.folder),
                    }
                    | {f"url/{name}": url for name, url in record["urls"].items()}
                    | {f"test/{name}": value for name, value in run.metrics("test").items()}
                    | {f"val/{name}": value for name, value in run.metrics("val").items()}
                    | dict(run.settings)
                )
    return pd.DataFrame(rows)


def table_frame(comparison: Comparison) -> "pandas.DataFrame":
    """Return one row per table row and metric: mean, interval, n and failures."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(
        [
            {
                "comparison_group": table.name,
                "row": row.label,
                "loss": row.loss,
                "metric": metric.name,
                "better": metric.better,
                "mean": summary.mean,
                "low": summary.interval.low,
                "high": summary.interval.high,
                "interval": summary.interval.method,
                "sd": summary.deviation,
                "n": summary.n,
                "collapsed": len(summary.collapsed),
                "failed": len(row.failed),
                "missing": len(row.absent),
                "runs": len(row.runs),
            }
            | {f"cost_{name}": value for name, value in vars(own or NO_COST).items()}
            for table in comparison.tables
            for row in table.rows
            for own in [cost(row)]
            for metric in table.columns
            for summary in [table.summary(row, metric)]
        ]
    )


def pairs_frame(comparison: Comparison) -> "pandas.DataFrame":
    """Return one row per compared pair and primary metric: difference, test and power."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(
        [
            {
                "comparison_group": table.name,
                "metric": pair.metric.name,
                "a": pair.a,
                "b": pair.b,
                "n": pair.n,
                "difference": pair.mean,
                "low": pair.interval.low,
                "high": pair.interval.high,
                "interval": pair.interval.method,
                "sd": pair.deviation,
                "test": pair.test.method,
                "holds_for": pair.test.holds_for,
                "p": pair.p,
                "adjusted_p": pair.adjusted_p,
                "adjusted_p_these_samples": pair.adjusted_p_of_these_samples,
                "comparisons": pair.comparisons,
                "needed_seeds": pair.needed,
                "probability_of_improvement": pair.improvement,
                "mde": pair.mde,
                "smallest_ever": pair.smallest_ever,
                "better": pair.better,
                "within": pair.within,
                "equivalence_p": pair.test.equivalence_p,
                "adjusted_equivalence_p": pair.adjusted_equivalence_p,
                "verdict": pair.verdict,
                "looks": max(len(pair.looks), 1),
                "decided_after": pair.decided_after,
                "failed_a": len(pair.failures.failed_a),
                "failed_b": len(pair.failures.failed_b),
                "p_failures": pair.failures.p,
                "adjusted_p_failures": pair.failures.adjusted_p,
                "paired": pair.paired,
            }
            for table in comparison.tables
            for pair in table.pairs
        ]
    )


def pooled_frame(comparison: Comparison) -> "pandas.DataFrame":
    """Return one row per pair and primary metric that was pooled over data sets."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(
        [
            {
                "metric": pair.metric.name,
                "a": pair.a,
                "b": pair.b,
                "data_sets": len(pair.data_sets),
                "comparison_groups": pair.groups,
                "n": pair.seeds,
                "difference": pair.mean,
                "unit": pair.unit,
                "low": pair.interval.low,
                "high": pair.interval.high,
                "test": pair.method,
                "holds_for": pair.holds_for,
                "p": pair.p,
                "holm_p": pair.adjusted_p,
                "comparisons": pair.comparisons,
                "better": pair.better,
                "a_ahead": pair.ahead[0],
                "b_ahead": pair.ahead[1],
                "left_out": ", ".join(pair.left_out),
            }
            for pair in overall(comparison).pooled
        ]
    )


def grid(table: ComparisonTable, *, costs: bool = False) -> list[list[str]]:
    """Return the table as text: a header, then one line per row; with costs if any are known.

    Of many rows, the best ones are shown.
    """
    rows = table.rows[:MOST_LINES]
    head = ["loss", "seeds", *(metric.header for metric in table.columns)]
    lines = [
        [
            row.label,
            seeds_text(row, table.main_summary(row)),
            *(cell(table.summary(row, m)) for m in table.columns),
        ]
        for row in rows
    ]
    if costs and any(map(cost, rows)):
        head.append(COST)
        for line, row in zip(lines, rows, strict=True):
            line.append(str(cost(row) or ""))
    return [head, *lines]


def pairs_grid(table: ComparisonTable) -> list[list[str]]:
    """Return the pairs as text: a header, then one line per compared pair and primary metric.

    Of many pairs, those of the best rows are shown.
    """
    head = [
        *("metric", "a", "b", "n", "a - b [95 %]", "p", "corrected p", "P(a better)"),
        "MDE",
    ]
    lines = []
    for pair in table.pairs[:MOST_LINES]:
        mde = pair.metric.difference_text(pair.mde, sign=False)
        lines.append(
            [
                *(pair.metric.label, pair.a, pair.b, str(pair.n), difference_cell(pair)),
                *(f"{pair.p:.2g}", f"{pair.adjusted_p:.2g}"),
                f"{pair.improvement:.2f}" if pair.n else "",
                mde if math.isfinite(pair.mde) and pair.deviation else "",
            ]
        )
    return [head, *lines]


def markdown_table(grid: Sequence[Sequence[str]]) -> list[str]:
    """Format a header and lines of cells as a Markdown table, one string per line."""
    head, *lines = grid
    table = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return table + [f"| {' | '.join(line)} |" for line in lines]
