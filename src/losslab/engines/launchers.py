"""The engine that a command chooses by ``hydra/launcher``."""

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import OmegaConf

from losslab.config.command import Command, all_jobs
from losslab.config.compose import compose
from losslab.engines.ray import require_ray
from losslab.engines.slurm import require_slurm

REQUIRE: Mapping[str, Callable[[Any], None]] = {"slurm": require_slurm, "ray": require_ray}
"""Function that checks an engine and the options of its launcher, by name."""


def checked_launcher(command: Command, *, waits: bool) -> tuple[str, list[str]]:
    """Check that the engine of a command is there and takes its options, before it has any jobs.

    Args:
        command: command of a sweep.
        waits: whether its caller needs the results.

    Returns:
        The name of the launcher, and further overrides for it.

    Raises:
        UserError: if the engine is missing, or refuses the options.
    """
    hydra = compose(all_jobs(command)[0]).hydra
    name = hydra.runtime.choices["hydra/launcher"]
    overrides: list[str] = []
    if name in REQUIRE:
        REQUIRE[name](OmegaConf.to_object(hydra.launcher))
        overrides += ["hydra.launcher.trust=true"] if command.source is None else []
        overrides += ["hydra.launcher.wait=true"] if waits and name == "slurm" else []
    return name, overrides
