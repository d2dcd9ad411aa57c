"""Compare the runs of a sweep that are done, also while others run."""

import sys
from collections.abc import Sequence
from pathlib import Path

from losslab.commands.parser import Parser
from losslab.config.errors import cli_errors

EPILOG = """\
The exit status is 0 if all runs of the sweep are done, and 1 if some are not: which ones, and where
they run, is printed. Options of the comparison: losslab compare FOLDER.
"""


def main(given: Sequence[str] | None = None) -> int:
    """Print the comparison, write the report and say what is not done; return the exit code."""
    parser = Parser(prog="losslab report", description=__doc__, epilog=EPILOG)
    parser.add_argument("sweep", type=Path, help="folder of the sweep")
    folder = parser.parse_args(list(sys.argv[1:] if given is None else given)).sweep

    # --help needs none of it
    from losslab.runs.disk import writing_to  # noqa: PLC0415
    from losslab.sweep_output import show_comparison, write_summary  # noqa: PLC0415
    from losslab.work import planned_units, show_outcome  # noqa: PLC0415

    with cli_errors(), writing_to(folder):
        units = planned_units(folder)
        if runs := show_comparison(folder):
            write_summary(folder, {run.folder: run.config for run in runs})
        return show_outcome(folder, units)
