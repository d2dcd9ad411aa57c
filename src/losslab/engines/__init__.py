"""Engines that train the units of a sweep elsewhere, Slurm and Ray, and the jobs that they run.

Nothing here trains: a job of an engine is the command ``losslab work SWEEP --unit K``, and what it
did is in the folders of its runs.
"""

import os
from collections.abc import Mapping

from losslab.config.interruption import end_with_parent
from losslab.engines import slurm_queue
from losslab.runs.claims import use_engine

JOB = "LOSSLAB_JOB"
"""Environment variable with the job that runs this process, if the engine has none of its own."""
PARENT = "LOSSLAB_PARENT"
"""Environment variable with the pid of the process of a job, with which this one ends."""


def own_job(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the job of an engine that runs this process; ``None`` without one.

    A job of Slurm is named with its cluster, and with the number of its restart if it was queued
    again, since it keeps its id.

    Example:
        >>> own_job({"SLURM_JOB_ID": "17", "SLURM_CLUSTER_NAME": "north"})
        'slurm:17@north'
        >>> own_job({"SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "3", "SLURM_JOB_ID": "20",
        ...          "SLURM_CLUSTER_NAME": "north", "SLURM_RESTART_COUNT": "1"})
        'slurm:17_3+1@north'
    """
    if JOB in environment:
        return environment[JOB]
    if "SLURM_JOB_ID" not in environment:
        return None
    job = environment["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in environment:
        job = f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    restarts = environment.get("SLURM_RESTART_COUNT", "0")
    again = "" if restarts == "0" else f"+{restarts}"
    return f"slurm:{job}{again}@{environment.get('SLURM_CLUSTER_NAME', '')}"


def is_gone(job: str) -> bool | None:
    """Return whether a job that :func:`own_job` named has ended; ``None`` if that is unknown."""
    engine, _, name = job.partition(":")
    # Ray can be asked only by its own processes, and these do not train
    return slurm_queue.is_gone(name) if engine == "slurm" else None


use_engine(own_job, is_gone)  # runs/ imports no engines


def is_retry_of(job: str | None) -> bool:
    """Return whether this process and a job are tries of one task, which has one at a time."""
    return job is not None and job == os.environ.get(JOB)


def end_with_job() -> None:
    """End this process once the process of a job that started it is gone."""
    if parent := os.environ.get(PARENT):
        end_with_parent(int(parent))
