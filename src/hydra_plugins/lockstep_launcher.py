"""Hydra launcher that trains the jobs of a sweep together: ``hydra/launcher=lockstep``.

Hydra imports this file for every command, so torch is imported only when jobs are launched.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from losslab.lockstep.grouping import Job
    from losslab.lockstep.workers import Left

log = logging.getLogger(__name__)


@dataclass
class LockstepConf:
    """Options of ``hydra/launcher=lockstep``.

    Attributes:
        max_jobs: maximum number of jobs per stack; ``null`` for as many as fit into memory.
        workers: number of processes that train stacks in parallel; ``null`` for one per core.
        capture: whether training steps on a GPU are captured as CUDA graphs and replayed.
    """

    _target_: str = "hydra_plugins.lockstep_launcher.LockstepLauncher"
    max_jobs: int | None = None
    workers: int | None = None
    capture: bool = True


ConfigStore.instance().store(
    group="hydra/launcher", name="lockstep", node=LockstepConf, provider="losslab"
)


class LockstepLauncher(Launcher):
    """Launcher that trains stackable jobs together and passes the rest to Hydra's basic launcher.

    Args:
        max_jobs: maximum number of jobs per stack.
        workers: number of processes.
        capture: whether training steps on a GPU are captured and replayed.
    """

    def __init__(
        self, max_jobs: int | None = None, workers: int | None = None, capture: bool = True
    ) -> None:
        self.max_jobs = max_jobs
        self.workers = workers
        self.capture = capture

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Store Hydra's context, task function and config."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run all jobs; the outcome of each is in its record."""
        from losslab.lockstep.sweep import train_jobs  # noqa: PLC0415 (torch)

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        jobs = [self._job(own) for own in job_overrides]
        left = train_jobs(jobs, max_jobs=self.max_jobs, workers=self.workers, capture=self.capture)
        overrides = {job.folder: own for job, own in zip(jobs, job_overrides, strict=True)}
        self._launch_one_by_one([overrides[job.folder] for job, _ in left], left)
        return [JobReturn(overrides=own, status=JobStatus.COMPLETED) for own in job_overrides]

    def _job(self, overrides: Sequence[str]) -> "Job":
        """Return the job with its folder and its config, composed unless it already was."""
        # neither imports torch before jobs are launched
        from losslab.config.jobs import COMPOSED, compose_jobs  # noqa: PLC0415
        from losslab.lockstep.grouping import Job  # noqa: PLC0415

        own = tuple(each for each in overrides if not each.startswith("hydra."))
        composed = COMPOSED.get(own) or compose_jobs([overrides])[0]
        return Job(composed.config, Path(self.config.hydra.sweep.dir) / composed.subdir)

    def _launch_one_by_one(self, jobs: Sequence[Sequence[str]], left: "Left") -> None:
        """Run the remaining jobs one by one and log the reasons."""
        if not jobs:
            return
        reasons: dict[str, list[str]] = {}
        for job, reason in left:
            reasons.setdefault(reason, []).append(f"{job.folder.parent.name}/{job.folder.name}")
        for reason, names in reasons.items():
            log.info(f"Not trained in lockstep because {reason}: {', '.join(names)}")
        basic = BasicLauncher()  # not by its config: Hydra 1.4 refuses jobs of another launcher
        basic.setup(
            hydra_context=self.hydra_context, task_function=self.task_function, config=self.config
        )
        basic.launch(jobs, initial_job_idx=0)
