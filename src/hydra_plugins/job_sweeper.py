"""Hydra sweeper over listed jobs, since Hydra's own sweeper only supports products."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class JobSweeper(Sweeper):
    """Sweeper that launches the jobs listed in a JSON file with the chosen launcher.

    Args:
        file: path of ``{"jobs": [["loss=mse", "seed=0"], ...]}``, the overrides of each job.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Create the launcher."""
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs; the arguments are prepended to each job's overrides."""
        from losslab.config.jobs import COMPOSED  # noqa: PLC0415 (as in _is_finished)

        assert self.launcher is not None
        assert self.config is not None
        # the file lacks secrets, which the jobs composed in this process have
        jobs: Sequence[Sequence[str]] = list(COMPOSED) or json.loads(self.file.read_text())["jobs"]
        folder = Path(self.config.hydra.sweep.dir)
        batch = [[*arguments, *job, *_place(job)] for job in jobs if not _is_finished(folder, job)]
        if len(batch) < len(jobs):
            print(f"{len(jobs) - len(batch)} of {len(jobs)} jobs are finished or running")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(self.config, folder / "multirun.yaml")
            self._limit_processes(len(batch))
            results = self.launcher.launch(batch, initial_job_idx=0)
        except OSError as error:  # of a folder or a file of Hydra, which would print a traceback
            from losslab.runs.disk import disk_error, unwritable  # noqa: PLC0415

            if disk_error(error) is None:
                raise
            print(f"error: {unwritable(folder, error)}", file=sys.stderr)
            return []
        for result in results:
            _ = result.return_value  # raises the job's exception
        return [results]

    def _limit_processes(self, jobs: int) -> None:
        """Let joblib start no process that gets no job: it would live on if this one is killed."""
        options = getattr(self.launcher, "joblib", None)
        if options is not None:
            from joblib import effective_n_jobs  # noqa: PLC0415 (an extra)

            options["n_jobs"] = max(1, min(effective_n_jobs(options["n_jobs"]), jobs))


def _place(job: Sequence[str]) -> list[str]:
    """Return the override of the subdirectory of a job that was composed in this process."""
    from losslab.config.jobs import COMPOSED  # noqa: PLC0415 (Hydra imports this file for --help)
    from losslab.config.overrides import quoted  # noqa: PLC0415

    composed = COMPOSED.get(tuple(job))
    return [] if composed is None else [f"hydra.sweep.subdir={quoted(composed.subdir)}"]


def _is_finished(folder: Path, job: Sequence[str]) -> bool:
    """Return whether a job, composed in this process, needs no run."""
    from losslab.config.jobs import COMPOSED  # noqa: PLC0415 (Hydra imports this file for --help)
    from losslab.runs.check import needs_running  # noqa: PLC0415

    composed = COMPOSED.get(tuple(job))
    return composed is not None and not needs_running(folder / composed.subdir)
