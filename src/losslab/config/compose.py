"""Composition of the overrides of a job to its resolved config. Nothing imports torch."""

import copy
import functools
import inspect
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from losslab.config import compound, groups, schema, secrets
from losslab.config.errors import UserError, shown
from losslab.config.overrides import is_choice, parsed, replaces
from losslab.config.user_code import SEARCH_PATH, config_dirs, search_path
from losslab.config.validation import (
    is_read,
    require_deletable,
    require_option_of_launcher,
    require_valid,
)
from losslab.config.values import kind_of
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
VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if hydra.__version__ < "1.4" else {}
"""Argument of Hydra's entry points: 1.3 warns if it is missing, 1.4 if it is given."""


def compose(overrides: Sequence[str]) -> DictConfig:
    """Compose the resolved config of a job, including Hydra's node.

    Raises:
        UserError: if a key or a value is invalid.
    """
    defaults = functools.cache(lambda: defaults_of(overrides))
    with composition_errors():
        if not GlobalHydra.instance().is_initialized():
            hydra.initialize_config_dir(str(groups.CONF), job_name="train", **VERSION_BASE)
        _require_known(overrides, defaults)
        config = _with_values(overrides, defaults)
        if config is None:
            config = _hydra_compose(overrides)
        compound.expand(config)
        content = require_complete(config)
    require_valid(config, content, overrides, defaults)
    return config


def launcher_of(overrides: Sequence[str]) -> tuple[str, DictConfig]:
    """Return the name and the options of the launcher that the overrides of a job choose."""
    hydra_node = compose(overrides).hydra
    return str(hydra_node.runtime.choices["hydra/launcher"]), hydra_node.launcher


@contextmanager
def composition_errors() -> Iterator[None]:
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


@functools.lru_cache(maxsize=256)
def _defaults(
    choices: tuple[str, ...], search: tuple[str, ...], files: tuple[tuple[Path, int], ...]
) -> DictConfig:
    """Compose the config of some choices without further options; files are those of configs."""
    return _hydra_compose(choices)


def defaults_of(overrides: Sequence[str]) -> DictConfig:
    """Compose the config of the choices among some overrides, without further options."""
    choices = tuple(each.input_line for each in parsed(overrides) if is_choice(each))
    return _defaults(choices, tuple(search_path()), tuple(_files()))


def _files() -> Iterator[tuple[Path, int]]:
    """Yield the files of all configs and when each was changed."""
    kinds = [each.name for each in groups.CONF.iterdir() if each.is_dir()]
    for folder in (groups.CONF, *config_dirs()):
        # no other folders: that of a project may hold environments and logs
        of_kinds = (Path(folder, kind).rglob("*.yaml") for kind in kinds)
        for path in itertools.chain(Path(folder).glob("*.yaml"), *of_kinds):
            with suppress(FileNotFoundError):
                yield path, path.stat().st_mtime_ns


USUAL_DIRNAME = {"kv_sep": "=", "item_sep": ",", "exclude_keys": []}
"""Hydra's defaults of how overrides make the name of a folder."""


def _with_values(overrides: Sequence[str], defaults: Callable[[], DictConfig]) -> DictConfig | None:
    """Set the values among some overrides in the config of their choices, as Hydra does last.

    This is what Hydra composes, in a tenth of the time once these choices are known. None if the
    overrides do more than that.
    """
    given, own = parsed(overrides), search_path()
    values = [each for each in given if not is_choice(each) and each.input_line not in own]
    if not all(map(_only_sets, values)) or any(map(_is_dict_of_choice, given)):
        return None
    if defaults().hydra.job.config.override_dirname != USUAL_DIRNAME:
        return None
    config = copy.deepcopy(defaults())
    OmegaConf.clear_cache(config)  # such as the time in the name of a folder
    try:
        for each in values:
            key, adds = each.key_or_group, each.is_force_add()
            OmegaConf.update(config, key, each.value(), merge=True, force_add=adds)
    except OmegaConfBaseException:  # Hydra has the better message
        return None
    _note(config.hydra, given, own)
    return config


def _only_sets(override: Any) -> bool:
    """Return whether an override does no more than give an option its value."""
    key = override.key_or_group
    more = override.is_add() or override.is_delete() or override.is_sweep_override()
    return not (more or "/" in key or key.startswith(("hydra.job", SEARCH_PATH)))


def _is_dict_of_choice(override: Any) -> bool:
    return is_choice(override) and isinstance(override.value(), dict)


def _note(hydra_node: DictConfig, given: Sequence[Any], own: Sequence[str]) -> None:
    """Write in Hydra's node what was typed, and where."""
    typed = [each.input_line for each in given if not each.is_hydra_override()]
    launching = [each.input_line for each in given if each.is_hydra_override()]
    hydra_node.overrides.task = typed
    hydra_node.overrides.hydra = [*launching, *(each for each in own if each not in launching)]
    hydra_node.job.override_dirname = ",".join(sorted(typed))
    hydra_node.runtime.cwd = str(Path.cwd())


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
        if key in schema.TOP_LEVEL and kind_of(key) is not None:
            continue  # such as the seed: every run has it
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


def require_complete(config: DictConfig) -> Any:
    """Return the options as plain values, if none of them is missing."""
    for group in ("loss", "model", "data", "optimizer"):
        node, chosen = config.get(group), config.hydra.runtime.choices.get(group)
        if chosen is not None and (not OmegaConf.is_dict(node) or "_target_" not in set(node)):
            got = f"only {', '.join(map(str, node))}" if node else "no options"
            raise UserError(
                f"{shown(groups.file_of(group, chosen))}: expected '_target_: MODULE.NAME', such "
                f"as torch.nn.MSELoss, got {got}"
            )
    own = without_hydra(config)
    missing = sorted(OmegaConf.missing_keys(own))
    if missing:
        raise UserError(f"{missing[0]} is required: add {missing[0]}=...{_task_advice(config)}")
    return OmegaConf.to_container(own, resolve=True)


def without_hydra(config: DictConfig) -> DictConfig:
    """Return a config without Hydra's node."""
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
