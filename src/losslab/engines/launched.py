"""``engine.json`` in a sweep's folder: the jobs of an engine that train its units."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from losslab.engines.slurm_queue import WAITING, states
from losslab.metrics.labels import some
from losslab.runs.files import read_json, require_types, require_version
from losslab.runs.folder import replace_file

ENGINE_FILE = "engine.json"
VERSION = 1


class _Saved(TypedDict):
    engine: str
    jobs: list[str]
    waits: bool
    units: dict[str, int]
    report: str | None


@dataclass(frozen=True)
class Launched:
    """Jobs of an engine.

    Attributes:
        engine: name of the engine.
        jobs: ids of the jobs; the tasks of an array are one job.
        waits: whether the command that launched them waits for their end.
        units: number of the unit that each task trains, such as ``{"17_0": 1, "17_1": 2}``.
        report: job that writes the report after the others.
    """

    engine: str
    jobs: Sequence[str]
    waits: bool
    units: Mapping[str, int] = field(default_factory=dict)
    report: str | None = None

    def lines(self, folder: Path) -> list[str]:
        """Return what to tell of jobs that go on without the command, and what to type next."""
        jobs = [*self.jobs, *filter(None, [self.report])]
        units = some(len(self.units), "units")
        report = f"; job {self.report} writes the report after them" if self.report else ""
        return [
            f"{units} in the queue of Slurm: {', '.join(self.jobs)}{report}",
            f"sweep folder: {folder}",
            f"to look at them: squeue --jobs={','.join(jobs)}, losslab report {folder}",
            f"to end them: scancel {' '.join(jobs)}",
        ]

    def write(self, folder: Path) -> None:
        """Write the file into the folder of the sweep."""
        content = json.dumps({"version": VERSION, **asdict(self)})
        replace_file(folder / ENGINE_FILE, content.encode())


def waiting_units(folder: Path) -> dict[int, str]:
    """Return the units of a sweep that Slurm has yet to start, with their tasks.

    It is asked only where it was used; there are none if it does not answer.
    """
    launched = read_launched(folder)
    known = states(launched.jobs) if launched and launched.engine == "slurm" else None
    units = launched.units if launched else {}
    return {
        unit: task
        for task, unit in units.items()
        if known and task in known and known[task].name in WAITING
    }


def read_launched(folder: Path) -> Launched | None:
    """Read the jobs that train a sweep; ``None`` if no engine does.

    Raises:
        FileError: if the file is damaged, or a later version of losslab wrote it.
    """
    path = folder / ENGINE_FILE
    if not path.exists():
        return None
    content: Any = read_json(path)
    require_version(content, "version", VERSION, path)
    require_types(content, _Saved, path)
    return Launched(**{key: content[key] for key in _Saved.__annotations__})
