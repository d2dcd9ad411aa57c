"""What commands show of a sweep: its config, comparison, and what is not done."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from rich.console import Console

from losslab.config import schema
from losslab.config.jobs import Composed
from losslab.metrics.labels import first_few, primary_metric
from losslab.report.run_table import run_table
from losslab.runs.check import damage, is_finished, worker_of
from losslab.runs.files import FileError
from losslab.runs.folder import is_run
from losslab.runs.packs import packed_runs
from losslab.runs.record import Record, read_record

if TYPE_CHECKING:
    from losslab.analysis.comparison import Comparison

DONE, FAILED = 0, 1
RUNNING = "running: "
"""Begin of the line about a job on which another process works."""


def print_config(jobs: Sequence[Composed]) -> None:
    """Print the config of the first job, if it asks for that."""
    [first, *others] = jobs
    title = f"config of {first.subdir}, the first of {len(jobs)} jobs" if others else "config"
    print_tree(first.config, title)


def print_tree(config: DictConfig, title: str) -> None:
    """Print a config as a tree, if it asks for that."""
    if config.extras.print_config:
        from losslab.report.config_tree import config_tree  # noqa: PLC0415 (rich.syntax)

        Console().print(config_tree(config, title))


def write_summary(folder: Path, configs: Mapping[Path, Mapping[str, Any]]) -> None:
    """Write the means over seeds of a sweep for TensorBoard.

    Args:
        folder: folder of the sweep.
        configs: resolved config of each run, as plain values, by its folder.
    """
    from losslab.report.sweep_summary import (  # noqa: PLC0415 (TensorBoard: after training)
        write_sweep_summary,
    )

    columns = {run: schema.hparams(config) for run, config in configs.items()}
    [first, *_] = configs.values()
    write_sweep_summary(folder, columns, primary_metric(first["task"]))


def plain_configs(folder: Path, jobs: Sequence[Composed]) -> dict[Path, Any]:
    """Return the configs of the jobs of a sweep by the folders of their runs."""
    return {folder / job.subdir: job.options for job in jobs}


def compared(folder: Path, below: int | None = None) -> "Comparison | None":
    """Compare the runs of a sweep, with p-values that hold over all looks at it; this is one.

    Args:
        folder: folder of the sweep.
        below: seed from which on runs are left out.

    Returns:
        The comparison; ``None`` if there are no runs.
    """
    # a third of a second of scipy and yaml that --help does not need
    from losslab.analysis.comparison import compare  # noqa: PLC0415
    from losslab.analysis.load import collect  # noqa: PLC0415
    from losslab.analysis.looks import looks_at  # noqa: PLC0415

    collection = collect([folder])
    if below is not None:
        runs = tuple(run for run in collection.runs if run.seed < below)
        collection = replace(collection, runs=runs)
    return compare(collection, looks=looks_at(collection)) if collection.runs else None


def show_comparison(folder: Path, below: int | None = None) -> "Comparison | None":
    """Print the comparison of a sweep's runs, and write the report; see :func:`compared`."""
    from losslab.report.console import show  # noqa: PLC0415 (as above)

    console = Console()
    comparison = compared(folder, below)
    if comparison is not None:
        show(console, comparison, folder / "report")
    curves = f"curves: tensorboard --logdir {folder}"
    if any(packed_runs(folder)):
        curves += " shows means; of a run, after losslab export SWEEP/LOSS/SEED"
    for line in (f"sweep folder: {folder}", curves):
        console.print(line, soft_wrap=True, markup=False)
    return comparison


def show_unfinished(folders: Sequence[Path], command: str) -> int:
    """Print the jobs that are not done and the command to run them; return the exit code."""
    unfinished = [folder for folder in folders if not is_finished(folder)]
    absent = [folder for folder in unfinished if not is_run(folder)]
    told = [_why_unfinished(folder) for folder in unfinished if is_run(folder)]
    for line in told:
        print(line, file=sys.stderr)
    if absent:
        print(f"not trained: {first_few([*map(_name, absent)])}", file=sys.stderr)
    if absent or not all(line.startswith(RUNNING) for line in told):
        print(f"to run them again: {command}", file=sys.stderr)
    return FAILED if unfinished else DONE


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _why_unfinished(folder: Path) -> str:
    try:
        record = read_record(folder)
    except FileError as error:
        return f"failed: {_name(folder)}: {error}"
    if worker := worker_of(folder, record):
        return f"{RUNNING}{_name(folder)}: {worker}"
    done = record["status"] == "done"
    reason = damage(folder, record) if done else error_line(record, folder)
    return f"failed: {_name(folder)}: {reason}"


def error_line(record: Record, folder: Path) -> str:
    """Return why a run is not done, in one line, and where its traceback is if it has one."""
    error = record.get("error")
    if not error:
        return "its process is gone" if record["status"] == "running" else record["status"]
    logged = error["kind"] == "exception" and (folder / "run.log").is_file()
    return f"{error['kind']}: {error['message']}{'; see run.log' if logged else ''}"


def show_run(folder: Path, log_dir: Path) -> int:
    """Print the table of a run; return the exit code."""
    record = read_record(folder)
    if record["status"] != "done":
        print(f"failed: {error_line(record, folder)}\nrun folder: {folder}", file=sys.stderr)
        return FAILED
    Console().print(run_table(record, folder, log_dir), soft_wrap=True)
    return DONE
