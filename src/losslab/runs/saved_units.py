"""``units.json``: the units of a sweep, each of which one worker trains.

The file holds ``{"version": 2, "most": 100, "pack": false, "units": [{"stacked": true, "runs":
[{"folder": "mse/seed0", "overrides": ["loss=mse", "seed=0"]}, ...]}, ...]}``, where ``most`` is the
number of runs that a unit may have, and ``pack`` says whether units are packed
(:mod:`losslab.runs.packs`); version 1 lacks it. Units are numbered from 1 in the order of the file,
and keep their numbers when the sweep grows.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

from losslab.runs.files import FileError, read_json, require_types, require_version
from losslab.runs.packs import UNITS

UNITS_FILE = "units.json"
VERSION = 2


class PlannedRun(TypedDict):
    """Run of a unit, in the file."""

    folder: str
    """Relative to the sweep's folder."""
    overrides: list[str]
    """Overrides of the run; secrets are masked."""


class SavedUnit(TypedDict):
    """Unit, in the file."""

    runs: list[PlannedRun]
    stacked: bool


class SavedUnits(TypedDict):
    """Content of the file."""

    version: int
    most: int
    pack: bool
    units: list[SavedUnit]


def read_saved_units(folder: Path) -> SavedUnits:
    """Read the file of a sweep.

    Raises:
        FileNotFoundError: if the sweep has no such file.
        FileError: if the file is damaged, or a later version of losslab wrote it.
    """
    path = folder / UNITS_FILE
    content: Any = read_json(path)
    require_version(content, "version", VERSION, path)
    content.setdefault("pack", False)
    require_types(content, SavedUnits, path)
    return cast(SavedUnits, content)


def claims_of(sweep: Path, number: int) -> Path:
    """Return the folder in which a unit is claimed."""
    return sweep / UNITS / str(number)


def unit_claims(run: Path) -> Path | None:
    """Return the folder in which the unit of a run is claimed; ``None`` if it has none."""
    sweep = run.parent.parent
    try:
        numbers = _numbers(sweep, (sweep / UNITS_FILE).stat().st_mtime_ns)
    except (OSError, FileError):
        return None
    number = numbers.get(f"{run.parent.name}/{run.name}")
    return None if number is None else claims_of(sweep, number)


@functools.lru_cache(maxsize=16)
def _numbers(sweep: Path, changed: int) -> Mapping[str, int]:
    """Return the number of the unit of each run."""
    del changed  # of the cache
    units = read_saved_units(sweep)["units"]
    return {run["folder"]: number for number, unit in enumerate(units, 1) for run in unit["runs"]}
