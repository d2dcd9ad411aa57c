"""Writing a report's folder; every file is made of the comparison alone."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losslab.runs.comparison import Comparison, Table
from losslab.runs.texts import cell, seeds_text
from losslab.runs.tuning import Tuning
from losslab.runs.verdicts import comparison_notes, notes, unreadable_notes, verdicts, wins

if TYPE_CHECKING:
    import pandas


def write_report(comparison: Comparison, folder: Path, tuning: Tuning | None = None) -> Path:
    """Write the report of a comparison; what an earlier one left is written over.

    Args:
        comparison: as :func:`losslab.runs.comparison.compare` gives it.
        folder: made where it is not there.
        tuning: the search that chose what is compared, if there was one.

    Returns:
        The file to open first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs_frame(comparison).to_csv(folder / "runs.csv", index=False)
    table_frame(comparison).to_csv(folder / "table.csv", index=False)
    pairs_frame(comparison).to_csv(folder / "pairs.csv", index=False)
    (folder / "table.tex").write_text(latex(comparison), encoding="utf-8")
    (folder / "report.md").write_text(markdown(comparison, tuning), encoding="utf-8")
    if tuning is not None:
        tuning.frame().to_csv(folder / "tuning.csv", index=False)
    return folder / "report.md"


def runs_frame(comparison: Comparison) -> "pandas.DataFrame":
    """One tidy row a run: where, what, which seed, what became of it, its settings and metrics."""
    import pandas as pd  # noqa: PLC0415 (a third of a second that a single run does not need)

    rows: list[dict[str, Any]] = []
    for table in comparison.tables:
        for row in table.rows:
            for run in row.runs:
                record = run.record
                rows.append(
                    {
                        "conditions": table.name,
                        "data": run.data,
                        "task": record["task"],
                        "loss": run.loss,
                        "row": row.label,
                        "seed": run.seed,
                        "outcome": run.outcome,
                        "problem": run.problem,
                        "epochs": record["epochs"],
                        "steps": record["steps"],
                        "seconds": record["seconds"],
                        "best_epoch": record["best"]["epoch"] if record["best"] else None,
                        "folder": str(run.folder),
                    }
                    | {f"test/{name}": value for name, value in run.metrics("test").items()}
                    | {f"val/{name}": value for name, value in run.metrics("val").items()}
                    | dict(run.settings)
                )
    return pd.DataFrame(rows)


def table_frame(comparison: Comparison) -> "pandas.DataFrame":
    """One tidy row a row of the tables and metric: mean, interval, n, failures."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(
        [
            {
                "conditions": table.name,
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
                "failed": len(row.failed),
                "missing": len(row.absent),
                "runs": len(row.runs),
            }
            for table in comparison.tables
            for row in table.rows
            for metric in table.columns
            for summary in [table.summary(row, metric)]
        ]
    )


def pairs_frame(comparison: Comparison) -> "pandas.DataFrame":
    """One tidy row a pair of rows and judging metric: all that was tested of it."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(
        [
            {
                "conditions": table.name,
                "metric": pair.metric.name,
                "a": pair.a,
                "b": pair.b,
                "n": pair.n,
                "difference": pair.mean,
                "low": pair.interval.low,
                "high": pair.interval.high,
                "interval": pair.interval.method,
                "sd": pair.deviation,
                "test": "signed ranks" if pair.ranked else "sign flips",
                "p": pair.p,
                "holm_p": pair.adjusted_p,
                "comparisons": pair.comparisons,
                "needed_seeds": pair.needed,
                "probability_of_improvement": pair.improvement,
                "detectable": pair.detectable,
                "better": pair.better,
                "paired": pair.paired,
            }
            for table in comparison.tables
            for pair in table.pairs
        ]
    )


def grid(table: Table) -> list[list[str]]:
    """The table as text: a head, then a line a row."""
    head = ["loss", "seeds", *(metric.header for metric in table.columns)]
    lines = [
        [row.label, seeds_text(row), *(cell(table.summary(row, m)) for m in table.columns)]
        for row in table.rows
    ]
    return [head, *lines]


def pairs_grid(table: Table) -> list[list[str]]:
    """The pairs as text: a head, then a line a pair of rows and judging metric."""
    head = [
        *("metric", "a", "b", "n", "a - b [95 %]", "p", "Holm's p", "P(a better)"),
        "detectable",
    ]
    lines = []
    for pair in table.pairs:
        number, (low, high, _) = pair.metric.number, pair.interval
        ends = "" if math.isnan(low) else f" [{number(low, pair.mean)}, {number(high, pair.mean)}]"
        difference = pair.metric.difference_text(pair.mean) + ends if pair.differences else ""
        detectable = pair.metric.difference_text(pair.detectable, sign=False)
        lines.append(
            [
                *(pair.metric.label, pair.a, pair.b, str(pair.n), difference),
                *(f"{pair.p:.2g}", f"{pair.adjusted_p:.2g}"),
                f"{pair.improvement:.2f}" if pair.n else "",
                detectable if math.isfinite(pair.detectable) else "none",
            ]
        )
    return [head, *lines]


def markdown(comparison: Comparison, tuning: Tuning | None = None) -> str:
    """The report as Markdown."""
    return "\n".join(_markdown(comparison, tuning)) + "\n"


def _markdown(comparison: Comparison, tuning: Tuning | None) -> Iterator[str]:
    yield "# Comparison"
    if tuning is not None:
        yield "\n## Tuning\n"
        yield from (f"- {line}" for line in tuning.lines())
    for table in comparison.tables:
        yield f"\n## {table.name}\n"
        yield from _markdown_table(grid(table))
        yield ""
        yield from (f"- {line}" for line in verdicts(table))
        yield from (f"- {line}" for line in notes(table))
        if table.pairs:
            yield ""
            yield from _markdown_table(pairs_grid(table))
    last = [
        *map(str, wins(comparison)),
        *comparison_notes(comparison),
        *unreadable_notes(comparison),
    ]
    if last:
        yield "\n## Over all\n"
        yield from (f"- {line}" for line in last)


def _markdown_table(grid: Sequence[Sequence[str]]) -> Iterator[str]:
    head, *lines = grid
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    yield from (f"| {' | '.join(line)} |" for line in lines)


def latex(comparison: Comparison) -> str:
    """The tables for LaTeX, with booktabs."""
    return "\n\n".join(_latex(table) for table in comparison.tables) + "\n"


def _latex(table: Table) -> str:
    head, *lines = grid(table)
    body = [r" & ".join(map(_escaped, line)) + r" \\" for line in (head, *lines)]
    return "\n".join(
        [
            f"% {table.name}: mean and 95 % interval over seeds",
            rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"\toprule",
            body[0],
            r"\midrule",
            *body[1:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _escaped(text: str) -> str:
    for character in ("&", "%", "_", "#"):
        text = text.replace(character, rf"\{character}")
    return text.replace("↑", r"$\uparrow$").replace("↓", r"$\downarrow$").replace("²", "$^2$")
