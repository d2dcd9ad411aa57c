"""Evaluate a checkpoint of a run: losslab evaluate RUN_DIR --split test."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table


def main(given: Sequence[str] | None = None) -> int:
    """Evaluate the checkpoint and print a table of its metrics."""
    parser = argparse.ArgumentParser(prog="losslab evaluate", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument(
        "--split", action="append", choices=["train", "val", "test"], help="default: val and test"
    )
    parser.add_argument("--metric", action="append", help="default: all of them")
    parser.add_argument("--checkpoint", choices=["best", "last"], default="best")
    arguments = parser.parse_args(given)

    from losslab.config.errors import cli_errors  # noqa: PLC0415 (--help needs none of it)
    from losslab.training import evaluate  # noqa: PLC0415

    with cli_errors():
        metrics = evaluate(
            arguments.run, tuple(arguments.split or ("val", "test")), arguments.checkpoint
        )
        names = chosen(metrics, arguments.metric)
    table = Table("metric", *metrics, title=f"{arguments.run} ({arguments.checkpoint} checkpoint)")
    for name in names:
        row = [values.get(name) for values in metrics.values()]
        table.add_row(name, *("" if value is None else f"{value:.6g}" for value in row))
    Console().print(table)
    return 0


def chosen(metrics: dict[str, dict[str, float]], asked: list[str] | None) -> list[str]:
    """Return the requested metrics, or all of them.

    Raises:
        UserError: if a requested metric does not exist.
    """
    from losslab.config.errors import UserError  # noqa: PLC0415

    known = list(dict.fromkeys(name for values in metrics.values() for name in values))
    for name in asked or []:
        if name not in known:
            raise UserError(f"unknown metric '{name}'. Known: {', '.join(known)}")
    return asked or known
