"""Lookup of the user's code and configs outside the clone.

``--config-dir conf`` and ``hydra.searchpath=[file:///...]`` add folders like this project's conf/.
Code can be imported from the parents of such folders and from the current folder. Both are kept in
environment variables for worker processes. A run saves the folders of the modules that its config
names, so that it can be resumed and evaluated from any folder.
"""

import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import losslab
from losslab.config.errors import FRAMEWORKS, UserError, is_own

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


def imported_folders() -> list[Path]:
    """Return the folders whose modules a command imports: the current one, those beside configs."""
    return [Path.cwd().resolve(), *(folder.resolve().parent for folder in config_dirs())]


def search_path() -> list[str]:
    """Return the override that adds these folders to Hydra's search path, if there are any."""
    names = [str(folder).replace("'", "\\'") for folder in config_dirs()]
    quoted = ",".join(f"'file://{name}'" for name in names)
    return [f"{SEARCH_PATH}=[{quoted}]"] if names else []


def without_search_path(arguments: Sequence[str]) -> list[str]:
    """Return the arguments but the one that adds these folders to Hydra's search path."""
    return [each for each in arguments if not each.startswith(SEARCH_PATH)]


def add(folders: Sequence[Path]) -> None:
    """Add config folders, e.g. those of a saved run."""
    found = [*config_dirs(), *(folder.resolve() for folder in folders if folder.is_dir())]
    if found:
        os.environ[CONFIG_DIRS] = os.pathsep.join(map(str, dict.fromkeys(found)))
    make_importable([folder.resolve().parent for folder in (*found, *folders)])


def make_importable(folders: Sequence[Path], *, first: bool = False) -> None:
    """Append the folders to the import path of this process and of those that it starts.

    Those add them when they import losslab: PYTHONPATH would precede the standard library, and so
    would the current folder in workers that are started by ``python -m``.

    Args:
        folders: folders of code.
        first: whether they precede the other folders of the user's code.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    known = [name for name in os.environ.get(IMPORTS, "").split(os.pathsep) if name]
    wanted = [str(folder) for folder in folders if folder.is_dir()]
    order = list(dict.fromkeys([*wanted, *known] if first else [*known, *wanted]))
    os.environ[IMPORTS] = os.pathsep.join(order)
    others = [name for name in sys.path if name in losslab.IMPORT_PATH or name not in order]
    sys.path[:] = [*others, *(name for name in order if name not in others)]


# --- code of saved runs ---------------------------------------------------------------------------

SAVED_CODE: dict[str, Path] = {}
"""Folder of each module of the user that a saved run or sweep needs, as it was at that time."""


def code_dirs(targets: Iterable[str]) -> dict[str, str]:
    """Return the folder of each of the user's modules that contain these ``_target_``.

    Installed packages and losslab itself are left out.
    """
    found = {}
    for module in dict.fromkeys(target.partition(".")[0] for target in targets):
        folder = None if module in FRAMEWORKS else _folder_of(module)
        if folder is not None:
            found[module] = str(folder)
    return found


def _folder_of(module: str) -> Path | None:
    """Return the folder from which one of the user's modules is imported."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # "" or a module without a specification
        return None
    if spec is None:
        return None
    packages = list(spec.submodule_search_locations or [])
    if not packages and not spec.has_location:  # built into Python
        return None
    place = Path(packages[0] if packages else str(spec.origin)).resolve()
    return place.parent if is_own(place) else None


def recall(saved: Mapping[str, str]) -> None:
    """Make the modules of a saved run or sweep importable, before those of the current folder.

    Args:
        saved: result of :func:`code_dirs` at that time.
    """
    SAVED_CODE.update({module: Path(folder) for module, folder in saved.items()})
    make_importable([Path(folder) for folder in saved.values()], first=True)


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
            folders += folders_of(argument)
        else:
            rest.append(argument)
    return folders, rest


def folders_of(override: str) -> list[Path]:
    """Return the folders in ``hydra.searchpath=[file://a,file://b]``."""
    from losslab.config.overrides import parsed  # noqa: PLC0415 (Hydra, which compare does not need)

    value: Any = parsed([override])[0].value()
    names = [str(name) for name in (value if isinstance(value, list) else [value])]
    for name in names:
        if name.startswith("pkg://"):
            raise UserError(f"{SEARCH_PATH} must be folders such as [file://conf], got {name}")
    return [Path(name.removeprefix("file://")) for name in names]
