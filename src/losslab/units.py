"""Units of a sweep: a unit is what one worker trains, a lockstep stack of runs or a single run.

``units.json`` in the sweep's folder lists them (:mod:`losslab.runs.saved_units`). A unit is claimed
in ``units/<number>`` (:mod:`losslab.runs.claims`).
"""

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from losslab.config.command import Command, all_jobs
from losslab.config.compose import launcher_of
from losslab.config.jobs import Composed
from losslab.config.secrets import masked_override
from losslab.config.typed_jobs import without_seeds
from losslab.runs.check import is_finished, needs_running
from losslab.runs.claims import Claimed, claim
from losslab.runs.folder import replace_file
from losslab.runs.packing import unpack, write_pack
from losslab.runs.packs import open_pack_file, pack_file
from losslab.runs.saved_units import (
    UNITS_FILE,
    VERSION,
    PlannedRun,
    SavedUnit,
    SavedUnits,
    claims_of,
    read_saved_units,
)

RUNS_PER_UNIT = 100
"""Largest number of runs per stack, unless ``hydra.launcher.max_jobs`` says another one."""
RUNS_ON_DISK = 1000
"""Number of runs of a sweep from which on units are packed, if it is not said."""
ONE_BY_ONE = ("basic", "joblib")
"""Launchers whose units are single runs."""


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
        return claims_of(sweep, self.number)

    def is_packed(self, sweep: Path) -> bool:
        """Return whether the runs are in a pack, and thus done."""
        return pack_file(sweep, self.number).exists()

    def is_done(self, sweep: Path) -> bool:
        """Return whether no run has to be trained by whoever finds the unit free."""
        return self.is_packed(sweep) or not any(map(needs_running, self.folders(sweep)))


def write_units(
    folder: Path, units: Sequence[Unit], most: int = RUNS_PER_UNIT, *, pack: bool = False
) -> None:
    """Write the units of a sweep, in the order of their numbers.

    Args:
        folder: folder of the sweep.
        units: the units.
        most: number of runs that a unit may have.
        pack: whether units are packed.
    """
    saved = [SavedUnit(runs=list(unit.runs), stacked=unit.stacked) for unit in units]
    content = json.dumps(SavedUnits(version=VERSION, most=most, pack=pack, units=saved))
    replace_file(folder / UNITS_FILE, content.encode())


def read_units(folder: Path) -> list[Unit]:
    """Read the units of a sweep.

    Raises:
        FileNotFoundError: if the sweep has no such file.
        FileError: if the file is damaged, or a later version of losslab wrote it.
    """
    return [
        Unit(number, **unit) for number, unit in enumerate(read_saved_units(folder)["units"], 1)
    ]


def unfinished(folder: Path) -> list[Unit]:
    """Return the units of a sweep with runs that are not done, and on which no process works."""
    return [unit for unit in read_units(folder) if not unit.is_done(folder)]


def packs_units(folder: Path) -> bool:
    """Return whether the units of a sweep are packed."""
    return read_saved_units(folder)["pack"]


def pack_unit(folder: Path, unit: Unit) -> None:
    """Pack a unit that this process has claimed, if all of its runs are done."""
    runs = unit.folders(folder)
    if runs and not unit.is_packed(folder) and all(map(is_finished, runs)):
        write_pack(folder, unit.number, runs)


def pack_units(folder: Path) -> None:
    """Pack the finished units of a sweep, if it is packed, on which no process works."""
    for unit in read_units(folder) if packs_units(folder) else []:
        if not unit.is_packed(folder):
            unit.claims(folder).mkdir(parents=True, exist_ok=True)
            with suppress(Claimed), claim(unit.claims(folder)):
                pack_unit(folder, unit)


def unpack_unit(folder: Path, unit: Unit) -> None:
    """Write the runs of a unit's open pack to their folders; this process has claimed the unit."""
    opened = open_pack_file(folder, unit.number)
    if opened.exists():
        for run in unit.folders(folder):
            unpack(run, held=True)
        opened.unlink()


def unpack_units(folder: Path) -> None:
    """Write the runs of open packs to their folders, unless a process works on them."""
    for unit in read_units(folder):
        if open_pack_file(folder, unit.number).exists():
            with suppress(Claimed), claim(unit.claims(folder)):
                unpack_unit(folder, unit)


def plan_units(folder: Path, command: Command, jobs: Sequence[Composed]) -> list[Unit]:
    """Divide the jobs of a sweep into units, and write them; return those that have runs.

    Units that the sweep has keep their runs, so that no number gets another meaning. If the
    command's launcher asks for units of another size, those that nobody has begun become empty, and
    their runs get new units.

    Args:
        folder: folder of the sweep.
        command: its command, whose launcher says how many runs a unit may have.
        jobs: all jobs of the sweep, in their subdirectories.
    """
    runs = {job.subdir: _planned(job) for job in jobs}
    most = most_runs(command)
    units = [
        replace(unit, runs=[runs.pop(run["folder"], run) for run in unit.runs])
        for unit in _known(folder, most)
    ]
    for part in _parts([job for job in jobs if job.subdir in runs], most):
        planned = [runs[job.subdir] for job in part]
        units.append(Unit(len(units) + 1, planned, stacked=len(part) > 1))
    pack = jobs[0].options.get("pack", "auto")
    write_units(folder, units, most, pack=len(jobs) > RUNS_ON_DISK if pack == "auto" else pack)
    return [unit for unit in units if unit.runs]


def _known(folder: Path, most: int) -> list[Unit]:
    """Return the units of a sweep, without the runs that must be divided anew."""
    if not (folder / UNITS_FILE).exists():
        return []
    same = read_saved_units(folder)["most"] == most
    return [
        unit if same or _is_begun(unit, folder) else replace(unit, runs=[])
        for unit in read_units(folder)
    ]


def _is_begun(unit: Unit, folder: Path) -> bool:
    claimed = unit.claims(folder).exists() or unit.is_packed(folder)
    return claimed or any(run.exists() for run in unit.folders(folder))


def most_runs(command: Command) -> int:
    """Return how many runs a unit may have, according to the launcher of a command."""
    name, options = launcher_of(all_jobs(command)[0])
    return 1 if name in ONE_BY_ONE else int(options.get("max_jobs") or RUNS_PER_UNIT)


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
