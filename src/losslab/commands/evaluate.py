"""Evaluate a checkpoint of a run: losslab evaluate RUN_DIR --split test."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from losslab.commands.parser import CodeParser
from losslab.config.errors import UserError, cli_errors
from losslab.torch_import import import_torch


def main(given: Sequence[str] | None = None) -> int:
    """Evaluate the checkpoint and print a table of its metrics."""
    parser = CodeParser("the run's config", prog="losslab evaluate", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument(
        "--split", action="append", choices=["train", "val", "test"], help="default: val and test"
    )
    parser.add_argument("--metric", action="append", help="default: all of them")
    parser.add_argument("--checkpoint", choices=["best", "last"], default="best")
    parser.add_argument(
        "--figures", action="store_true", help="draw the last split, into the run's folder"
    )
    arguments = parser.parse_code_args(given)

    # --help needs none of it
    from losslab.report.run_table import metrics_table, title  # noqa: PLC0415
    from losslab.runs.files import advising  # noqa: PLC0415
    from losslab.runs.record import read_record  # noqa: PLC0415
    from losslab.saved_config import saved_config  # noqa: PLC0415

    with cli_errors(), advising("restore the file, or train the run again"):
        saved_config(arguments.run, trust=arguments.trust)  # refuse what is no run before torch
        import_torch()
        from losslab.training import evaluate  # noqa: PLC0415

        metrics = evaluate(
            arguments.run,
            tuple(arguments.split or ("val", "test")),
            arguments.checkpoint,
            figures=arguments.figures,
            trust=arguments.trust,
        )
        names = chosen(metrics, arguments.metric)
    splits = {"validation" if split == "val" else split: own for split, own in metrics.items()}
    record = read_record(arguments.run)
    heading = f"{title(record)} ({arguments.checkpoint} checkpoint)"
    console = Console()
    console.print(metrics_table(record, heading, splits, names))
    console.print(f"run folder  {arguments.run}", soft_wrap=True, markup=False, highlight=False)
    return 0


def chosen(metrics: dict[str, dict[str, float]], asked: list[str] | None) -> list[str]:
    """Return the requested metrics, or all of them.

    Raises:
        UserError: if a requested metric does not exist.
    """
    known = list(dict.fromkeys(name for values in metrics.values() for name in values))
    for name in asked or []:
        if name not in known:
            raise UserError(f"unknown metric '{name}'. Known: {', '.join(known)}")
    return asked or known
