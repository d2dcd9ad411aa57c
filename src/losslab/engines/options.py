"""Options of the launchers of engines; Hydra imports them for every command."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class SlurmOptions:
    """Options of ``hydra/launcher=slurm``; those that are ``null`` are left to Slurm.

    Attributes:
        max_jobs: largest number of runs per task; ``null`` for 100.
        partition: partition.
        account: account.
        qos: quality of service.
        time: time limit of a task, in minutes or as ``HOURS:MINUTES:SECONDS``; a task that needs
            more is queued again and goes on.
        cpus: cores per task.
        gpus: GPUs per task, a number or ``TYPE:NUMBER``.
        mem: memory per task, such as ``8G``.
        array_parallelism: largest number of tasks that run at once.
        max_timeouts: how often a task may reach its time limit and be queued again.
        setup: lines of shell that each task runs first.
        python: interpreter of the tasks.
        sbatch: further options of sbatch, such as ``--exclude=node7``.
        wait: whether the command waits for the tasks, and compares the runs itself.
        report: whether a job writes the report after the tasks, if the command does not wait.
        trust: whether tasks run any code that the sweep names; set for a sweep of your own.
    """

    max_jobs: int | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: Any = 60
    cpus: int = 1
    gpus: Any = None
    mem: Any = None
    array_parallelism: int | None = None
    max_timeouts: int = 20
    setup: list[str] = field(default_factory=list)
    python: str | None = None
    sbatch: list[str] = field(default_factory=list)
    wait: bool = False
    report: bool = True
    trust: bool = False


@dataclass
class RayOptions:
    """Options of ``hydra/launcher=ray``.

    Attributes:
        max_jobs: largest number of runs per task; ``null`` for 100.
        address: address of a cluster, such as ``auto`` or ``head:6379``; ``null`` for the cluster
            of ``RAY_ADDRESS``, or a new one on this machine.
        num_cpus: cores per task.
        num_gpus: GPUs per task, or a part of one.
        max_retries: how often a task starts again whose process or machine died.
        trust: whether tasks run any code that the sweep names; set for a sweep of your own.
    """

    max_jobs: int | None = None
    address: str | None = None
    num_cpus: float = 1
    num_gpus: float = 0
    max_retries: int = 3
    trust: bool = False


def work(sweep: Path, number: int, options: SlurmOptions | RayOptions) -> list[str]:
    """Return the arguments of the command that trains a unit of a sweep."""
    trust = ["--trust"] if options.trust else []
    return ["work", str(sweep), "--unit", str(number), *trust]
