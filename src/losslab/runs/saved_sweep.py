"""``sweep.json``: the commands of a sweep, in order, and its jobs.

Version 2 holds ``{"version": 2, "commands": [...], "jobs": [...], "code_dirs": {...}}``. Each
command is saved as typed and as run (``arguments``, and ``listed`` if an experiment lists the
jobs), and ``code_dirs`` has the folders of the user's modules. Version 0.1 holds one command.
"""

import functools
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from losslab.runs.files import FileError, read_json, require_types, require_version
from losslab.runs.folder import SWEEP_FILE

VERSION = 2


class SavedCommand(TypedDict):
    """Command, in the file."""

    typed: NotRequired[list[str]]
    arguments: list[str]
    listed: list[list[str]] | None


class SavedSweep(TypedDict):
    """Content of the file."""

    version: int
    commands: list[SavedCommand]
    jobs: NotRequired[list[list[str]]]
    code_dirs: NotRequired[dict[str, str]]


def read_sweep(folder: Path) -> SavedSweep:
    """Read the file of a sweep.

    Raises:
        FileNotFoundError: if there is no such sweep.
        FileError: if the file is damaged, or a later version of losslab wrote it.
    """
    path = folder / SWEEP_FILE
    content = read_json(path)
    require_version(content, "version", VERSION, path)
    if content.get("version", 1) == 1:
        content = {"version": 1, "commands": [content]}
    require_types(content, SavedSweep, path)
    return cast(SavedSweep, content)


def first_seed(folder: Path) -> int | None:
    """Return the smallest seed of a sweep's jobs; ``None`` without seeds or a whole sweep file."""
    try:
        return _first_seed(folder, (folder / SWEEP_FILE).stat().st_mtime_ns)
    except (OSError, FileError):
        return None


@functools.lru_cache(maxsize=16)
def _first_seed(folder: Path, changed: int) -> int | None:
    del changed  # of the cache
    typed = {each for job in read_sweep(folder).get("jobs", []) for each in job}
    seeds = [each.removeprefix("seed=") for each in typed if each.startswith("seed=")]
    return min((int(each) for each in seeds if each.isdecimal()), default=None)
