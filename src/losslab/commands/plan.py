"""Check the jobs of a sweep and divide them into units, without training.

usage: losslab plan loss=mse,mae 'seed=range(10)' [KEY=VALUE ...]
       losslab plan loss=mse,mae seeds=auto [looks=[8,12,16,24,32] KEY=VALUE ...]
       losslab plan resume=SWEEP [seed='range(20)' ...]

The arguments are those of losslab -m. The sweep's folder gets its commands (sweep.json) and its
units (units.json): a unit is a stack of up to 100 runs that are trained together, or a single run.
Any number of workers train them, on any machines that see the folder:

  losslab work SWEEP --next       one unit on which no worker works
  losslab report SWEEP            compare the runs that are done, at any time

With seeds=auto, the units are those of the first block of seeds. Once they are trained, losslab
plan resume=SWEEP compares the losses, and plans the next block for those that are undecided.

options:
  hydra.launcher.max_jobs=N       runs per unit
  hydra/launcher=basic            single runs as units
  resume=SWEEP                    add jobs of more seeds or losses to a sweep, or divide one of an
                                  earlier version into units; trust=true runs any code it names
  --config-dir FOLDER             folder with configs of your own
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from losslab.commands.parser import prints_help
from losslab.config.command import Command, parse
from losslab.config.errors import UserError, cli_errors
from losslab.config.user_code import use
from losslab.metrics.labels import some
from losslab.runs.check import has_ended
from losslab.runs.disk import writing_to
from losslab.runs.folder import SWEEP_FILE


def main(given: Sequence[str] | None = None) -> int:
    """Plan the sweep that the arguments describe; return the exit code."""
    arguments = use(list(sys.argv[1:] if given is None else given))
    if prints_help(arguments, __doc__):
        return 0

    from losslab.fitting import with_losses  # noqa: PLC0415 (--help needs none of it)

    with cli_errors():
        resumes = any(each.startswith("resume=") for each in arguments)
        return plan(parse(arguments if resumes else with_losses(["-m", *arguments])))


def plan(command: Command) -> int:
    """Write the folder of a sweep with its units, and print what to do next."""
    from losslab.analysis.looks import keep_looks  # noqa: PLC0415 (scipy)
    from losslab.job_checks import checked_jobs  # noqa: PLC0415
    from losslab.resume import continued  # noqa: PLC0415 (as in main)
    from losslab.sweep import plan as write_plan  # noqa: PLC0415
    from losslab.sweep_output import DONE, print_config  # noqa: PLC0415

    folder: Path | None = command.resume
    earlier: list[Command] = []
    if folder is not None:
        if not (folder / SWEEP_FILE).is_file():
            raise UserError(f"{folder} is not the folder of a sweep: it has no {SWEEP_FILE}")
        command, earlier = continued(command)
    if command.looks:
        return plan_block(command, folder)
    jobs = checked_jobs(command, folder, earlier)
    print_config(jobs)
    folder = folder or jobs[0].sweep_dir
    with writing_to(folder):
        keep_looks(folder)
        units = write_plan(command, jobs, folder, earlier)
    print(f"sweep folder: {folder}")
    print(f"{some(len(jobs), 'jobs')} in {_what_next(folder, len(units))}")
    return DONE


def plan_block(command: Command, folder: Path | None) -> int:
    """Look at the blocks of seeds that were trained, and plan the next one if there is one."""
    from losslab.sequential_sweep import SequentialSweep  # noqa: PLC0415 (as in main)
    from losslab.sweep import plan as write_plan  # noqa: PLC0415
    from losslab.sweep_output import DONE, print_config  # noqa: PLC0415

    sweep = SequentialSweep.begin(command, folder)
    print_config(sweep.jobs)
    with writing_to(sweep.folder):
        for seeds in sweep.blocks():
            if not all(map(has_ended, sweep.run_folders)):
                units = write_plan(sweep.command, sweep.jobs, sweep.folder)
                print(f"sweep folder: {sweep.folder}")
                print(f"{some(len(sweep.jobs), 'jobs')} in {_what_next(sweep.folder, len(units))}")
                print(f"after them, to compare {seeds} seeds: losslab plan resume={sweep.folder}")
                return DONE
    print(f"no further look; to compare the losses: losslab report {sweep.folder}")
    return DONE


def _what_next(folder: Path, units: int) -> str:
    """Return how many units of a sweep are left, and what to type."""
    from losslab.units import unfinished  # noqa: PLC0415 (as in main)

    left = len(unfinished(folder))
    if not left:
        return (
            f"{some(units, 'units')}, none of them left; to compare them: losslab report {folder}"
        )
    todo = some(units, "units") if left == units else f"{left} of {units} units"
    return f"{todo}; to train one: losslab work {folder} --next"
