"""The engine that a command chooses by ``hydra/launcher``."""

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import OmegaConf

from losslab.config.command import Command, all_jobs
from losslab.config.compose import launcher_of
from losslab.engines.ray import require_ray
from losslab.engines.slurm import require_slurm

REQUIRE: Mapping[str, Callable[[Any], None]] = {"slurm": require_slurm, "ray": require_ray}
"""Function that checks an engine and the options of its launcher, by name."""


def require_engine(command: Command) -> None:
    """Check that the engine of a command, if it has one, is there and takes its options.

    Raises:
        UserError: if not.
    """
    name, options = launcher_of(all_jobs(command)[0])
    if require := REQUIRE.get(name):
        require(OmegaConf.to_object(options))


def for_launcher(name: str, command: Command, *, waits: bool) -> list[str]:
    """Return further overrides for a launcher.

    Args:
        name: name of the launcher.
        command: command that it launches.
        waits: whether the caller needs the results.
    """
    overrides = []
    if name in REQUIRE and command.source is None:
        overrides.append("hydra.launcher.trust=true")
    if name == "slurm" and waits:
        overrides.append("hydra.launcher.wait=true")
    return overrides
