"""Hydra launchers that give the units of a sweep to an engine: ``hydra/launcher=slurm``, ``ray``.

Hydra imports this file for every command, so the engines are imported when jobs are launched.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from losslab.config.errors import UserError
from losslab.engines.options import RayOptions, SlurmOptions


@dataclass
class SlurmConf(SlurmOptions):
    """Options of ``hydra/launcher=slurm``."""

    _target_: str = "hydra_plugins.engine_launchers.SlurmLauncher"


@dataclass
class RayConf(RayOptions):
    """Options of ``hydra/launcher=ray``."""

    _target_: str = "hydra_plugins.engine_launchers.RayLauncher"


for name, node in (("slurm", SlurmConf), ("ray", RayConf)):
    ConfigStore.instance().store(group="hydra/launcher", name=name, node=node, provider="losslab")


class EngineLauncher(Launcher):
    """Launcher whose jobs are trained in the units of the sweep, by other processes."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Store Hydra's config."""
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Launch the units that are not finished; the outcome of each run is in its record."""
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        try:
            self.launch_units(Path(self.config.hydra.sweep.dir))
        except UserError as error:  # Hydra would print a traceback and exit with 1
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        return [JobReturn(overrides=own, status=JobStatus.COMPLETED) for own in job_overrides]

    def launch_units(self, folder: Path) -> None:
        """Launch the units of the sweep in this folder."""
        raise NotImplementedError


class SlurmLauncher(EngineLauncher):
    """Launcher that submits the units to Slurm."""

    def __init__(self, **options: Any) -> None:
        self.options = SlurmOptions(**options)

    def launch_units(self, folder: Path) -> None:
        """Submit the units, and wait for them if the options say so."""
        from losslab.engines.slurm import launch  # noqa: PLC0415 (as the engine is imported late)

        launch(folder, self.options)


class RayLauncher(EngineLauncher):
    """Launcher that gives the units to Ray, and waits for them."""

    def __init__(self, **options: Any) -> None:
        self.options = RayOptions(**options)

    def launch_units(self, folder: Path) -> None:
        """Train the units."""
        from losslab.engines.ray import launch  # noqa: PLC0415 (as above)

        launch(folder, self.options)
