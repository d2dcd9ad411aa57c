"""What conf/ provides, read off its files: no torch, no composition."""

import difflib
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from losslab.config import schema
from losslab.config.errors import UserError
from losslab.config.user_code import config_dirs

_PACKAGE = Path(__file__).resolve().parents[1]
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parents[1] / "conf"
"""The configs: inside an installed package; beside src/ in a clone, an editable install too."""


def roots() -> list[Path]:
    """Return the folders in which a choice is looked up: conf/, then the user's own."""
    return [CONF, *config_dirs()]


def file_of(group: str, name: str) -> Path:
    """Return the file of a choice, in the first folder that has one."""
    files = [root / group / f"{name}.yaml" for root in roots()]
    return next((file for file in files if file.is_file()), files[0])


@functools.cache
def _read(file: Path) -> Any:
    return OmegaConf.load(file)


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
    """What a choice is for: the first comment line of its file, without the command."""
    first = file_of(group, name).read_text().partition("\n")[0]
    return first.lstrip("# ").split(": python train.py")[0].rstrip(".")


def brings(group: str, name: str, other: str) -> str | None:
    """The choice of another group that this one brings along, if it does."""
    for entry in _load(group, name).get("defaults", []):
        if isinstance(entry, str):
            continue
        for key, value in entry.items():
            if str(key).removeprefix("override ").partition("@")[0] == f"/{other}":
                return str(value)
    return None


def home(loss: str) -> str | None:
    """The data on which a loss lives."""
    return brings("loss", loss, "data") if loss in names("loss") else None


def task_of_loss(loss: str) -> str | None:
    """The task in which a loss is at home."""
    data = home(loss)
    return brings("loss", loss, "task") or (data and brings("data", data, "task"))


def node(group: str, name: str) -> Any:
    """A choice's own options, without what it brings along and without what may be tuned."""
    loaded = _load(group, name)
    own = {key: value for key, value in loaded.items() if key not in ("defaults", "tuning")}
    return OmegaConf.create(own)


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
    """What ``scripts/tune.py`` may vary of a choice, as its file says; ``None``: it says nothing.

    A value is a range ``{low: 0, high: 5}``, with ``log: true`` on a logarithmic scale, or a list.
    """
    declared: Any = _load(group, name).get("tuning")
    found: Any = None if declared is None else OmegaConf.to_container(declared)
    return None if found is None else dict(found)


def require_known(group: str, name: str) -> None:
    """Refuse a name that the group does not have.

    Raises:
        UserError: with the nearest names.
    """
    known = names(group)
    if group == "loss" and name not in known and ALIASES.get(name) in known:
        raise UserError(f"unknown loss '{name}': did you mean {ALIASES[name]}?")
    if name not in known:
        raise UserError(f"unknown {group} '{name}'{nearest(name, known)} Known: {', '.join(known)}")


ALIASES = {"l1": "mae", "l2": "mse", **dict.fromkeys(("ce", "nll", "xent"), "cross_entropy")}
"""Names of losses in other libraries, with the name here."""


@functools.cache
def options() -> dict[str, list[str]]:
    """Every option of every choice in conf/, ``loss.gamma``, with the choices that have it."""
    found: dict[str, list[str]] = {}
    for group in schema.GROUPS:
        if group in ("experiment", "debug"):  # theirs are those of other groups
            continue
        for name in names(group):
            for key, _ in schema.flat(_all_options(group, name)):
                if schema.meaning(f"{group}.{key}").saved and "_target_" not in key:
                    found.setdefault(f"{group}.{key}", []).append(f"{group}={name}")
    return found


def takes_list(key: str) -> bool:
    """Return whether some choice in conf/ gives this key a list."""
    group, _, option = key.partition(".")
    if group not in schema.GROUPS or not option:
        return False
    return any(OmegaConf.is_list(OmegaConf.select(_load(group, n), option)) for n in names(group))


def nearest_keys(key: str, known: Iterable[str]) -> list[str]:
    """Return the known dotted keys nearest to a mistyped one, at most three.

    Example:
        >>> nearest_keys("gamma", ["seed", "loss.gamma"]), nearest_keys("los", ["seed", "loss"])
        (['loss.gamma'], ['loss'])
    """
    keys = list(known)
    same = [each for each in keys if each.endswith(f".{key}") or each == key]
    if same:
        return same[:3]
    close = difflib.get_close_matches(key, keys, n=3, cutoff=0.75)
    if close or "." in key:
        return close
    last = {each.rpartition(".")[2]: each for each in reversed(keys)}
    return [last[name] for name in difflib.get_close_matches(key, list(last), n=3, cutoff=0.75)]


def task_of_other_kind(loss: str, data: str, task: str) -> str | None:
    """Return the loss's task if it is not the chosen one and the data may have it.

    Your own tables and arrays can have values, classes or labels as targets.
    """
    tasks = ("classification", "regression", "multilabel")
    own = task_of_loss(loss)
    may_have = "target_kind" in _load("data", data) and own in tasks
    return own if may_have and own != task else None


def nearest(name: str, known: Iterable[str]) -> str:
    """``: did you mean x?`` where something is near, else a full stop."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f": did you mean {' or '.join(close)}?" if close else "."
