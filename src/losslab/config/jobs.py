"""Composition of the jobs of a sweep, those that differ only in plain values once.

Composing a job takes a tenth of a second, and setting values in the options of a composed one a
tenth of a millisecond.
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
from losslab.config.interpolations import Interpolations
from losslab.config.overrides import parsed, replaces
from losslab.config.user_code import code_dirs, config_dirs
from losslab.config.validation import require_valid
from losslab.config.values import refusal
from losslab.runs.folder import job_name, named


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


def _without_value(override: str) -> str:
    if SEED.fullmatch(override):
        return "seed"
    plain = PLAIN.fullmatch(override)
    return override if plain is None else plain.group(1)


class SharedConfig:
    """Composed config of a job, which becomes that of other jobs with the same keys.

    A value that determines no more than the options that repeat it is set in plain options, a
    hundred times faster than in the config, which follows when it is needed.
    """

    def __init__(self, job: Sequence[str]) -> None:
        self.job = self._job_of_config = list(job)
        self._config = compose(job)
        self._interpolations = Interpolations(self._config)
        self._typed: list[str] = secrets.resolved(self._config.hydra.overrides.task)
        written: Any = OmegaConf.to_container(self._config.hydra)
        self._subdir: str = written["sweep"]["subdir"]
        self._usual_dirname = written["job"]["override_dirname"] == self._dirname
        self._content: Any = OmegaConf.to_container(without_hydra(self._config), resolve=True)
        self.options: dict[str, Any]
        self._read()

    @property
    def config(self) -> DictConfig:
        """Return the config of the job, including Hydra's node."""
        differing = _differing(self._job_of_config, self.job)
        for key, value in _values(differing).items():
            OmegaConf.update(self._config, key, value)
        if differing:
            node = self._config.hydra
            with read_write(node):
                node.overrides.task = self._typed
                node.job.override_dirname = self._dirname
        self._job_of_config = self.job
        return self._config

    def can_become(self, job: Sequence[str]) -> bool:
        """Return whether setting the values that differ gives what composing the job would."""
        differing = _differing(self.job, job)
        return (
            self._usual_dirname
            and all(self._typed.count(before) == 1 for before in differing)
            and (all(map(SEED.fullmatch, differing)) or "of" not in self.options["loss"])
        )

    def become(self, job: Sequence[str]) -> None:
        """Set the values of another job.

        Raises:
            UserError: if a value is invalid.
        """
        differing = _differing(self.job, job)
        self.job, self._typed = list(job), [differing.get(each, each) for each in self._typed]
        values = self._with_followers(_values(differing))
        if values is None:
            with composition_errors():
                self._content = require_complete(self.config)
        else:
            self._content = _with_values(self._content, values)
        self._require_valid(only_seed=values is not None and all(map(SEED.fullmatch, differing)))
        if values is None:
            self._read()
        else:
            self.options = _with_values(self.options, values) | {"overrides": self._typed}

    def composed(self) -> Composed:
        """Return the job that the config is of."""
        return Composed(tuple(self._typed), self.options, self._sweep_dir, self.subdir)

    @property
    def subdir(self) -> str:
        """Return the output subdirectory of the job."""
        text = self._subdir.replace("${seed}", str(self.options["seed"]))
        if JOB_FOLDER in text:
            seedless = tuple(each for each in self._typed if not SEED.fullmatch(each))
            text = text.replace(JOB_FOLDER, _job_folder(seedless))
        return str(self.config.hydra.sweep.subdir) if "${" in text else text

    @property
    def _dirname(self) -> str:
        return ",".join(sorted(self._typed))

    def _read(self) -> None:
        """Read the options from the config."""
        self.options = _finished(without_hydra(self._config), self._config.hydra)
        self._sweep_dir = Path(self._config.hydra.sweep.dir)

    def _require_valid(self, *, only_seed: bool) -> None:
        if not only_seed:
            defaults = functools.cache(lambda: defaults_of(self.job))
            require_valid(self._config, self._content, self.job, defaults)
        elif reason := refusal("seed", self._content["seed"]):
            raise UserError(reason)

    def _with_followers(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return all that changes with some options; ``None`` if the config has to tell."""
        found: dict[str, Any] = {}
        for key, value in values.items():
            followers = self._interpolations.followers(key)
            if followers is None or key.endswith("._target_"):
                return None
            found |= dict.fromkeys(followers, value)
        return found if all(_has(self._content, key) for key in found) else None


JOB_FOLDER = "${job_folder:${hydra.overrides.task}}"
"""Part of the output subdirectory as conf/hydra writes it."""

_job_folder = functools.lru_cache(maxsize=1)(job_name)  # that of all seeds


def _differing(before: Sequence[str], after: Sequence[str]) -> dict[str, str]:
    return {old: new for old, new in zip(before, after, strict=True) if old != new}


def _values(differing: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of overrides by key; a seed is not worth a parser."""
    values = {}
    for given in differing.values():
        if SEED.fullmatch(given):
            values["seed"] = int(given[5:])
        else:
            [override] = parsed([given])
            values[override.key_or_group] = override.value()
    return values


def _has(options: Any, key: str) -> bool:
    """Return whether nested options have a key; it does not lead into lists."""
    top, _, rest = key.partition(".")
    present = isinstance(options, Mapping) and top in options
    return _has(options[top], rest) if present and rest else present


def _with_values(options: Any, values: Mapping[str, Any]) -> Any:
    """Return options with other values, those of options that they have; the rest is shared."""
    for key, value in values.items():
        if _has(options, key):
            options = _with_value(options, key.split("."), value)
    return options


def _with_value(options: Any, names: Sequence[str], value: Any) -> Any:
    if not names:
        return value
    return options | {names[0]: _with_value(options[names[0]], names[1:], value)}


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


def _reference(name: str) -> Any:
    """Return the options of a reference loss, as those of the loss itself are saved."""
    options: Any = OmegaConf.to_container(groups.node("loss", name))
    return {**options, "of": compound.expanded(options["of"])} if "of" in options else options


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
    task["reference_losses"] = {name: _reference(name) for name in task["reference_losses"]}
    if code := code_dirs(schema.targets(plain)):
        plain["code_dirs"] = code
    return plain
