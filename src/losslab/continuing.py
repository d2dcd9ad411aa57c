"""Train runs of a sweep, each from where it is: a run goes on in the way in which it began.

A run in a stack and the same run alone differ by rounding. So a run that a stack has saved goes on
in a stack, if need be of one run, and a run that was alone goes on alone, whatever launches it.
Runs of reinforcement learning always go on alone.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

from losslab.config.errors import UserError
from losslab.lockstep.grouping import Job
from losslab.lockstep.resuming import begun, gives_same_results
from losslab.lockstep.sweep import run_logs, train_jobs
from losslab.progress import show
from losslab.runs.files import FileError
from losslab.training import train


def train_stacks(jobs: Sequence[Job], publish: Callable[[], None] | None = None) -> list[Job]:
    """Train the runs together, in this process, that can be; return the others.

    Args:
        jobs: the runs, none of them done.
        publish: function that is called whenever the runs of a stack have begun or been saved.
    """
    return [job for job, _ in train_jobs(jobs, workers=1, publish=publish)]


def train_alone(jobs: Sequence[Job]) -> None:
    """Train runs one by one in this process; the outcome of each is in its record."""
    for job in jobs:
        try:
            with run_logs([job.folder]):
                train_run(job)
        except UserError as error:  # the others go on
            show(f"error: {error}")


def train_run(job: Job) -> None:
    """Train one run, from its last checkpoint if it has one that fits.

    Raises:
        UserError: if the run cannot be set up.
    """
    how = begun(job.folder)
    if how == "stacked" and not train_jobs([job], workers=1):
        return
    if how is not None:
        with suppress(FileError):  # a damaged run is made again
            if gives_same_results(job.config, job.folder):
                train(job.config, job.folder, resume=True)
                return
    train(job.config, job.folder)
