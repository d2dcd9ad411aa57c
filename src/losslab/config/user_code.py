"""Lookup of the user's code and configs outside the clone.

``--config-dir conf`` and ``hydra.searchpath=[file:///...]`` add folders like this project's conf/.
Code can be imported from the parents of such folders and from the current folder. Both are kept in
environment variables for worker processes.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import losslab
from losslab.config.errors import UserError

CONFIG_DIRS = "LOSSLAB_CONFIG_DIRS"
IMPORTS = losslab.IMPORTS
FLAGS = ("--config-dir", "-cd")
SEARCH_PATH = "hydra.searchpath"


def use(arguments: Sequence[str]) -> list[str]:
    """Make the user's code and configs available to this process and its workers.

    Args:
        arguments: arguments of the command line.

    Returns:
        The arguments with all config folders as one ``hydra.searchpath=`` with absolute paths, so
        that it means the same in a saved sweep.

    Raises:
        UserError: if a folder does not exist.

    Example:
        >>> use(["loss=focal", "-m"])
        ['loss=focal', '-m']
    """
    folders, rest = _split_config_dirs(arguments)
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"config folder {folder}: the folder does not exist")
    os.environ.pop(CONFIG_DIRS, None)
    make_importable([Path.cwd()])
    add(folders)
    return [*rest, *search_path()]


def config_dirs() -> list[Path]:
    """Return the config folders given on the command line."""
    return [Path(name) for name in os.environ.get(CONFIG_DIRS, "").split(os.pathsep) if name]


def search_path() -> list[str]:
    """Return the override that adds these folders to Hydra's search path, if there are any."""
    names = [str(folder).replace("'", "\\'") for folder in config_dirs()]
    quoted = ",".join(f"'file://{name}'" for name in names)
    return [f"{SEARCH_PATH}=[{quoted}]"] if names else []


def add(folders: Sequence[Path]) -> None:
    """Add config folders, e.g. those of a saved run."""
    found = [*config_dirs(), *(folder.resolve() for folder in folders if folder.is_dir())]
    if found:
        os.environ[CONFIG_DIRS] = os.pathsep.join(map(str, dict.fromkeys(found)))
    make_importable([folder.resolve().parent for folder in (*found, *folders)])


def make_importable(folders: Sequence[Path]) -> None:
    """Append the folders to the import path of this process and of those that it starts.

    Those add them when they import losslab: PYTHONPATH would precede the standard library, and so
    would the current folder in workers that are started by ``python -m``.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    wanted = [str(folder) for folder in folders if folder.is_dir()]
    sys.path += [name for name in wanted if name not in sys.path]
    known = os.environ.get(IMPORTS, "").split(os.pathsep)
    os.environ[IMPORTS] = os.pathsep.join(dict.fromkeys(filter(None, [*known, *wanted])))


def _split_config_dirs(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    folders: list[Path] = []
    rest: list[str] = []
    iterator = iter(arguments)
    for argument in iterator:
        flag, equals, value = argument.partition("=")
        if flag in FLAGS:
            folder = value if equals else next(iterator, "")
            if not folder:
                raise UserError(f"{flag} needs a folder, such as {flag} conf")
            folders.append(Path(folder))
        elif flag == SEARCH_PATH:
            folders += _folders_of(argument)
        else:
            rest.append(argument)
    return folders, rest


def _folders_of(override: str) -> list[Path]:
    """Return the folders in ``hydra.searchpath=[file://a,file://b]``."""
    from losslab.config.overrides import parsed  # noqa: PLC0415 (Hydra, which compare does not need)

    value: Any = parsed([override])[0].value()
    names = [str(name) for name in (value if isinstance(value, list) else [value])]
    for name in names:
        if name.startswith("pkg://"):
            raise UserError(f"{SEARCH_PATH} must be folders such as [file://conf], got {name}")
    return [Path(name.removeprefix("file://")) for name in names]
