"""Work on a planned sweep: any process that sees its folder can train its units."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from losslab.config.command import program
from losslab.config.errors import UserError, resumable
from losslab.config.jobs import compose_jobs
from losslab.config.trust import Source, require_harmless, require_harmless_jobs
from losslab.engines import is_retry_of
from losslab.engines.launched import waiting_units
from losslab.metrics.labels import some
from losslab.progress import SweepProgress, show
from losslab.resume import saved_commands
from losslab.runs.check import has_ended, is_untried, needs_running
from losslab.runs.claims import Claim, Claimed, claim, holder
from losslab.runs.disk import writing_to
from losslab.runs.files import advising
from losslab.runs.folder import SWEEP_FILE
from losslab.runs.open_packs import OpenPack, open_pack
from losslab.runs.packing import unpack
from losslab.sequential_sweep import planned_looks
from losslab.sweep_output import DONE, FAILED, show_unfinished
from losslab.torch_import import import_torch
from losslab.units import Unit, pack_unit, packs_units, read_units, unpack_unit

if TYPE_CHECKING:
    from losslab.lockstep.grouping import Job


def planned_units(folder: Path) -> list[Unit]:
    """Read the units of a sweep.

    Raises:
        UserError: if the folder is not a sweep, has no units, or its file is damaged.
    """
    if not (folder / SWEEP_FILE).is_file():
        raise UserError(f"{folder} is not the folder of a sweep: it has no {SWEEP_FILE}")
    again = f"losslab plan resume={folder} divides the sweep into units"
    try:
        with advising(f"remove the file: {again} anew"):
            return read_units(folder)
    except FileNotFoundError:
        raise UserError(f"{folder} has no units: {again}") from None


@dataclass(frozen=True)
class Worker:
    """Worker that trains units of a sweep, one at a time.

    Attributes:
        folder: folder of the sweep.
        units: its units.
        source: where the sweep was read from, if it is not trusted.
    """

    folder: Path
    units: Sequence[Unit]
    source: Source | None = None

    @classmethod
    def of(cls, folder: Path, *, trust: bool = False) -> "Worker":
        """Read a sweep, and make the user's configs and code that it names known.

        Args:
            folder: folder of the sweep.
            trust: whether all code that it names may run.

        Raises:
            UserError: if the folder is not a planned sweep, or would run other code.
        """
        units = planned_units(folder)
        return cls(folder, units, saved_commands(folder, trust=trust, launches=False)[-1].source)

    def train(self, number: int) -> int:
        """Train what is left of the unit with this number; return the exit code.

        Raises:
            UserError: if there is no such unit.
        """
        if not 1 <= number <= len(self.units):
            raise UserError(f"--unit must be between 1 and {len(self.units)}, got {number}")
        unit = self.units[number - 1]
        if not unit.is_done(self.folder):
            self._trains(unit)
        return show_outcome(self.folder, [unit])

    def train_next(self) -> int:
        """Train the next unit on which nobody works and which has not failed; return the exit code.

        If there is none, the code says whether all units are done.
        """
        for unit in self.units:
            untried = self._is_free(unit) and any(map(is_untried, unit.folders(self.folder)))
            if untried and self._trains(unit):
                return show_outcome(self.folder, [unit])
        return show_outcome(self.folder, self.units)

    def train_all(self) -> int:
        """Train all units on which nobody works, in turn; return the exit code."""
        for unit in self.units:
            if self._is_free(unit) and not unit.is_done(self.folder):
                self._trains(unit)
        return show_outcome(self.folder, self.units)

    def _is_free(self, unit: Unit) -> bool:
        """Return whether a unit may be left, which is known before its records are read."""
        return not unit.is_packed(self.folder) and holder(unit.claims(self.folder)) is None

    def _trains(self, unit: Unit) -> bool:
        """Train a unit; return False if another process works on it."""
        claims = unit.claims(self.folder)
        with resumable(_again(self.folder, [unit])), writing_to(self.folder):
            claims.mkdir(parents=True, exist_ok=True)
            try:
                held = _claimed(claims)
            except Claimed:
                return False
            with held:
                self._train(unit, held)
                if packs_units(self.folder):
                    pack_unit(self.folder, unit)
        return True

    def _train(self, unit: Unit, held: Claim) -> None:
        import_torch()  # only once there is something to train
        from losslab.lockstep.grouping import Job  # noqa: PLC0415 (torch)

        runs = [run for run in unit.runs if needs_running(self.folder / run["folder"])]
        if not runs:  # another worker was faster
            return
        if self.source is not None:
            require_harmless_jobs([run["overrides"] for run in runs], [], self.source)
        composed = compose_jobs([run["overrides"] for run in runs])
        configs = [job.config for job in composed]
        if self.source is not None:
            require_harmless(configs, self.source)
        jobs = [
            Job(config, self.folder / run["folder"])
            for config, run in zip(configs, runs, strict=True)
        ]
        show(f"unit {unit.number}: {some(len(jobs), 'jobs')}")
        stacked = unit.stacked
        if stacked and packs_units(self.folder):
            with open_pack(self.folder, unit.number, held) as pack:
                jobs, stacked = _train_in_pack(jobs, pack), False
        else:
            unpack_unit(self.folder, unit)
        if jobs:
            _train_on_disk(jobs, stacked=stacked)


def _train_in_pack(jobs: "Sequence[Job]", pack: OpenPack) -> "list[Job]":
    """Train the jobs of a unit that can be stacked in its open pack; return the others."""
    from losslab.continuing import train_stacks  # noqa: PLC0415 (torch)

    placed = {pack.place(job.folder): job for job in jobs}
    with _progress(placed):
        own = [replace(job, folder=place) for place, job in placed.items()]
        return [placed[job.folder] for job in train_stacks(own, pack.publish)]


def _train_on_disk(jobs: "Sequence[Job]", *, stacked: bool) -> None:
    """Train the jobs of a unit in their folders."""
    from losslab.continuing import train_alone, train_stacks  # noqa: PLC0415 (torch)

    for job in jobs:
        unpack(job.folder, held=True)
    with _progress({job.folder: job for job in jobs}):
        train_alone(train_stacks(jobs) if stacked else jobs)


def _progress(jobs: "Mapping[Path, Job]") -> SweepProgress:
    return SweepProgress({place: job.config.trainer.max_epochs for place, job in jobs.items()})


def show_outcome(folder: Path, units: Sequence[Unit]) -> int:
    """Show which of these units of a sweep are not done, and where they run; return the exit code.

    Args:
        folder: folder of the sweep.
        units: one of its units, or all of them.
    """
    left = [unit for unit in units if not unit.is_packed(folder)]
    claims = {unit.number: holder(unit.claims(folder)) for unit in left}
    for number, held in claims.items():
        if held is not None:
            show(f"unit {number} is running: {held.where}")
    idle = [unit for unit in left if claims[unit.number] is None and not unit.is_done(folder)]
    queued = waiting_units(folder) if idle else {}
    for unit in idle:
        if unit.number in queued:
            show(f"unit {unit.number} is in the queue of Slurm: job {queued[unit.number]}")
    free = [unit for unit in left if claims[unit.number] is None and unit.number not in queued]
    runs = [run for unit in free for run in unit.folders(folder)]
    code = show_unfinished(runs, _again(folder, units))
    if len(free) < len(left):
        return FAILED
    if code == DONE:
        show(f"{_named(units)} of {folder}: done")
    return code


def show_next_look(folder: Path) -> None:
    """Say how a sweep that adds seeds goes on, once all of its runs have ended."""
    if not planned_looks(folder):
        return
    if all(has_ended(run) for unit in read_units(folder) for run in unit.folders(folder)):
        show(f"to compare the losses and plan more seeds: losslab plan resume={folder}")


def _again(folder: Path, units: Sequence[Unit]) -> str:
    which = f"--unit {units[0].number}" if len(units) == 1 else "--all"
    return f"{program('work')} {folder} {which}"


def _named(units: Sequence[Unit]) -> str:
    return f"unit {units[0].number}" if len(units) == 1 else some(len(units), "units")


def _claimed(folder: Path) -> Claim:
    """Claim a unit, once an earlier try of the task that runs this process has ended.

    Raises:
        Claimed: if another process works on it.
    """
    while True:
        try:
            return claim(folder)
        except Claimed:
            held = holder(folder)
            if held is None or held.owner is None or not is_retry_of(held.owner["job"]):
                raise
            time.sleep(1)
