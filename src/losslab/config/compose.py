"""From overrides to the finished configs of runs: completed, composed by Hydra, resolved.

Nothing here imports torch.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from losslab.config import groups
from losslab.config.errors import UserError
from losslab.runs.folder import job_name

# named register_resolver from omegaconf 2.4 on
_register = getattr(OmegaConf, "register_resolver", None) or OmegaConf.register_new_resolver
_register("job_folder", lambda given: job_name(list(given)), replace=True)

VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if hydra.__version__ < "1.4" else {}
"""What Hydra's entry points are told: 1.3 warns if it is missing, 1.4 if it is given."""


def parsed(overrides: Sequence[str]) -> list[Any]:
    """Hydra's reading of the overrides.

    Raises:
        UserError: for one that its grammar does not know.
    """
    try:
        return list(OverridesParser.create().parse_overrides(list(overrides)))
    except HydraException as error:
        lines = str(error).splitlines()
        raise UserError(f"malformed override: {lines[0]}") from error


def values_of(override: Any) -> list[str]:
    """The value of an override, or the values that it sweeps over, as Hydra writes them."""
    if override.is_sweep_override():
        return [str(value) for value in override.sweep_string_iterator()]
    return [str(override.get_value_element_as_str())]


def complete(overrides: list[str]) -> list[str]:
    """Add the standard loss and data of the task where none is given.

    Raises:
        UserError: for an unknown choice or key.
    """
    given = list(overrides)
    known = parsed(given)
    chosen: dict[str, list[str]] = {}
    for override in known:
        if override.key_or_group in groups.GROUPS and not override.is_delete():
            chosen[override.key_or_group] = values_of(override)
            for name in chosen[override.key_or_group]:
                groups.require_known(override.key_or_group, name)
    if "task" in chosen and "data" not in chosen and "loss" not in chosen:
        [only, *others] = chosen["task"]
        if others:
            raise UserError("a sweep over tasks needs data= and loss= beside it")
        given.append(f"data={groups.node('task', only).standard_data}")
    if "loss" not in chosen and "experiment" not in {o.key_or_group for o in known}:
        data = chosen.get("data", ["digits"])
        task = chosen["task"][0] if "task" in chosen else groups.brings("data", data[0], "task")
        if task:
            given.append(f"loss={groups.node('task', task).standard_loss}")
    elif "loss" not in chosen:
        given.append(f"loss={_loss_of_experiment(given)}")
    return given


def _loss_of_experiment(overrides: Sequence[str]) -> str:
    """The loss that the experiment brings along, or else its task's standard loss."""
    names = set()
    for job in jobs_of(overrides):
        config = compose(job)
        names.add(config.hydra.runtime.choices.get("loss") or config.task.standard_loss)
    if len(names) > 1:
        raise UserError(f"the experiments bring {' and '.join(sorted(names))}: add loss=")
    return str(names.pop())


def jobs_of_experiment(overrides: Sequence[str]) -> list[list[str]] | None:
    """The jobs that the chosen experiment lists under ``sweep``, a product each line.

    Returns:
        ``None`` where it lists none, or where the command line names what is swept.
    """
    known = parsed(overrides)
    chosen = [values_of(each) for each in known if each.key_or_group == "experiment"]
    if len(chosen) != 1 or any(each.is_sweep_override() for each in known):
        return None
    [name] = chosen[0]
    groups.require_known("experiment", name)
    lines = groups.node("experiment", name).get("sweep")
    return [job for line in lines for job in jobs_of(line.split())] if lines else None


def jobs_of(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each job of a sweep, in Hydra's own order."""
    columns = []
    for override in parsed(overrides):
        if override.is_sweep_override():
            key = override.get_key_element()
            columns.append([f"{key}={value}" for value in values_of(override)])
        else:
            columns.append([override.input_line])
    return [list(job) for job in itertools.product(*columns)]


def compose(overrides: Sequence[str]) -> DictConfig:
    """One job's resolved config, with Hydra's own node.

    Raises:
        UserError: if Hydra refuses it.
    """
    try:
        if not GlobalHydra.instance().is_initialized():
            hydra.initialize_config_dir(str(groups.CONF), **VERSION_BASE)
        config = hydra.compose("train", overrides=list(overrides), return_hydra_config=True)
        _require_complete(config)
        _require_counts(config)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_first_line(error)) from error
    return config


def _require_complete(config: DictConfig) -> None:
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    missing = sorted(OmegaConf.missing_keys(own))
    if missing:
        raise UserError(f"{missing[0]} is not given: add {missing[0]}=...")
    OmegaConf.to_container(own, resolve=True)


COUNTS = (
    "threads",
    "trainer.max_epochs",
    "trainer.log_every_n_steps",
    "callbacks.run_writer.patience",
    "hydra.launcher.max_jobs",
    "hydra.launcher.workers",
)


def _require_counts(config: DictConfig) -> None:
    """Refuse numbers that nothing can be counted with, which nobody else would before a run."""
    for name in COUNTS:
        value = OmegaConf.select(config, name)
        without_end = name == "trainer.max_epochs" and value == -1
        if value is None or without_end:
            continue
        if not isinstance(value, int | float) or value < 1:
            raise UserError(f"{name} must be >= 1, got {value}")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300]


@dataclass(frozen=True)
class Composed:
    """One job of a sweep.

    Attributes:
        overrides: its own, as its record keeps them.
        config: finished.
        sweep_dir: the folder of the sweep.
        place: the job's folder below it.
    """

    overrides: tuple[str, ...]
    config: DictConfig
    sweep_dir: Path
    place: str


def compose_jobs(jobs: Sequence[Sequence[str]]) -> list[Composed]:
    """The jobs of a sweep; those that differ in their seed alone are composed once.

    Raises:
        UserError: if Hydra refuses one.
    """
    bases: dict[tuple[str, ...], DictConfig] = {}
    composed = []
    for job in jobs:
        seeds = [given for given in job if SEED.fullmatch(given)]
        # the seed's place counts, since a record keeps the overrides in their order
        alike = tuple("seed" if given in seeds else given for given in job)
        if len(seeds) == 1 and alike in bases:
            _reseed(bases[alike], seeds[0])
        else:
            bases[alike] = compose(job)
        composed.append(_composed(bases[alike]))
    return composed


SEED = re.compile(r"seed=(0|[1-9]\d*)")  # as Hydra reads a whole number


def _reseed(config: DictConfig, seed: str) -> None:
    """Make a composed config that of another seed, as if its overrides had named that one."""
    config.seed = int(seed.removeprefix("seed="))
    overrides = config.hydra.overrides
    with read_write(config.hydra):
        before = next(given for given in overrides.task if SEED.fullmatch(given))
        overrides.task = [seed if given == before else given for given in overrides.task]
        names = config.hydra.job.override_dirname.split(",")
        config.hydra.job.override_dirname = ",".join(seed if n == before else n for n in names)


def _composed(config: DictConfig) -> Composed:
    return Composed(
        overrides=tuple(config.hydra.overrides.task),
        config=finished_config(config, config.hydra),
        sweep_dir=Path(config.hydra.sweep.dir),
        place=config.hydra.sweep.subdir,
    )


def finished_config(config: DictConfig, hydra_node: DictConfig) -> DictConfig:
    """The config as the run keeps it: resolved, with its choices and reference losses in it."""
    plain: dict[str, Any] = {
        str(key): OmegaConf.to_container(value, resolve=True)
        if OmegaConf.is_config(value)
        else value
        for key, value in config.items()
        if key != "hydra"
    }
    chosen = {
        str(group): str(name)
        for group, name in hydra_node.runtime.choices.items()
        if not str(group).startswith("hydra") and name is not None
    }
    for group in ("loss", "optimizer"):
        plain[group].pop("tuning", None)  # what may be tuned is no option of the class
    plain["choices"] = chosen
    plain["overrides"] = list(hydra_node.overrides.task)
    for key in ("sweep", "claim"):
        plain.pop(key, None)  # what an experiment says of itself as a whole
    task = plain["task"]
    task["reference_losses"] = {
        name: OmegaConf.to_container(groups.node("loss", name)) for name in task["reference_losses"]
    }
    finished: DictConfig = OmegaConf.create(plain)
    return finished
