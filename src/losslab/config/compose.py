"""Composition of overrides to resolved configs of runs. Nothing imports torch."""

import functools
import inspect
import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Glob, IntervalSweep
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from losslab.config import compound, groups, schema, secrets
from losslab.config.errors import UserError, shown
from losslab.config.overrides import is_choice, parsed, replaces
from losslab.config.user_code import SEARCH_PATH, code_dirs, config_dirs, search_path
from losslab.config.validation import (
    is_read,
    require_deletable,
    require_option_of_launcher,
    require_valid,
)
from losslab.config.values import refusal
from losslab.runs.folder import job_name, named


def _register(name: str, resolver: Any) -> None:
    """Register a resolver; OmegaConf 2.3 has another function under the name of 2.4."""
    register: Any = OmegaConf.register_resolver
    if "replace" not in inspect.signature(register).parameters:
        register = OmegaConf.register_new_resolver
    register(name, resolver, replace=True)


_register("oc.env", secrets.environment_variable)
_register("job_folder", lambda given: job_name(secrets.resolved(given)))
_register("name_of", lambda group, chosen, given: named(str(group), str(chosen), list(given)))


_ABSENT = object()
MOST_JOBS = 100_000
VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if hydra.__version__ < "1.4" else {}
"""Argument of Hydra's entry points: 1.3 warns if it is missing, 1.4 if it is given."""


def values_of(override: Any) -> list[str]:
    """Return the value of an override, or the values that it sweeps over, as Hydra writes them.

    Raises:
        UserError: if it sweeps over none, or over numbers that cannot be listed.
    """
    value = override.value()
    if isinstance(value, Glob):
        found = value.filter(groups.names(override.key_or_group))
    elif isinstance(value, IntervalSweep):
        raise UserError(f"{override.input_line}: write choice(A,B) or range(A,B,STEP)")
    elif override.is_sweep_override():
        listed = itertools.islice(override.sweep_string_iterator(), MOST_JOBS + 1)
        found = [str(value) for value in listed]
        _require_few(len(found), override.input_line)
    else:
        found = [str(override.get_value_element_as_str())]
    if not found:
        raise UserError(f"{override.input_line} has no values, so there is nothing to run")
    return found


def complete(overrides: list[str]) -> list[str]:
    """Add the default loss and data of the task if none is given.

    Raises:
        UserError: if a choice or key is unknown.
    """
    given = list(overrides)
    known = parsed(given)
    chosen: dict[str, list[str]] = {}
    for override in known:
        if override.is_delete():
            continue
        if override.key_or_group in (*schema.GROUPS, "hydra"):
            chosen[override.key_or_group] = _choices_of(override)
    if "task" in chosen and "data" not in chosen and "loss" not in chosen:
        [only, *others] = chosen["task"]
        if others:
            raise UserError("a sweep over tasks has no default data and loss: add data= and loss=")
        given.append(f"data={groups.node('task', only).standard_data}")
    if "loss" not in chosen and "experiment" not in {o.key_or_group for o in known}:
        data = chosen.get("data", ["digits"])
        task = (
            chosen["task"][0]
            if "task" in chosen
            else groups.default_choice("data", data[0], "task")
        )
        if task:
            given.append(f"loss={groups.node('task', task).standard_loss}")
    elif "loss" not in chosen:
        given.append(f"loss={_loss_of_experiment(given)}")
    if "loss" in chosen and not {"data", "task", "experiment"} & {o.key_or_group for o in known}:
        common = compound.default_data(chosen["loss"], given)
        given += [f"data={common}"] if common else []
    return [added_if_new(each, given) for each in given]


def added_if_new(override: str, given: Sequence[str] = ()) -> str:
    """Prefix keys that may be new with ``++``, so that they can be typed without.

    These are options of a replaced ``_target_``, margins, and components of a sum of losses.

    Example:
        >>> added_if_new("loss.scale=3", ["loss._target_=my_losses.MyLoss", "loss.scale=3"])
        '++loss.scale=3'
    """
    group, dot, _ = override.partition("=")[0].partition(".")
    if override.startswith((f"{compound.OF}.", f"{compound.OF}=")):
        return f"++{compound.weight_beside_options(override, given)}"
    if group == "within" and dot:
        return f"++{override}"
    own = dot and replaces(group, given) and not replaces(group, [override])
    return f"++{override}" if own and group in schema.REPLACEABLE else override


def _choices_of(override: Any) -> list[str]:
    """Return the names that an override chooses from its group.

    Raises:
        UserError: if the group does not have a name, or the names are a list.
    """
    group, names = override.key_or_group, values_of(override)
    if isinstance(override.value(), list):
        raise UserError(f"{group} takes one choice per run: write -m {group}={names[0][1:-1]}")
    for name in names:
        if name != "null" or group not in ("experiment", "debug"):
            groups.require_known(group, name)
    return names


def _loss_of_experiment(overrides: Sequence[str]) -> str:
    """Return the loss of the chosen experiment, or the default loss of its task."""
    names = set()
    for job in jobs_of(overrides):
        config = compose(job)
        names.add(config.hydra.runtime.choices.get("loss") or config.task.standard_loss)
    if len(names) > 1:
        raise UserError(
            f"the experiments have different losses, {' and '.join(sorted(names))}: add loss="
        )
    return str(names.pop())


def jobs_of_experiment(overrides: Sequence[str]) -> list[list[str]] | None:
    """Return the jobs that the chosen experiment lists under ``sweep``, one product per line.

    Returns:
        The overrides of each job; ``None`` if the experiment lists none, or if the command line
        sweeps over something itself.
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
    """Return the overrides of each job of a sweep, in Hydra's order.

    Losses that are not sums get no components if others are sums.
    """
    columns = []
    for override in parsed(overrides):
        if override.is_sweep_override():
            key = override.get_key_element()
            columns.append([f"{key}={value}" for value in values_of(override)])
        else:
            columns.append([override.input_line])
    _require_few(math.prod(map(len, columns)), " ".join(overrides))
    return compound.without_components([list(job) for job in itertools.product(*columns)])


def _require_few(jobs: int, typed: str) -> None:
    if jobs > MOST_JOBS:
        raise UserError(f"{typed[:200]}: a sweep may have at most {MOST_JOBS} jobs")


def compose(overrides: Sequence[str]) -> DictConfig:
    """Compose the resolved config of a job, including Hydra's node.

    Raises:
        UserError: if a key or a value is invalid.
    """
    defaults = functools.cache(lambda: _defaults_of(overrides))
    with _composition_errors():
        if not GlobalHydra.instance().is_initialized():
            hydra.initialize_config_dir(str(groups.CONF), **VERSION_BASE)
        _require_known(overrides, defaults)
        config = _hydra_compose(overrides)
        compound.expand(config)
        content = _require_complete(config)
    require_valid(config, content, overrides, defaults)
    return config


@contextmanager
def _composition_errors() -> Iterator[None]:
    """Turn errors of Hydra, OmegaConf and the user's files into a line that says what to do."""
    try:
        yield
    except UserError:
        raise
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, OSError) as error:
        unknown = _unknown_choice(error)
        if unknown is None:
            groups.require_readable()
        raise UserError(unknown or _first_line(error)) from error


def _hydra_compose(overrides: Sequence[str]) -> DictConfig:
    """Compose with Hydra, from conf/ and the user's config folders."""
    own = [] if any(given.startswith(SEARCH_PATH) for given in overrides) else search_path()
    return hydra.compose("train", overrides=[*overrides, *own], return_hydra_config=True)


@functools.cache
def _defaults(choices: tuple[str, ...], search: tuple[str, ...]) -> DictConfig:
    """Compose the config of some choices without further options."""
    return _hydra_compose(choices)


def _defaults_of(overrides: Sequence[str]) -> DictConfig:
    choices = tuple(each.input_line for each in parsed(overrides) if is_choice(each))
    return _defaults(choices, tuple(search_path()))


def _refuse_sweeper(override: Any) -> None:
    """Refuse another sweeper, such as optuna's.

    Raises:
        UserError: if an override chooses one.
    """
    key, typed = override.key_or_group, override.input_line
    if key in ("hparams_search", "hydra/sweeper") and "optuna" in typed:
        raise UserError(
            f"{typed}: optuna chooses settings in losslab tune: losslab tune "
            "loss=A,B protocol=tuned sampler=optuna"
        )
    if re.match("hydra[./]sweeper", key):
        raise UserError(f"{typed}: sweeps use losslab's own sweeper: remove it")


def _require_known(overrides: Sequence[str], defaults: Callable[[], DictConfig]) -> None:
    """Check that the keys exist, in the config without these options or by being added.

    Raises:
        UserError: if one does not; the message names the nearest keys.
    """
    groups.require_own_names(tuple(config_dirs()))
    groups.require_local()
    given = parsed(overrides)
    for override in given:  # before defaults are composed with it
        _refuse_sweeper(override)
    for override in given:
        key = override.key_or_group
        top = re.split("[./]", key)[0]
        if top not in schema.TOP_LEVEL:
            raise UserError(f"unknown key {key}{_nearest_keys(key, defaults())}")
        if override.is_delete():
            require_deletable(override)
        if is_choice(override):
            continue
        if key.startswith("hydra.launcher."):
            require_option_of_launcher(override, defaults().hydra)
        adds = override.is_add() or override.is_force_add()
        if is_read(key, overrides, defaults().hydra) if adds else top == "hydra":
            continue
        if not replaces(top, overrides) and not _has(defaults(), key):
            chosen = defaults().hydra.runtime.choices.get(top)
            whose = f" of {top}={chosen}" if chosen and top != "hydra" else ""
            raise UserError(f"unknown key {key}{whose}{_nearest_keys(key, defaults())}")


def _has(config: DictConfig, key: str) -> bool:
    """Return whether a config has a key, even if its value is missing."""
    top, *names = key.split(".")
    node: Any = secrets.plain(config.get(top), resolve=False) if top in config else _ABSENT
    for name in names:
        if isinstance(node, list):
            return True  # Hydra reports wrong indices
        node = node.get(name, _ABSENT) if isinstance(node, dict) else _ABSENT
    return node is not _ABSENT


def _nearest_keys(key: str, defaults: DictConfig) -> str:
    """Return ``: did you mean loss.gamma?``, from the options of these or else of all choices."""
    typed = [key for key in defaults if key in schema.TOP_LEVEL and key != "hydra"]
    own = OmegaConf.to_container(OmegaConf.masked_copy(defaults, typed))
    here = [*schema.TOP_LEVEL, *(name for name, _ in schema.flat(own) if "_target_" not in name)]
    found = groups.nearest_keys(key, here)
    if found:
        return f": did you mean {' or '.join(found)}?"
    there = groups.options()
    found = groups.nearest_keys(key, there)
    if found:
        texts = [f"{name} (of {', '.join(there[name][:3])})" for name in found]
        return f": did you mean {' or '.join(texts)}?"
    return f". Known: {', '.join(schema.TOP_LEVEL)}; their options: --cfg job"


def _require_complete(config: DictConfig) -> Any:
    """Return the options as plain values, if none of them is missing."""
    for group in ("loss", "model", "data", "optimizer"):
        node, chosen = config.get(group), config.hydra.runtime.choices.get(group)
        if chosen is not None and (not OmegaConf.is_dict(node) or "_target_" not in set(node)):
            got = f"only {', '.join(map(str, node))}" if node else "no options"
            raise UserError(
                f"{shown(groups.file_of(group, chosen))}: expected '_target_: MODULE.NAME', such "
                f"as torch.nn.MSELoss, got {got}"
            )
    own = _without_hydra(config)
    missing = sorted(OmegaConf.missing_keys(own))
    if missing:
        raise UserError(f"{missing[0]} is required: add {missing[0]}=...{_task_advice(config)}")
    return OmegaConf.to_container(own, resolve=True)


def _without_hydra(config: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def _task_advice(config: DictConfig) -> str:
    """Return what else to type if the loss is for another task that the data may have."""
    chosen = config.hydra.runtime.choices
    task = groups.task_of_other_kind(chosen.loss, chosen.data, chosen.task)
    return f", and task={task}, since loss={chosen.loss} is for {task}" if task else ""


def _unknown_choice(error: Exception) -> str | None:
    """Say which choice does not exist, and the file whose defaults name it, if one does."""
    if not isinstance(error, MissingConfigException) or not error.missing_cfg_file:
        return None
    group, _, name = error.missing_cfg_file.rpartition("/")
    known = error.options or (groups.names(group) if group in schema.GROUPS else [])
    if not known:
        return None
    parent = re.match(r"In '([^']+)/([^'/]+)'", str(error))
    file = groups.file_of(*parent.groups()) if parent else groups.chosen_by(group, name)
    own = file is not None and file.is_file() and not file.is_relative_to(groups.CONF)
    where = f"{shown(file)}: " if file is not None and own else ""
    return where + groups.unknown(group, name, [each for each in known if each[:1] != "_"])


def _first_line(error: Exception) -> str:
    """Return Hydra's message without its search path and its advice to add the key."""
    lines: list[str] = []
    for line in map(str.strip, str(error).splitlines()):
        if line.startswith(("Config search path", "Set the env", "To append")):
            break
        if line:
            lines.append(line)
    first, *others = lines or [type(error).__name__]
    listed = first.endswith("':") or any(line.endswith("':") for line in others)
    text = " ".join(lines) if listed else " ".join([first, *others[:1]])[:300]
    return text.replace("Available options in ", "Known in ")


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
    """Composed config of a job, which becomes that of other jobs with the same keys.

    Composition takes a tenth of a second, and setting the seed of its result a millisecond.
    """

    def __init__(self, job: Sequence[str]) -> None:
        self.job = list(job)
        self.config = compose(job)
        self.own_seeds = _own_seeds(_without_hydra(self.config))
        self.options = _finished(_without_hydra(self.config), self.config.hydra)
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
        with _composition_errors():
            content = _require_complete(self.config)
        require_valid(self.config, content, job, functools.cache(lambda: _defaults_of(job)))
        self.options = _finished(_without_hydra(self.config), self.config.hydra)
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
    finished: DictConfig = OmegaConf.create(_finished(_without_hydra(config), hydra_node))
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
