"""Sweeps: check their jobs, launch them and compare the runs.

torch is imported only after a command was parsed.
"""

import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.callbacks import Callbacks
from hydra._internal.utils import run_and_report
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log, run_job
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig

from losslab.config import groups
from losslab.config.command import Command, all_jobs, program
from losslab.config.compose import VERSION_BASE, launcher_of
from losslab.config.errors import UserError, resumable
from losslab.config.interruption import INTERRUPTED, end_with_parent, interrupt_once, is_orphan
from losslab.config.jobs import COMPOSED, Composed, finished_config
from losslab.config.overrides import quoted
from losslab.config.typed_jobs import run_overrides
from losslab.engines.launched import ENGINE_FILE, read_launched
from losslab.engines.launchers import REQUIRE, for_launcher
from losslab.job_checks import checked_jobs
from losslab.progress import SweepProgress, show_job
from losslab.runs.check import interrupt_dead, needs_running
from losslab.runs.claims import turn
from losslab.runs.disk import writing_to
from losslab.runs.environment import TYPED
from losslab.runs.folder import SWEEP_FILE, remove
from losslab.runs.packs import UNITS
from losslab.sweep_file import write_commands
from losslab.sweep_output import (
    DONE,
    plain_configs,
    print_config,
    show_comparison,
    show_unfinished,
    write_summary,
)
from losslab.torch_import import import_torch
from losslab.units import Unit, pack_units, plan_units, unpack_units

PLANNING = f"{UNITS}/plan"
"""Folder in that of a sweep which the process that plans its units claims."""


def sweep(command: Command, folder: Path | None, earlier: Sequence[Command] = ()) -> int:
    """Check all jobs, run those that are not done, compare the runs; return the exit code.

    Args:
        command: command of the sweep.
        folder: folder of a sweep to resume; ``None`` for a new sweep.
        earlier: earlier commands of the sweep, whose jobs belong to it too.
    """
    jobs = checked_jobs(command, folder, earlier)
    print_config(jobs)
    folder = folder or jobs[0].sweep_dir
    return train_sweep(command, jobs, folder, earlier, program(), show_comparison)


def train_sweep(
    command: Command,
    jobs: Sequence[Composed],
    folder: Path,
    earlier: Sequence[Command],
    name: str,
    show: Callable[[Path], object],
    *,
    later: Sequence[str] = (),
) -> int:
    """Run the checked jobs that are not done, and show what they found; return the exit code.

    Args:
        command: command of the sweep.
        jobs: its jobs.
        folder: folder of the sweep.
        earlier: see :func:`sweep`.
        name: what to type before ``resume=``.
        show: shows the runs of the sweep.
        later: what to tell if an engine's jobs go on without the command.
    """
    from losslab.analysis.looks import keep_looks  # noqa: PLC0415 (scipy: once they are checked)

    resuming = f"{name} resume={folder}"
    with resumable(resuming), writing_to(folder):
        keep_looks(folder)
        run_folders = launch(command, jobs, folder, earlier, waits=False)
        launched = read_launched(folder)
        if launched is not None and launched.jobs and not launched.waits:
            print("\n".join([*launched.lines(folder), *later]))
            return DONE
        show(folder)
    return show_unfinished(run_folders, resuming)


def launch(
    command: Command,
    jobs: Sequence[Composed],
    folder: Path,
    earlier: Sequence[Command] = (),
    *,
    waits: bool = True,
) -> list[Path]:
    """Run the checked jobs that are not done, each in its subdirectory of the sweep's folder.

    Args:
        command: command of the sweep.
        jobs: all of its jobs.
        folder: its folder.
        earlier: its earlier commands.
        waits: whether to wait for them, even if its launcher would only submit them.

    Returns:
        The folders of all jobs.
    """
    plan(command, jobs, folder, earlier)
    launcher, _ = launcher_of(all_jobs(command)[0])
    if launcher != "slurm":  # only Slurm goes on with what it was given before
        remove([folder / ENGINE_FILE])
    if launcher not in REQUIRE:
        unpack_units(folder)  # in which this command trains them
    of_runs = run_overrides(command.overrides)
    of_hydra = [given for given in command.overrides if given not in of_runs]
    of_hydra += [
        "hydra/sweeper=jobs",
        f"hydra.sweeper.file={quoted(folder / SWEEP_FILE)}",
        f"hydra.sweep.dir={quoted(folder)}",
        *for_launcher(launcher, command, waits=waits),
    ]
    COMPOSED.clear()
    COMPOSED.update({job.overrides: job for job in jobs})
    epochs = {folder / job.subdir: job.options["trainer"]["max_epochs"] for job in jobs}
    try:
        with SweepProgress(epochs):
            hydra_main(["-m", *command.flags, *of_hydra], sweep_job)
    except KeyboardInterrupt:
        for run_folder in epochs:  # launchers may kill their processes
            interrupt_dead(run_folder)
        raise
    write_summary(folder, plain_configs(folder, jobs))
    pack_units(folder)
    return list(epochs)


def plan(
    command: Command, jobs: Sequence[Composed], folder: Path, earlier: Sequence[Command] = ()
) -> list[Unit]:
    """Write the commands of a sweep and its units, which any worker can train; return the units."""
    with turn(folder / PLANNING):  # two that read the units and add theirs would lose some
        keep_commands(folder, [*earlier, command], jobs)
        return plan_units(folder, command, jobs)


def keep_commands(folder: Path, commands: Sequence[Command], jobs: Sequence[Composed]) -> None:
    """Write the commands of a sweep, its jobs and the folders of the user's modules."""
    folder.mkdir(parents=True, exist_ok=True)
    code: dict[str, str] = {}
    for job in jobs:
        code |= job.options.get("code_dirs", {})
    write_commands(folder, commands, [job.overrides for job in jobs], code)


def sweep_job(config: DictConfig) -> None:
    """Train one job of a sweep if it is not done.

    Errors are recorded, but not raised: Hydra would not run the other jobs.
    """
    node: Any = HydraConfig.get()
    folder = Path(node.runtime.output_dir)
    if not needs_running(folder):
        return
    import_torch()  # only once the command is checked
    from losslab.continuing import train_run  # noqa: PLC0415
    from losslab.lockstep.grouping import Job  # noqa: PLC0415

    try:
        train_run(Job(finished_config(config, node), folder))
    except UserError as error:
        if needs_running(folder):  # else another process was faster
            print(f"error: {error}", file=sys.stderr)
    else:
        show_job(folder, config.task.metrics or [], node)


def train_job(config: DictConfig) -> None:
    """Train the run that Hydra is running, in its output folder."""
    from losslab.training import train  # noqa: PLC0415 (torch: only once the command is checked)

    node: Any = HydraConfig.get()
    train(finished_config(config, node), Path(node.runtime.output_dir))


LOGGING: dict[str, Any] = (
    {} if VERSION_BASE else {"execution_whitelist": ["losslab.config.secrets.Formatter"]}
)
"""What Hydra may call to configure logging besides the standard library, from 1.4 on."""


def run_composed(config: DictConfig, job: TaskFunction) -> None:
    """Run a job as Hydra's main does, which would compose its config twice more."""
    config.hydra.mode = RunMode.RUN

    def run() -> None:
        callbacks = Callbacks(config)
        context = HydraContext(GlobalHydra.instance().config_loader(), callbacks, **LOGGING)
        configure_log(config.hydra.hydra_logging, config.hydra.verbose, **LOGGING)
        callbacks.on_run_start(config, config_name="train")
        result = run_job(job, config, "hydra.run.dir", None, context)
        callbacks.on_run_end(config, config_name="train", job_return=result)
        _ = result.return_value  # raises what the job has raised

    run_and_report(run)


def hydra_main(arguments: Sequence[str], job: Any) -> int:
    """Run Hydra's main on these arguments."""
    GlobalHydra.instance().clear()
    typed, main, host = sys.argv, os.getpid(), platform.node()

    def job_as_typed(config: DictConfig) -> None:
        if platform.node() == host and os.getpid() != main:  # in a process of a launcher
            end_with_parent(main)
            interrupt_once()
        sys.argv = typed  # in a process of a launcher too: the record stores it as the command
        try:
            job(config)
        except KeyboardInterrupt:
            if is_orphan():  # it would take the next job
                os._exit(INTERRUPTED)
            raise

    TYPED[:], sys.argv = typed, [typed[0], *arguments]
    options = {**VERSION_BASE, **LOGGING}
    try:
        hydra.main(config_path=str(groups.CONF), config_name="train", **options)(job_as_typed)()
    finally:
        TYPED.clear()
        sys.argv = typed
    return DONE
