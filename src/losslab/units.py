"""Units of a sweep: a unit is what one worker trains, a lockstep stack of runs or a single run.

``units.json`` in the sweep's folder holds ``{"version": 1, "units": [{"stacked": true, "runs":
[{"folder": "mse/seed0", "overrides": ["loss=mse", "seed=0"]}, ...]}, ...]}``. Units are numbered
from 1 in the order of the file, and keep their numbers when the sweep grows. A unit is claimed in
``units/<number>`` (:mod:`losslab.runs.claims`).
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from losslab.config.command import Command, all_jobs, without_seeds
from losslab.config.compose import Composed, compose
from losslab.config.secrets import masked_override
from losslab.runs.check import needs_running
from losslab.runs.files import read_json, require_types, require_version
from losslab.runs.folder import replace_file

UNITS_FILE = "units.json"
VERSION = 1

RUNS_PER_UNIT = 100
"""Largest number of runs per stack, unless ``hydra.launcher.max_jobs`` says another one."""
ONE_BY_ONE = ("basic", "joblib")
"""Launchers whose units are single runs."""


class PlannedRun(TypedDict):
    """Run of a unit, in the file."""

    folder: str
    """Relative to the sweep's folder."""
    overrides: list[str]
    """Overrides of the run; secrets are masked."""


class _SavedUnit(TypedDict):
    runs: list[PlannedRun]
    stacked: bool


class _SavedUnits(TypedDict):
    version: int
    units: list[_SavedUnit]


@dataclass(frozen=True)
class Unit:
    """Runs that one worker trains.

    Attributes:
        number: number in the sweep, from 1.
        runs: the runs.
        stacked: whether they are trained together.
    """

    number: int
    runs: Sequence[PlannedRun]
    stacked: bool

    def folders(self, sweep: Path) -> list[Path]:
        """Return the folders of the runs."""
        return [sweep / run["folder"] for run in self.runs]

    def claims(self, sweep: Path) -> Path:
        """Return the folder in which the unit is claimed."""
        return sweep / "units" / str(self.number)


def write_units(folder: Path, units: Sequence[Unit]) -> None:
    """Write the units of a sweep, in the order of their numbers."""
    saved = [_SavedUnit(runs=list(unit.runs), stacked=unit.stacked) for unit in units]
    content = json.dumps(_SavedUnits(version=VERSION, units=saved))
    replace_file(folder / UNITS_FILE, content.encode())


def read_units(folder: Path) -> list[Unit]:
    """Read the units of a sweep.

    Raises:
        FileNotFoundError: if the sweep has no such file.
        FileError: if the file is damaged, or a later version of losslab wrote it.
    """
    path = folder / UNITS_FILE
    content: Any = read_json(path)
    require_version(content, "version", VERSION, path)
    require_types(content, _SavedUnits, path)
    return [Unit(number, **unit) for number, unit in enumerate(content["units"], 1)]


def unfinished(folder: Path) -> list[Unit]:
    """Return the units of a sweep with runs that are not done, and on which no process works."""
    return [unit for unit in read_units(folder) if any(map(needs_running, unit.folders(folder)))]


def plan_units(folder: Path, command: Command, jobs: Sequence[Composed]) -> list[Unit]:
    """Divide the jobs of a sweep into units, and write them; those that it has keep their runs.

    Args:
        folder: folder of the sweep.
        command: its command, whose launcher says whether runs are stacked.
        jobs: all jobs of the sweep, in their subdirectories.
    """
    runs = {job.subdir: _planned(job) for job in jobs}
    known = read_units(folder) if (folder / UNITS_FILE).exists() else []
    old = [
        Unit(unit.number, [runs.pop(run["folder"], run) for run in unit.runs], unit.stacked)
        for unit in known
    ]
    parts = _parts([job for job in jobs if job.subdir in runs], most_runs(command))
    new = [
        Unit(number, [runs[job.subdir] for job in part], stacked=len(part) > 1)
        for number, part in enumerate(parts, len(old) + 1)
    ]
    write_units(folder, [*old, *new])
    return [*old, *new]


def most_runs(command: Command) -> int:
    """Return how many runs a unit may have, according to the launcher of a command."""
    hydra = compose(all_jobs(command)[0]).hydra
    if hydra.runtime.choices["hydra/launcher"] in ONE_BY_ONE:
        return 1
    return int(hydra.launcher.get("max_jobs") or RUNS_PER_UNIT)


def _planned(job: Composed) -> PlannedRun:
    return PlannedRun(folder=job.subdir, overrides=list(map(masked_override, job.overrides)))


def _parts(jobs: Sequence[Composed], most: int) -> list[list[Composed]]:
    """Divide jobs into equal parts of at most so many that can be stacked, or of one job."""
    from losslab.lockstep.grouping import stack_key  # noqa: PLC0415 (torch)

    parts: list[list[Composed]] = []
    groups: dict[str, list[Composed]] = {}
    for members in _by_setting(jobs):
        # jobs that differ only in their seed can be stacked if one of them can
        key = stack_key(members[0].config) if most > 1 else None
        if key is None:
            parts += [[job] for job in members]
        else:
            groups.setdefault(key, []).extend(members)
    for alike in groups.values():
        number = math.ceil(len(alike) / most)
        ends = [round(len(alike) * part / number) for part in range(number + 1)]
        parts += [alike[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]
    order = {job.subdir: place for place, job in enumerate(jobs)}
    return sorted(parts, key=lambda part: order[part[0].subdir])


def _by_setting(jobs: Sequence[Composed]) -> list[list[Composed]]:
    """Divide jobs by their overrides without the seed."""
    settings: dict[tuple[str, ...], list[Composed]] = {}
    for job in jobs:
        [seedless] = without_seeds([job.overrides])
        settings.setdefault(tuple(seedless), []).append(job)
    return list(settings.values())
