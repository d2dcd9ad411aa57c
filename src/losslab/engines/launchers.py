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


def require_engine(command: Command) -> None:
    """Check that the engine of a command, if it has one, is there and takes its options.

    Raises:
        UserError: if not.
    """
    hydra = compose(all_jobs(command)[0]).hydra
    if require := REQUIRE.get(hydra.runtime.choices["hydra/launcher"]):
        require(OmegaConf.to_object(hydra.launcher))


def launcher_of(command: Command) -> str:
    """Return the name of the launcher of a command."""
    return str(compose(all_jobs(command)[0]).hydra.runtime.choices["hydra/launcher"])


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
