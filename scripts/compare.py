"""Compare the losses of any runs: python scripts/compare.py FOLDER [FOLDER ...]."""

import argparse
import sys
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from losslab.analysis.comparison import compare
from losslab.analysis.load import Collection, collect
from losslab.analysis.search import PLAN_FILE, read_tuning
from losslab.report.console import show


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Exit with 2."""
        self.exit(2, f"error: {message} (--help lists the options)\n")


def main() -> int:
    """Read the runs below the folders, print the comparison and write its report."""
    parser = Parser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="sweeps or runs, or what holds them")
    parser.add_argument(
        "--baseline", metavar="LOSS", help="compare every loss with this one, and no others"
    )
    parser.add_argument(
        "--metrics",
        type=names,
        default=[],
        metavar="A,B",
        help="what judges; all of its comparisons are tested together (default: the task's first)",
    )
    parser.add_argument(
        "--columns",
        type=names,
        default=[],
        metavar="A,B",
        help="what is shown besides (default: the task's)",
    )
    parser.add_argument("--split", choices=["val", "test"], help="default: test where it was read")
    parser.add_argument("--out", type=Path, help="the report's folder (default: FOLDER/report)")
    arguments = parser.parse_args()
    try:
        comparison = compare(
            found(arguments.folders),
            baseline=arguments.baseline,
            primary_metrics=arguments.metrics,
            columns=arguments.columns,
            split=arguments.split,
        )
        [first, *others] = arguments.folders
        tuning = read_tuning(first) if (first / PLAN_FILE).is_file() and not others else None
        show(Console(), comparison, arguments.out or place(arguments.folders), tuning)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def names(text: str) -> list[str]:
    """The names in ``a,b``."""
    return [name for name in text.split(",") if name]


def found(folders: list[Path]) -> Collection:
    """The runs below the folders.

    Raises:
        ValueError: for a folder that is not there, or if none holds a run.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is no folder")
    collection = collect(folders)
    if not collection.runs:
        reasons = [f": {each.folder}: {each.reason}" for each in collection.unreadable[:1]]
        raise ValueError(f"no run below {', '.join(map(str, folders))}{''.join(reasons)}")
    return collection


def place(folders: list[Path]) -> Path:
    """Where the report goes: into the one folder, or into one of its own beside the first."""
    if len(folders) == 1:
        return folders[0] / "report"
    return Path("logs") / "reports" / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"


if __name__ == "__main__":
    sys.exit(main())
