"""Compare the losses of any runs: losslab compare FOLDER [FOLDER ...]."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from losslab.analysis.comparison import Comparison, compare
from losslab.analysis.load import Collection, Unreadable, collect
from losslab.analysis.location import CENTERS
from losslab.analysis.looks import looks_at
from losslab.analysis.search import Tuning, read_tuning
from losslab.commands.parser import Parser
from losslab.report.console import show
from losslab.report.latex import SPREADS, Spread
from losslab.report.paper import write_paper
from losslab.runs.folder import PLAN_FILE, UNSAFE_IN_LIST, file_name

OPTIONS = ("baseline", "metrics", "columns", "split", "scope", "within", "center", "tag")
"""Options that change what a report says."""


def main(given: Sequence[str] | None = None) -> int:
    """Read the runs below the folders, print the comparison and write its report."""
    parser = Parser(prog="losslab compare", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of sweeps or runs")
    parser.add_argument("--baseline", metavar="LOSS", help="compare each loss only with this one")
    parser.add_argument(
        "--metrics",
        type=comma_separated,
        default=[],
        metavar="A,B",
        help="primary metrics, all corrected together (default: the task's first)",
    )
    parser.add_argument(
        "--columns",
        type=comma_separated,
        default=[],
        metavar="A,B",
        help="further metrics to show (default: all of the task's)",
    )
    parser.add_argument("--split", choices=["val", "test"], help="default: test if it was read")
    parser.add_argument(
        "--scope",
        choices=["samples", "data"],
        default="samples",
        help="what conclusions hold for: new samples of the same kind (samples, the default), or "
        "these samples only (data)",
    )
    parser.add_argument(
        "--within",
        type=margins,
        metavar="METRIC=MARGIN,...",
        help="differences that do not matter: pairs are better, equivalent or undecided, such as "
        "accuracy=0.005 for half a point (default: the sweep's within.METRIC)",
    )
    parser.add_argument(
        "--center",
        choices=CENTERS,
        default="mean",
        help="location over seeds that is compared: mean (default), median or interquartile mean, "
        "which single collapsed runs do not move",
    )
    parser.add_argument(
        "--tag",
        type=comma_separated,
        default=[],
        metavar="A,B",
        help="compare only the runs that have these tags (tags=[A,B] when they were trained)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder of the report (default: FOLDER/report, or FOLDER/report-OPTIONS with other "
        "options than the defaults; for several folders, a new one in reports/ beside the first)",
    )
    parser.add_argument(
        "--paper",
        type=Path,
        metavar="DIR",
        help="also write what a paper needs: LaTeX tables, figures as PDF, SVG and PNG, CSV and "
        "Parquet, a paragraph on the methods, and BibTeX",
    )
    parser.add_argument(
        "--spread",
        choices=SPREADS,
        default="sd",
        help="beside the means in the LaTeX tables of --paper: standard deviation over seeds (sd, "
        "the default), 95 %% interval, or none",
    )
    arguments = parser.parse_args(given)
    try:
        collection = collect_runs(arguments.folders, arguments.tag)
        collection, tuning = with_tuning(collection, arguments.folders)
        comparison = compare(
            collection,
            baseline=arguments.baseline,
            primary_metrics=arguments.metrics,
            columns=arguments.columns,
            split=arguments.split,
            scope=arguments.scope,
            within=arguments.within,
            center=arguments.center,
            looks=looks_at(collection),
        )
        given_options = {
            name: getattr(arguments, name)
            for name in OPTIONS
            if getattr(arguments, name) != parser.get_default(name)
        }
        folder = arguments.out or report_folder(arguments.folders, given_options)
        _require_writable(folder, "--out")
        if arguments.paper is not None:
            _require_writable(arguments.paper, "--paper")
        show(Console(), comparison, folder, tuning)
        if arguments.paper is not None:
            _write_paper(comparison, arguments.paper, tuning, arguments.spread)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _write_paper(
    comparison: Comparison, folder: Path, tuning: Tuning | None, spread: Spread
) -> None:
    for line in (*write_paper(comparison, folder, tuning, spread), f"paper: {folder}"):
        print(line)


def _require_writable(folder: Path, option: str) -> None:
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"cannot write a report in {folder}: {error.strerror}; add {option} FOLDER, a folder "
            "in which you may write"
        ) from error


def comma_separated(text: str) -> list[str]:
    """Split ``a,b`` into names."""
    return [name for name in text.split(",") if name]


def margins(text: str) -> dict[str, float]:
    """Convert ``accuracy=0.005,ece=0.01`` to margins by metric."""
    found = {}
    for part in comma_separated(text):
        name, _, margin = part.partition("=")
        try:
            found[name] = float(margin)
        except ValueError:
            raise argparse.ArgumentTypeError(f"METRIC=MARGIN expected, got {part}") from None
    return found


def collect_runs(folders: list[Path], tags: Sequence[str] = ()) -> Collection:
    """Find the runs below the folders that have these tags.

    Raises:
        ValueError: if a folder does not exist, or there are no such runs.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder")
    collection = collect(folders, tags)
    if not collection.runs:
        reasons = [f": {each.folder}: {each.reason}" for each in collection.unreadable[:1]]
        raise ValueError(f"no runs below {', '.join(map(str, folders))}{''.join(reasons)}")
    return collection


def with_tuning(
    collection: Collection, folders: Sequence[Path]
) -> tuple[Collection, Tuning | None]:
    """Read the tuning that is compared, if there is one; if it is damaged, only name it."""
    [first, *others] = folders
    if others or not (first / PLAN_FILE).exists():
        return collection, None
    try:
        return collection, read_tuning(first)
    except ValueError as error:
        reason = f"{str(error).removeprefix(f'{first}/')}; the search is left out"
        unreadable = (*collection.unreadable, Unreadable(first, reason))
        return replace(collection, unreadable=unreadable), None


def report_folder(folders: list[Path], options: Mapping[str, Any] = {}) -> Path:
    """Return the folder of the report: inside a single folder, else a new one beside the first.

    Args:
        folders: the compared folders.
        options: options that are not the defaults. They are part of the name, so that the report
            of the sweep itself is not overwritten.

    Example:
        >>> report_folder([Path("sweep")], {"baseline": "mse", "metrics": ["mae", "r2"]}).name
        'report-baseline=mse-metrics=mae,r2'
    """
    if len(folders) == 1:
        texts = [f"{name}={_short(value)}" for name, value in options.items()]
        return folders[0] / file_name(["report", *texts], "-", UNSAFE_IN_LIST)
    return folders[0].resolve().parent / "reports" / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}={margin:g}" for name, margin in value.items())
    return ",".join(value) if isinstance(value, list) else str(value)
