"""Training of the jobs of a comparison in this process, which is left as it was."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from hydra.core.global_hydra import GlobalHydra

from losslab.analysis.looks import keep_looks
from losslab.api.wording import in_python
from losslab.config.command import Command
from losslab.config.errors import UserError
from losslab.config.jobs import Composed
from losslab.continuing import train_run
from losslab.job_checks import checked_jobs
from losslab.lockstep.grouping import Job
from losslab.lockstep.sweep import run_logs, train_jobs
from losslab.metrics.labels import some
from losslab.progress import SweepProgress, show
from losslab.rng import restored_state
from losslab.runs.check import needs_running
from losslab.sweep import keep_commands
from losslab.sweep_output import plain_configs, show_unfinished, write_summary

Engine = Literal["lockstep", "one by one"]


def run_sweep(
    command: Command,
    folder: Path,
    engine: Engine,
    earlier: Sequence[Command] = (),
    *,
    whole: Path | None = None,
    once_checked: Callable[[Sequence[Path]], None] | None = None,
    known: dict[tuple[str, ...], Composed] | None = None,
) -> None:
    """Check all jobs of a sweep, then train those that are not done.

    Args:
        command: command of the sweep.
        folder: folder of the sweep, new or not.
        engine: whether runs that can be are trained together.
        earlier: earlier commands of the sweep.
        whole: folder of the tuning that the sweep is a stage of.
        once_checked: what to do between the checks and the first run, with the runs' folders.
        known: see :func:`~losslab.config.jobs.compose_jobs`.

    Raises:
        UserError: if a job cannot run.
    """
    jobs = checked_jobs(command, folder, earlier, known)
    if once_checked is not None:
        once_checked([folder / job.subdir for job in jobs])
    keep_looks(folder)
    keep_commands(folder, [*earlier, command], jobs)
    waiting = [
        Job(job.config, folder / job.subdir) for job in jobs if needs_running(folder / job.subdir)
    ]
    resume = f'losslab.load("{whole or folder}").extend(seeds=0)'
    with (
        _resumable(resume),
        SweepProgress({job.folder: job.config.trainer.max_epochs for job in waiting}),
    ):
        together = engine == "lockstep" and len(waiting) > 1
        alone = _train_together(waiting) if together else waiting
        for single in alone:
            with run_logs([single.folder]):
                _train_alone(single)
    write_summary(folder, plain_configs(folder, jobs))
    show_unfinished([job.folder for job in waiting], resume)


@contextmanager
def _resumable(call: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        show(f"interrupted; to go on: {call}")
        raise


def _train_together(jobs: Sequence[Job]) -> list[Job]:
    """Train the jobs that can be stacked; return the others, and say why they cannot."""
    # one process: those that are forked from one that used its threads may hang
    left = train_jobs(jobs, workers=1)
    for reason in dict.fromkeys(reason for _, reason in left):
        number = sum(reason == each for _, each in left)
        show(f"{some(number, 'jobs')} one by one, because {reason}")
    return [job for job, _ in left]


def _train_alone(job: Job) -> None:
    try:
        train_run(job)
    except UserError as error:  # the others go on
        show(f"error: {in_python(error)}")


@contextmanager
def unchanged_process() -> Iterator[None]:
    """Restore threads, dtype, random state, logging, warnings, Hydra and environment at the end.

    Raises:
        UserError: as the block does, in the words of Python.
    """
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    environment, hydra = dict(os.environ), GlobalHydra.instance().hydra
    names = (None, "pytorch_lightning", "lightning.pytorch", "lightning_fabric")
    loggers = {name: logging.getLogger(name) for name in names}
    logged = {name: (own.level, own.propagate, list(own.handlers)) for name, own in loggers.items()}
    GlobalHydra.instance().clear()  # Hydra of a program around it has other configs
    try:
        with warnings.catch_warnings(), restored_state():
            yield
    except UserError as error:
        error.args = (in_python(error),)
        raise
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        GlobalHydra.instance().hydra = hydra
        os.environ.clear()
        os.environ.update(environment)
        for name, (level, propagate, handlers) in logged.items():
            loggers[name].setLevel(level)
            loggers[name].propagate = propagate
            loggers[name].handlers[:] = handlers
