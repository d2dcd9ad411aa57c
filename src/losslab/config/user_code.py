"""The user's own code and configs, outside the clone: where they are looked up.

``--config-dir conf`` and ``hydra.searchpath=[file:///...]`` name folders like this project's conf/.
The folder that such a conf/ lies in and the current folder can be imported from. Both facts are
kept in the environment, so that worker processes know them too.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from losslab.config.errors import UserError

CONFIG_DIRS = "LOSSLAB_CONFIG_DIRS"
FLAGS = ("--config-dir", "-cd")
SEARCH_PATH = "hydra.searchpath"


def use(arguments: Sequence[str]) -> list[str]:
    """Make the user's own code and configs known to this process and to its workers.

    Args:
        arguments: a command line.

    Returns:
        The command line with all of its config folders as one ``hydra.searchpath=``, absolute, so
        that it means the same in a saved sweep.

    Raises:
        UserError: if a folder is not there.

    Example:
        >>> use(["loss=focal", "-m"])
        ['loss=focal', '-m']
    """
    folders, rest = _divided(arguments)
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--config-dir {folder}: there is no such folder")
    found = list(dict.fromkeys(folder.resolve() for folder in folders))
    if found:
        os.environ[CONFIG_DIRS] = os.pathsep.join(map(str, found))
    else:
        os.environ.pop(CONFIG_DIRS, None)
    make_importable([Path.cwd(), *(folder.parent for folder in found)])
    return [*rest, _search_path(found)] if found else rest


def config_dirs() -> list[Path]:
    """Return the config folders that the command line named."""
    return [Path(name) for name in os.environ.get(CONFIG_DIRS, "").split(os.pathsep) if name]


def import_paths() -> list[str]:
    """Return the folders that a run of own code has to import from, beside the current one."""
    return [str(folder.parent) for folder in config_dirs()]


def make_importable(folders: Sequence[Path]) -> None:
    """Let this process and those that it starts import from the folders, after all else."""
    wanted = [str(folder) for folder in folders if folder.is_dir()]
    sys.path += [name for name in wanted if name not in sys.path]
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [*filter(None, known), *(name for name in wanted if name not in known)]
    )


def _divided(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    folders: list[Path] = []
    rest: list[str] = []
    iterator = iter(arguments)
    for argument in iterator:
        flag, equals, value = argument.partition("=")
        if flag in FLAGS:
            folders.append(Path(value if equals else next(iterator, "")))
        elif flag == SEARCH_PATH:
            folders += _folders_of(argument)
        else:
            rest.append(argument)
    return folders, rest


def _folders_of(override: str) -> list[Path]:
    """Return the folders that ``hydra.searchpath=[file://a,file://b]`` names."""
    from losslab.config.compose import parsed  # noqa: PLC0415 (compose reads the folders)

    value: Any = parsed([override])[0].value()
    names = [str(name) for name in (value if isinstance(value, list) else [value])]
    for name in names:
        if name.startswith("pkg://"):
            raise UserError(f"{SEARCH_PATH} takes folders, such as [file://conf], got {name}")
    return [Path(name.removeprefix("file://")) for name in names]


def _search_path(folders: Sequence[Path]) -> str:
    quoted = ",".join("'file://" + str(folder).replace("'", "\\'") + "'" for folder in folders)
    return f"{SEARCH_PATH}=[{quoted}]"
