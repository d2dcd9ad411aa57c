"""Write packed runs of a sweep back to their folders, as for TensorBoard or to look at a figure."""

import sys
from collections.abc import Sequence
from pathlib import Path

from losslab.commands.parser import Parser
from losslab.config.errors import UserError, cli_errors

EPILOG = """\
A sweep of more than 1,000 runs, or one with pack=true, keeps the runs of a unit in one file,
units/<number>.sqlar. Commands read them there: export is for other programs. Runs on which a
process works are left out.
"""


def main(given: Sequence[str] | None = None) -> int:
    """Write the runs to disk and print where; return the exit code."""
    parser = Parser(prog="losslab export", description=__doc__, epilog=EPILOG)
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="folder that a run has or would have, or one with several, such as SWEEP/mse",
    )
    arguments = parser.parse_args(list(sys.argv[1:] if given is None else given))

    # --help needs none of it
    from losslab.metrics.labels import some  # noqa: PLC0415
    from losslab.runs.disk import writing_to  # noqa: PLC0415

    with cli_errors():
        for folder in arguments.folders:
            with writing_to(folder):
                written, left = exported(folder)
            done = f"{some(len(written), 'runs')} written" if written else "all runs are on disk"
            working = f", {some(len(left), 'runs')} in training left out" if left else ""
            print(f"{folder}: {done}{working}")
    return 0


def exported(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write the packed runs in and below a folder to disk.

    Returns:
        Their folders, and those of packed runs that are left out, since a process works on them.

    Raises:
        UserError: if it has no runs at all.
    """
    from losslab.runs.check import unit_worker  # noqa: PLC0415 (as in main)
    from losslab.runs.folder import find_runs  # noqa: PLC0415
    from losslab.runs.packing import unpack  # noqa: PLC0415
    from losslab.runs.packs import is_packed  # noqa: PLC0415

    runs = find_runs(folder)
    if not runs:
        raise UserError(f"there are no runs in {folder}")
    packed = [run for run in runs if is_packed(run)]
    left = [run for run in packed if unit_worker(run) is not None]
    written = [run for run in packed if run not in left]
    for run in written:
        unpack(run)
    return written, left
