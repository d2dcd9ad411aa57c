"""The command line: parse, dispatch, exit codes.

torch is imported only after a command was parsed.
"""

import atexit
import gc
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig

import losslab
from losslab.commands import is_command, run_command
from losslab.config import user_code
from losslab.config.command import PASS_ON, Command, parse, program, require_flags, split_flags
from losslab.config.compose import compose
from losslab.config.errors import UserError, cli_errors, resumable
from losslab.config.expansion import complete, jobs_of
from losslab.config.help import help_text
from losslab.config.interruption import terminations_interrupt
from losslab.config.jobs import finished_config
from losslab.config.overrides import with_quoted_path
from losslab.config.secrets import plain
from losslab.engines import end_with_job
from losslab.fitting import with_losses
from losslab.job_checks import check_configs, require_log_dir, require_possible
from losslab.ranks.first import ranks_ended
from losslab.ranks.place import Place, enter, place_in
from losslab.resume import resume
from losslab.sequential_sweep import sequential_sweep
from losslab.sweep import hydra_main, run_composed, sweep, train_job
from losslab.sweep_output import DONE, print_tree, show_run
from losslab.torch_import import import_torch


def main() -> None:
    """Run the command line and exit with 0 (all done), 1 (a run failed) or 2 (wrong input)."""
    atexit.register(gc.freeze)  # Python would search all objects for garbage before it ends: 1 s
    logging.raiseExceptions = False  # a traceback for each line of a log on a full disk
    place = None if sys.argv[1:2] == ["work"] else place_in(os.environ)
    if place is not None and place.rank > 0:
        sys.exit(_follow(place))
    if place is not None:
        enter(place)
    with ranks_ended(), cli_errors():
        sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command that the arguments describe; return the exit code."""
    end_with_job()
    arguments = with_quoted_path(user_code.use(arguments))
    if is_command(arguments):
        return run_command(arguments)
    if {"--help", "-h", "--version"} & set(arguments):
        print(f"losslab {losslab.__version__}" if "--version" in arguments else help_text())
        return DONE
    flags, overrides = split_flags(arguments)
    resumes = any(each.startswith("resume=") for each in overrides)
    if not resumes and any(flag.partition("=")[0] in PASS_ON for flag in flags):
        # flags go last: --info would take an override after it as its value
        require_flags(flags)
        completed = complete(overrides)
        if any(flag in ("--cfg", "-c") or flag.startswith("--cfg=") for flag in flags):
            for job in jobs_of(completed):
                compose(job)  # its errors are shorter than Hydra's
        return hydra_main(completed + flags, lambda config: None)
    if {"-m", "--multirun"} & set(arguments):
        arguments = with_losses(arguments)
    return _train(parse(arguments))


def _train(command: Command) -> int:
    """Train one run or a sweep, or resume one; return the exit code."""
    if command.resume is not None:
        return resume(command)
    if command.looks:
        return sequential_sweep(command)
    return sweep(command, folder=None) if command.multirun else single(command)


def single(command: Command) -> int:
    """Check the config, train the run and print its table; return the exit code."""
    config = compose(command.overrides)
    finished = finished_config(config, config.hydra)
    require_log_dir(str(finished.paths.log_dir))
    require_log_dir(str(config.hydra.run.dir), "hydra.run.dir")
    require_possible(plain(finished))
    print(check_configs([finished]), flush=True)
    print_tree(finished, "config")
    run_dir = Path(str(config.hydra.run.dir)).absolute()
    new = [each for each in (run_dir, *run_dir.parents) if not each.exists()]
    refusals: list[UserError] = []

    def job(own: DictConfig) -> None:
        try:
            with resumable(f"{program()} resume={config.hydra.runtime.output_dir}"):
                train_job(own)
        except UserError as error:  # Hydra would print a traceback and exit with 1
            refusals.append(error)

    run_composed(config, job)
    if refusals:
        _remove_empty(new)
        raise refusals[0]
    return show_run(Path(config.hydra.runtime.output_dir), Path(finished.paths.log_dir))


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove the folders that Hydra created for a run that did not start, the inner ones first."""
    for folder in folders:
        if not folder.is_dir() or any(folder.iterdir()):
            return
        folder.rmdir()


def _follow(place: Place) -> int:
    """Train as another rank of the command's runs; return the first rank's exit status."""
    import_torch()
    from losslab.ranks.follower import follow  # noqa: PLC0415 (torch)
    from losslab.training import join  # noqa: PLC0415

    with terminations_interrupt():
        return follow(place, join)
