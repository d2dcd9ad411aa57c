"""Compare the runs of a sweep that are done, also while others run."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from losslab.commands.parser import Parser
from losslab.config.errors import cli_errors

if TYPE_CHECKING:
    from losslab.analysis.comparison import Comparison

EPILOG = """\
The exit status is 0 if all runs of the sweep are done, and 1 if some are not: which ones, and where
they run, is printed. Options of the comparison: losslab compare FOLDER.

A sweep with seeds=auto is compared at its planned looks only: seeds beyond the last look whose runs
have all ended are left out. The exit status is 1 until no look is left.
"""


def main(given: Sequence[str] | None = None) -> int:
    """Print the comparison, write the report and say what is not done; return the exit code."""
    parser = Parser(prog="losslab report", description=__doc__, epilog=EPILOG)
    parser.add_argument("sweep", type=Path, help="folder of the sweep")
    folder = parser.parse_args(list(sys.argv[1:] if given is None else given)).sweep

    # --help needs none of it
    from losslab.runs.disk import writing_to  # noqa: PLC0415
    from losslab.sequential_sweep import last_look, planned_looks  # noqa: PLC0415
    from losslab.sweep_output import DONE, FAILED, show_comparison, write_summary  # noqa: PLC0415
    from losslab.work import planned_units, show_outcome  # noqa: PLC0415

    with cli_errors(), writing_to(folder):
        units = planned_units(folder)
        looks = planned_looks(folder)
        seeds = last_look(folder, units, looks) if looks else None
        comparison = None if seeds == 0 else show_comparison(folder, seeds)
        if comparison is not None:
            write_summary(folder, {run.folder: run.config for run in comparison.runs})
        is_over = seeds is None or _show_look(comparison, seeds, looks)
        code = show_outcome(folder, units)
        if is_over or code != DONE:
            return code
        print(f"undecided losses get more seeds: losslab plan resume={folder}", file=sys.stderr)
        return FAILED


def _show_look(comparison: "Comparison | None", seeds: int, looks: Sequence[int]) -> bool:
    """Print what the last look at a sweep decided; return whether no look is left."""
    from losslab.sequential_sweep import goes_on, tell  # noqa: PLC0415 (as in main)

    if comparison is None:
        print(f"no look yet: the first of {len(looks)} compares {looks[0]} seeds")
        return False
    tell(comparison, seeds, looks)
    return not goes_on(comparison, seeds, looks)
