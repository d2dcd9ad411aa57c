"""Read the resolved config of a run, ``config.yaml``, without torch and without Hydra."""

import functools
import re
from pathlib import Path
from typing import Any, ClassVar, TypedDict

import yaml

from losslab.config.past import translated
from losslab.runs.files import FileError, read_text, require_types
from losslab.runs.folder import RunFolder


class _Task(TypedDict):
    monitor: str


class _Config(TypedDict):
    """Keys that every saved config has; those of its groups are the components' own."""

    seed: int
    task: dict[str, Any]
    data: dict[str, Any]
    loss: dict[str, Any]
    model: dict[str, Any]
    trainer: dict[str, Any]
    choices: dict[str, Any]
    overrides: list[str]


def read_config(folder: Path) -> dict[str, Any]:
    """Read the resolved config that a run saved.

    Configs that differ only in seed and overrides share their other parts, which are parsed once:
    do not change them.

    Raises:
        FileNotFoundError: if the folder has no config.
        FileError: if the config is damaged.
    """
    path = RunFolder(folder).config
    text = read_text(path)
    content = _shared_content(text)
    if content is None:
        content = _content(text, path)
    require_types(content, _Config, path)
    require_types(content["task"], _Task, path)
    if not text.endswith("\n"):
        raise FileError(path, "is incomplete: its last line has no end")
    return content


def _content(text: str, path: Path) -> dict[str, Any]:
    """Parse the whole text.

    Raises:
        FileError: if it is damaged.
    """
    try:
        content = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FileError(path, f"is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise FileError(path, f"must hold a mapping, got {type(content).__name__}")
    require_types(content, _Config, path)
    try:
        current: dict[str, Any] = translated(content)
    except ValueError as error:
        raise FileError(path, str(error)) from error
    return current


_SEED = re.compile(r"^seed: (0|[1-9]\d{0,17})\n", re.MULTILINE)
_OVERRIDES = re.compile(r"^overrides:\n((?:- [+~]*[a-z][\w./]*=[\w.+-]+\n)+)", re.MULTILINE)
"""Overrides that YAML reads as the text that they are."""


def _shared_content(text: str) -> dict[str, Any] | None:
    """Return the content with parts that other runs share; ``None`` if that is not possible."""
    seeds, given = _SEED.findall(text), _OVERRIDES.search(text)
    if len(seeds) != 1 or given is None:
        return None
    own_seed = f"\n  seed: {seeds[0]}\n"
    rest = text[: given.start()] + "overrides: []\n" + text[given.end() :]
    try:
        shared = _parsed(_SEED.sub("seed: 0\n", rest).replace(own_seed, "\n  seed: 0\n"))
    except FileError:
        return None
    seed = {"seed": int(seeds[0])}
    places = [key for key in shared if isinstance(shared[key], dict) and "seed" in shared[key]]
    if any(shared[key]["seed"] != 0 for key in places) or len(places) != rest.count(own_seed):
        return None
    overrides = [line[2:] for line in given.group(1).splitlines()]
    own = {key: shared[key] | seed for key in places}
    return shared | seed | own | {"overrides": overrides}


@functools.lru_cache(maxsize=2048)
def _parsed(text: str) -> dict[str, Any]:
    return _content(text, Path())


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML loader that agrees with OmegaConf: 1e-05 is a number, and a date is text."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = {
        first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)$"),
    list("-+0123456789."),
)
