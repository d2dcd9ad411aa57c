"""Sweeps in this process: each job alone, and all together."""

import copy
import functools
from pathlib import Path

import pytest

from losslab.config.expansion import complete, jobs_of
from losslab.config.jobs import Composed, compose_jobs
from losslab.lockstep.grouping import Job
from losslab.lockstep.sweep import train_jobs
from losslab.training import train


@pytest.fixture
def jobs(tmp_path):
    """Composes the jobs of a sweep, each with a folder below the one named."""

    @functools.cache
    def composed(*overrides: str) -> list[Composed]:
        # a single run logs more of the components' gradients than a job of a sweep
        common = ["trainer=cpu", "callbacks=quiet", "component_gradients=false"]
        return compose_jobs(jobs_of(complete([*common, *overrides])))

    def compose(name: str, *overrides: str) -> list[Job]:
        return [
            Job(copy.deepcopy(job.config), tmp_path / name / job.subdir)
            for job in composed(*overrides)
        ]

    return compose


@pytest.fixture
def both(jobs):
    """Runs a sweep each way: pairs of folders, alone and together, and what was left."""

    def run(*overrides: str, **options) -> tuple[list[tuple[Path, Path]], list]:
        alone, together = jobs("alone", *overrides), jobs("together", *overrides)
        left = train_jobs(together, workers=1, **options)
        for job in alone:
            train(job.config, job.folder)
        return [(a.folder, b.folder) for a, b in zip(alone, together, strict=True)], left

    return run
