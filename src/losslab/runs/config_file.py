"""Read the resolved config of a run, ``config.yaml``, without torch and without Hydra."""

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

    Raises:
        FileNotFoundError: if the folder has no config.
        FileError: if the config is damaged.
    """
    path = RunFolder(folder).config
    text = read_text(path)
    try:
        content = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FileError(path, f"is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise FileError(path, f"must hold a mapping, got {type(content).__name__}")
    require_types(content, _Config, path)
    require_types(content["task"], _Task, path)
    if not text.endswith("\n"):
        raise FileError(path, "is incomplete: its last line has no end")
    try:
        current: dict[str, Any] = translated(content)
    except ValueError as error:
        raise FileError(path, str(error)) from error
    return current


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
