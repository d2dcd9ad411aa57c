"""Choices and options in conf/, read from its files without composing or importing torch."""

import difflib
import functools
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from losslab.config import schema
from losslab.config.errors import UserError, shown
from losslab.config.user_code import config_dirs

_PACKAGE = Path(__file__).resolve().parents[1]
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parents[1] / "conf"
"""Folder of the configs: inside an installed package, or next to src/ in a clone."""


def roots() -> list[Path]:
    """Return the folders in which choices are looked up: conf/, then the user's own."""
    return [CONF, *config_dirs()]


def file_of(group: str, name: str) -> Path:
    """Return the file of a choice, from the first folder that has it."""
    files = [root / group / f"{name}.yaml" for root in roots()]
    return next((file for file in files if file.is_file()), files[0])


@functools.cache  # a sweep asks per job
def require_own_names(folders: tuple[Path, ...]) -> None:
    """Raise ``UserError`` if a file in these config folders has the name of a choice of losslab."""
    for folder in folders:
        for group in schema.GROUPS:
            for file in sorted((folder / group).glob("*.yaml")):
                ours = CONF / group / file.name
                if ours.is_file() and not ours.samefile(file):
                    raise UserError(f"{file}: losslab has a {group}={file.stem}: rename the file")


def require_local() -> None:
    """Check the files of this machine, ``local/default.yaml``, whose keys nothing else checks.

    Raises:
        UserError: if one sets an unknown key.
    """
    for file in (root / "local" / "default.yaml" for root in roots()):
        if not file.is_file():
            continue
        options = _read(file)
        if "@package _global_" not in file.read_text(encoding="utf-8"):
            raise UserError(f"{shown(file)} must begin with the line '# @package _global_'")
        for key in options:
            if key not in (*schema.TOP_LEVEL, "defaults"):
                raise UserError(
                    f"{shown(file)}: unknown key {key}{did_you_mean(str(key), schema.TOP_LEVEL)}"
                )


@functools.cache
def _read(file: Path) -> Any:
    """Read a config file, which must hold options by name.

    Raises:
        UserError: if it does not; the message names the file and, if known, the line.
    """
    try:
        text = file.read_text(encoding="utf-8")
        loaded: Any = OmegaConf.load(io.StringIO(text))
        # OmegaConf reads a text as an option without value
        if len(loaded) == 1 and not isinstance(yaml.compose(text), yaml.MappingNode):
            loaded = None
    except yaml.MarkedYAMLError as error:
        last = len(text.splitlines())  # an error at the end is in the line after it
        line = f":{min(error.problem_mark.line + 1, last)}" if error.problem_mark else ""
        reason = ", ".join(filter(None, (error.context, error.problem)))
        raise UserError(f"{shown(file)}{line}: invalid YAML: {reason}") from error
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise UserError(f"{shown(file)}: invalid YAML: {' '.join(str(error).split())}") from error
    except OSError as error:
        if error.errno is not None:  # the file cannot be read
            raise UserError(f"{shown(file)}: {error.strerror}") from error
        loaded = None  # a text or a number
    if not OmegaConf.is_dict(loaded):
        got = next(line for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#")
        raise UserError(
            f"{shown(file)} must hold lines 'option: value', such as "
            f"'_target_: torch.nn.MSELoss', got {got.strip()!r}"
        )
    if not OmegaConf.is_list(loaded.get("defaults", OmegaConf.create([]))):
        raise UserError(f"{shown(file)}: defaults must be a list, such as [override /data: digits]")
    return loaded


def chosen_by(group: str, name: str) -> Path | None:
    """Return the file in the user's config folders whose defaults make a choice, if one does."""
    for root in config_dirs():
        for file in sorted(root.rglob("*.yaml")):
            own = file.relative_to(root).with_suffix("")
            try:
                if default_choice(own.parent.as_posix(), own.name, group) == name:
                    return file
            except UserError:  # another file that is invalid
                continue
    return None


def require_readable() -> None:
    """Check the files in the user's config folders.

    Raises:
        UserError: if one is invalid.
    """
    for folder in config_dirs():
        for file in sorted(folder.rglob("*.yaml")):
            _read(file)


def _load(group: str, name: str) -> Any:
    return _read(file_of(group, name))


def names(group: str) -> list[str]:
    """Return the choices of a group, sorted.

    A file whose name begins with an underscore is not a choice: other files include it.
    """
    folders = [root / group for root in roots()]
    return sorted(
        {
            file.relative_to(folder).with_suffix("").as_posix()
            for folder in folders
            for file in folder.rglob("*.yaml")
            if not file.name.startswith("_")
        }
    )


def summary(group: str, name: str) -> str:
    """Return the description of a choice: the first comment of its file, without the command."""
    first = file_of(group, name).read_text().partition("\n")[0]
    return re.split(": (?:python train.py|losslab) ", first.lstrip("# "))[0].rstrip(".")


def standard(group: str) -> str | None:
    """Return the choice of a group that conf/train.yaml sets, which other choices may override."""
    [choice] = [entry[group] for entry in _read(CONF / "train.yaml").defaults if group in entry]
    return None if choice is None else str(choice)


def default_choice(group: str, name: str, other: str) -> str | None:
    """Return the choice of another group that is the default for this choice, if it sets one."""
    for entry in _load(group, name).get("defaults", []):
        if isinstance(entry, str):
            continue
        for key, value in entry.items():
            if str(key).removeprefix("override ").partition("@")[0] == f"/{other}":
                return str(value)
    return None


def default_data(loss: str) -> str | None:
    """Return the default data of a loss.

    Raises:
        UserError: if its file names data that do not exist.
    """
    data = default_choice("loss", loss, "data") if loss in names("loss") else None
    if data is not None and data not in names("data"):
        raise UserError(f"{shown(file_of('loss', loss))}: {unknown('data', data, names('data'))}")
    return data


def default_task(loss: str) -> str | None:
    """Return the default task of a loss; ``None`` for one that was given by its class."""
    data = default_data(loss)
    task = default_choice("loss", loss, "task") if loss in names("loss") else None
    return task or (data and default_choice("data", data, "task"))


def node(group: str, name: str) -> Any:
    """Return the options of a choice, without its defaults list and ranges for tuning."""
    loaded = _load(group, name)
    own = {key: value for key, value in loaded.items() if key not in ("defaults", "tuning")}
    return OmegaConf.create(own)


def needs_target(group: str, name: str) -> bool:
    """Return whether a choice leaves its ``_target_`` to the command line, as ``dataset`` does."""
    return group == "data" and OmegaConf.is_missing(_load(group, name), "_target_")


def _all_options(group: str, name: str) -> dict[str, Any]:
    """Return the options of a choice, including those of the files that its defaults name."""
    loaded: Any = OmegaConf.to_container(_load(group, name))
    options: dict[str, Any] = {}
    for entry in loaded.pop("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            path = Path("/", group, entry.partition("@")[0])  # "_split" or "/data/_split@data"
            included = path.parent.relative_to("/").as_posix(), path.name
            if file_of(*included).is_file():
                options |= _all_options(*included)
    return {**options, **loaded.get(group, loaded)}


def tunable(group: str, name: str) -> dict[str, Any] | None:
    """Return the ranges for tuning that a choice declares, by option; ``None`` if it has none.

    A range is ``{low: 0, high: 5}``, with ``log: true`` for a logarithmic scale, or a list.
    """
    declared: Any = _load(group, name).get("tuning")
    found: Any = None if declared is None else OmegaConf.to_container(declared)
    return None if found is None else dict(found)


def require_known(group: str, name: str) -> None:
    """Check that a group has a choice of this name.

    Raises:
        UserError: if it does not; the message names the nearest ones.
    """
    known = names(group)
    if group == "loss" and name not in known and ALIASES.get(name) in known:
        raise UserError(f"unknown loss '{name}': did you mean {ALIASES[name]}?")
    if name not in known:
        raise UserError(GONE.get((group, name)) or unknown(group, name, known))
    _load(group, name)


def unknown(group: str, name: str, known: Sequence[str]) -> str:
    """Return the message about a choice that a group does not have."""
    return f"unknown {group} '{name}'{did_you_mean(name, known)} Known: {', '.join(known)}"


GONE = {
    ("logger", "neptune"): (
        "logger=neptune: Lightning has no logger for Neptune any more; yours is "
        "+logger.extra.neptune._target_=MODULE.CLASS"
    )
}
"""Choices of other templates that cannot be offered, with the message."""

ALIASES = {"l1": "mae", "l2": "mse", **dict.fromkeys(("ce", "nll", "xent"), "cross_entropy")}
"""Names of losses in other libraries, with their names here."""

KEY_ALIASES = {
    "data.sep": "data.separator",
    "data.delimiter": "data.separator",
    "data.na_values": "data.missing",
}
"""Options of other libraries, with their names here."""


@functools.cache
def options() -> dict[str, list[str]]:
    """Return all options in conf/, such as ``loss.gamma``, with the choices that have each."""
    found: dict[str, list[str]] = {}
    for group in schema.GROUPS:
        if group in ("experiment", "debug"):  # they set options of other groups
            continue
        for name in names(group):
            try:
                own = _all_options(group, name)
            except UserError:  # another file of the user, which is invalid
                continue
            for key, _ in schema.flat(own):
                if schema.meaning(f"{group}.{key}").saved and "_target_" not in key:
                    found.setdefault(f"{group}.{key}", []).append(f"{group}={name}")
    return found


def takes_list(key: str) -> bool:
    """Return whether any choice in conf/ sets this key to a list."""
    group, _, option = key.partition(".")
    if group not in schema.GROUPS or not option:
        return False
    found = (dict(schema.flat(_all_options(group, name))) for name in names(group))
    return any(isinstance(each.get(option), tuple) for each in found)


def nearest_keys(key: str, known: Iterable[str]) -> list[str]:
    """Return the known dotted keys nearest to a mistyped one, at most three.

    Example:
        >>> nearest_keys("gamma", ["seed", "loss.gamma"]), nearest_keys("los", ["seed", "loss"])
        (['loss.gamma'], ['loss'])
    """
    keys = list(known)
    key = KEY_ALIASES.get(key, key)
    same = [each for each in keys if each.endswith(f".{key}") or each == key]
    if same:
        return same[:3]
    close = difflib.get_close_matches(key, keys, n=3, cutoff=0.75)
    if close or "." in key:
        return close
    last = {each.rpartition(".")[2]: each for each in reversed(keys)}
    return [last[name] for name in difflib.get_close_matches(key, list(last), n=3, cutoff=0.75)]


def task_of_other_kind(loss: str, data: str, task: str) -> str | None:
    """Return the loss's default task if it is not the chosen one, but possible for the data.

    Tables and arrays of the user can have values, classes or labels as targets.
    """
    tasks = ("classification", "regression", "multilabel")
    own = default_task(loss)
    may_have = data in names("data") and "target_kind" in _load("data", data) and own in tasks
    return own if may_have and own != task else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``: did you mean x?`` if a known name is similar, else a full stop.

    Example:
        >>> did_you_mean("focl", ["focal", "info_nce"]), did_you_mean("l", ["l1", "l2"])
        (': did you mean focal?', ': did you mean l2 or l1?')
    """
    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=3, cutoff=0.5)
    likeness = {each: difflib.SequenceMatcher(None, each, name.lower()).ratio() for each in close}
    # what is far less similar than the nearest was not meant
    close = [by_lower[each] for each in close if likeness[each] > likeness[close[0]] - 0.3]
    return f": did you mean {' or '.join(close)}?" if close else "."
