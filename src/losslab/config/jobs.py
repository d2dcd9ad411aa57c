"""Composition of the jobs of a sweep, those that differ only in plain values once.

Composing a job takes a tenth of a second, and setting the values of a composed one a millisecond.
"""

import functools
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, read_write

from losslab.config import compound, groups, schema, secrets
from losslab.config.compose import (
    compose,
    composition_errors,
    defaults_of,
    require_complete,
    without_hydra,
)
from losslab.config.errors import UserError
from losslab.config.overrides import parsed, replaces
from losslab.config.user_code import code_dirs, config_dirs
from losslab.config.validation import require_valid
from losslab.config.values import refusal
from losslab.runs.folder import named


@dataclass(frozen=True)
class Composed:
    """Composed job of a sweep.

    Attributes:
        overrides: overrides of the job, as in its record.
        options: resolved config, as the run saves it, as plain values; jobs share parts of it.
        sweep_dir: folder of the sweep.
        subdir: output subdirectory of the job.
    """

    overrides: tuple[str, ...]
    options: Mapping[str, Any]
    sweep_dir: Path
    subdir: str

    @property
    def config(self) -> DictConfig:
        """Return the resolved config, a new one each time: ten thousand of them take gigabytes."""
        config: DictConfig = OmegaConf.create(dict(self.options))
        return config


COMPOSED: dict[tuple[str, ...], Composed] = {}
"""Jobs of the current sweep by their overrides, so that a launcher need not compose them again."""


def compose_jobs(
    jobs: Sequence[Sequence[str]], known: dict[tuple[str, ...], Composed] | None = None
) -> list[Composed]:
    """Compose the jobs of a sweep, those that differ only in plain values once.

    Args:
        jobs: overrides of each job.
        known: jobs that earlier calls composed, by their overrides, to which these are added.

    Raises:
        UserError: if a key or a value of a job is invalid.
    """
    known = {} if known is None else known
    composed = {place: known[tuple(job)] for place, job in enumerate(jobs) if tuple(job) in known}
    # those with the same keys follow each other, and among them those with the same values
    alike: dict[tuple[str, ...], dict[tuple[str, ...], list[int]]] = {}
    for place, job in enumerate(jobs):
        if place not in composed:
            keys = tuple(map(_without_value, job))
            seedless = tuple("seed" if SEED.fullmatch(each) else each for each in job)
            alike.setdefault(keys, {}).setdefault(seedless, []).append(place)
    for points in alike.values():
        shared: SharedConfig | None = None
        for place in itertools.chain(*points.values()):
            if shared is not None and shared.can_become(jobs[place]):
                shared.become(jobs[place])
            else:
                shared = SharedConfig(jobs[place])
            composed[place] = known[tuple(jobs[place])] = shared.composed()
    return [composed[place] for place in range(len(jobs))]


SEED = re.compile(r"seed=(0|[1-9]\d*)")  # as Hydra reads a whole number
PLAIN = re.compile(r"(?!hydra\.)(\w+(?:\.\w+)+)=[\w.+-]+")
"""Override that gives an option one number or word, and so does not change what is composed."""

_FREE_OF_SEED = re.compile(
    r"\$\{(oc\.(env|select):((?!seed|hydra)[^${}])*|((?!seed|hydra)[\w.])+)\}"
)
"""Interpolation that the seed does not change, unless it changes what is named."""


def _without_value(override: str) -> str:
    if SEED.fullmatch(override):
        return "seed"
    plain = PLAIN.fullmatch(override)
    return override if plain is None else plain.group(1)


class SharedConfig:
    """Composed config of a job, which becomes that of other jobs with the same keys."""

    def __init__(self, job: Sequence[str]) -> None:
        self.job = list(job)
        self.config = compose(job)
        self.own_seeds = _own_seeds(without_hydra(self.config))
        self.options = _finished(without_hydra(self.config), self.config.hydra)
        self.sweep_dir = Path(self.config.hydra.sweep.dir)

    def can_become(self, job: Sequence[str]) -> bool:
        """Return whether setting the values that differ gives what composing the job would."""
        differing, typed = self._differing(job), self._typed
        dirname = secrets.plain(self.config.hydra.job, resolve=False)["override_dirname"]
        return (
            all(typed.count(before) == 1 for before in differing)
            and dirname == ",".join(sorted(typed))
            and (all(map(SEED.fullmatch, differing)) or "of" not in self.config.loss)
        )

    def become(self, job: Sequence[str]) -> None:
        """Set the values of another job.

        Raises:
            UserError: if a value is invalid.
        """
        differing = self._differing(job)
        self.job = list(job)
        self._set(differing)
        if all(map(SEED.fullmatch, differing)) and self.own_seeds is not None:
            if reason := refusal("seed", self.config.seed):
                raise UserError(reason)
            self.options = self._reseeded(self.own_seeds)
            return
        with composition_errors():
            content = require_complete(self.config)
        require_valid(self.config, content, job, functools.cache(lambda: defaults_of(job)))
        self.options = _finished(without_hydra(self.config), self.config.hydra)
        self.sweep_dir = Path(self.config.hydra.sweep.dir)

    def composed(self) -> Composed:
        """Return the job that the config is of."""
        overrides = tuple(self.options["overrides"])
        return Composed(overrides, self.options, self.sweep_dir, self.config.hydra.sweep.subdir)

    @property
    def _typed(self) -> list[str]:
        typed: list[str] = secrets.resolved(self.config.hydra.overrides.task)
        return typed

    def _differing(self, job: Sequence[str]) -> dict[str, str]:
        return {old: new for old, new in zip(self.job, job, strict=True) if old != new}

    def _set(self, differing: Mapping[str, str]) -> None:
        for override in parsed(list(differing.values())):
            OmegaConf.update(self.config, override.key_or_group, override.value())
        typed = [differing.get(given, given) for given in self._typed]
        node = self.config.hydra
        with read_write(node):
            node.overrides.task = typed
            node.job.override_dirname = ",".join(sorted(typed))

    def _reseeded(self, own: Sequence[str]) -> dict[str, Any]:
        """Return the options with the seed of the config, of which the others are shared."""
        seed = {"seed": self.config.seed}
        options = self.options | seed
        options |= {key: options[key] | seed for key in own if "seed" in options[key]}
        return options | {"overrides": self._typed}


def _own_seeds(own: DictConfig) -> list[str] | None:
    """Return the groups with a ``seed: ${seed}``; ``None`` if more may depend on the seed."""
    found = []
    for key, value in schema.flat(OmegaConf.to_container(own)):
        for text in value if isinstance(value, tuple) else (value,):
            if text == "${seed}" and re.fullmatch(r"\w+\.seed", key):
                found.append(key.partition(".")[0])
            elif isinstance(text, str) and "${" in _FREE_OF_SEED.sub("", text):
                return None
    return found


def _drop_replaced_options(node: dict[str, Any], group: str, overrides: Sequence[str]) -> None:
    """Remove the options of a choice whose ``_target_`` was replaced, except those typed.

    Some options are read by losslab, whatever the optimizer or the model.
    """
    if not replaces(group, overrides):
        return
    typed = {override.lstrip("+").partition("=")[0] for override in overrides}
    typed.update(schema.OF_EVERY_CHOICE)
    for name in list(node):
        if not any(key == f"{group}.{name}" or key.startswith(f"{group}.{name}.") for key in typed):
            del node[name]


def _saved(node: Any, group: str) -> Any:
    """Return a group's options that runs save, e.g. without the ranges for tuning."""
    if not isinstance(node, dict):
        return node
    return {key: value for key, value in node.items() if schema.meaning(f"{group}.{key}").saved}


def finished_config(config: DictConfig, hydra_node: DictConfig) -> DictConfig:
    """Return the config as a run saves it: resolved, with its choices and reference losses.

    What environment variables determine stays an interpolation, see :mod:`losslab.config.secrets`.
    """
    finished: DictConfig = OmegaConf.create(_finished(without_hydra(config), hydra_node))
    return finished


def _finished(own: DictConfig, hydra_node: DictConfig) -> dict[str, Any]:
    plain: dict[str, Any] = secrets.resolved(own)
    chosen = {
        str(group): str(name)
        for group, name in hydra_node.runtime.choices.items()
        if not str(group).startswith(("hydra", "local")) and name is not None
    }
    plain = {key: _saved(value, key) for key, value in plain.items() if schema.meaning(key).saved}
    for group in schema.REPLACEABLE:
        if chosen.get(group) is not None and group in plain:
            if not groups.needs_target(group, chosen[group]):
                _drop_replaced_options(plain[group], group, hydra_node.overrides.task)
            chosen[group] = named(group, chosen[group], hydra_node.overrides.task)
    if "of" in plain["loss"]:
        plain["loss"]["of"] = compound.expanded(plain["loss"]["of"])
    plain["choices"] = chosen
    if config_dirs():
        plain["config_dirs"] = list(map(str, config_dirs()))  # a run that resumes needs them
    plain["overrides"] = secrets.resolved(hydra_node.overrides.task)
    task = plain["task"]
    task["reference_losses"] = {
        name: OmegaConf.to_container(groups.node("loss", name)) for name in task["reference_losses"]
    }
    if code := code_dirs(schema.targets(plain)):
        plain["code_dirs"] = code
    return plain
