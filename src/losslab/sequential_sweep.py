"""Sweeps that add seeds until every pair of losses is decided: ``-m loss=a,b,c seeds=auto``.

The seeds are added in blocks. After each block all pairs are compared, with p-values that hold over
all looks, and a loss whose pairs are all decided gets no more seeds. What was decided follows from
the runs and from ``looks.json``, so a sweep that was interrupted, or whose blocks are planned by
``losslab plan`` and trained elsewhere, repeats its looks and goes on.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from losslab.config.command import Command, all_jobs, program
from losslab.config.errors import UserError, resumable
from losslab.config.expansion import jobs_of
from losslab.config.jobs import Composed, compose_jobs
from losslab.config.overrides import parsed
from losslab.config.typed_jobs import without_seeds
from losslab.job_checks import checked_jobs, placed
from losslab.metrics.labels import some
from losslab.runs.check import has_ended, needs_running
from losslab.runs.disk import writing_to
from losslab.runs.files import advising
from losslab.runs.looks import Looks, read_looks, write_looks
from losslab.sweep import launch
from losslab.sweep_output import compared, show_comparison, show_unfinished
from losslab.units import Unit

if TYPE_CHECKING:
    from losslab.analysis.comparison import Comparison
    from losslab.analysis.pairs import Pair

Job = list[str]


def sequential_sweep(command: Command, folder: Path | None = None) -> int:
    """Add seeds until every pair is decided or the last look is made; return the exit code.

    Args:
        command: command with its looks.
        folder: folder of a sweep to resume, whose command lists the jobs that it had; ``None`` for
            a new sweep.

    Raises:
        UserError: if a job cannot run, or there is nothing to compare.
    """
    sweep = SequentialSweep.begin(command, folder)
    resuming = f"{program()} resume={sweep.folder}"
    with resumable(resuming), writing_to(sweep.folder):
        for _ in sweep.blocks():
            if any(map(needs_running, sweep.run_folders)):
                launch(sweep.command, sweep.jobs, sweep.folder)
        show_comparison(sweep.folder)
    return show_unfinished(sweep.run_folders, resuming)


@dataclass
class SequentialSweep:
    """Sweep that adds seeds in blocks.

    Attributes:
        command: its command, which lists the jobs of the blocks so far.
        folder: its folder.
        jobs: these jobs.
    """

    command: Command
    folder: Path
    jobs: list[Composed]

    @classmethod
    def begin(cls, command: Command, folder: Path | None) -> Self:
        """Check the jobs of the first block; for the arguments see :func:`sequential_sweep`.

        Raises:
            UserError: if a job cannot run, or there is nothing to compare.
        """
        command, points = _without_seeds(command)
        command = replace(command, jobs=_with_seeds(points, 0, command.looks[0]))
        jobs = checked_jobs(command, folder)
        return cls(command, folder or jobs[0].sweep_dir, jobs)

    @property
    def run_folders(self) -> list[Path]:
        """Folders of the runs of the blocks so far."""
        return [self.folder / job.subdir for job in self.jobs]

    def blocks(self) -> Iterator[int]:
        """Add block after block, and yield how many seeds there are.

        Whoever iterates trains the runs of a block, and goes on once they have ended: then they are
        compared, and the losses that have an undecided pair get the next block.
        """
        looks = self.command.looks
        self.folder.mkdir(parents=True, exist_ok=True)
        if read_looks(self.folder) is None:
            write_looks(self.folder, Looks(planned=looks))
        points = {
            Path(job.subdir).parent.name: own[:-1]
            for job, own in zip(self.jobs, self.command.jobs or [], strict=True)
        }
        yield looks[0]
        for seeds, more in itertools.zip_longest(looks, looks[1:]):
            comparison = compared(self.folder, seeds)
            assert comparison is not None
            tell(comparison, seeds, looks)
            if not goes_on(comparison, seeds, looks):
                return
            names = _undecided(comparison)
            self._add(_with_seeds([points[name] for name in names], seeds, more))
            yield more

    def _add(self, new: Sequence[Job]) -> None:
        jobs = [*self.jobs, *compose_jobs(all_jobs(replace(self.command, jobs=list(new))))]
        self.jobs = placed(jobs, self.folder)
        self.command = replace(self.command, jobs=[*(self.command.jobs or []), *new])


def planned_looks(folder: Path) -> tuple[int, ...]:
    """Return the numbers of seeds at which a sweep is to be compared; empty if it adds none.

    Raises:
        UserError: if its file is damaged.
    """
    with advising(
        "restore the file, or remove it: the looks in it are then not counted, and "
        "p-values may be too small"
    ):
        looks = read_looks(folder)
    return () if looks is None else looks.planned


def last_look(folder: Path, units: Sequence[Unit], looks: Sequence[int]) -> int:
    """Return the number of seeds at the last look whose runs have all ended; 0 if there is none.

    Args:
        folder: folder of a sweep that adds seeds.
        units: its units.
        looks: its planned looks.
    """
    seeds = {folder / run["folder"]: _seed(run["overrides"]) for unit in units for run in unit.runs}
    left = [seed for run, seed in seeds.items() if not has_ended(run)]
    complete = min(left) if left else max(seeds.values(), default=-1) + 1
    return max((look for look in looks if look <= complete), default=0)


def _seed(overrides: Sequence[str]) -> int:
    [given] = (each for each in overrides if each.startswith("seed="))
    return int(given.removeprefix("seed="))


def goes_on(comparison: "Comparison", seeds: int, looks: Sequence[int]) -> bool:
    """Return whether a look leaves pairs undecided and is not the last; see :func:`tell`."""
    return seeds < looks[-1] and bool(_undecided(comparison))


def _without_seeds(command: Command) -> tuple[Command, list[Job]]:
    """Return a command with what its jobs share, and in what they differ except for the seed.

    Raises:
        UserError: if there are not at least two jobs per seed.
    """
    if command.jobs is None:
        known = parsed(command.overrides)
        swept = [each.input_line for each in known if each.is_sweep_override()]
        shared = [each for each in command.overrides if each not in swept]
        command, points = replace(command, overrides=shared), jobs_of(swept)
    else:
        points = without_seeds(command.jobs)
    if len(points) < 2:
        raise UserError("seeds=auto compares losses: give at least two, such as loss=mse,mae")
    return command, points


def _with_seeds(points: Sequence[Job], start: int, stop: int) -> list[Job]:
    return [[*point, f"seed={seed}"] for point in points for seed in range(start, stop)]


def _undecided(comparison: "Comparison") -> list[str]:
    """Return the names of the jobs that have an undecided pair: the others get no more seeds."""
    names = (
        run.folder.parent.name
        for table in comparison.tables
        for row in table.rows
        for run in row.runs
        if any(_is_open(pair) for pair in table.pairs if row.label in (pair.a, pair.b))
    )
    return list(dict.fromkeys(names))


def _is_open(pair: "Pair") -> bool:
    return pair.verdict == "undecided" and pair.fails_less is None


def tell(comparison: "Comparison", seeds: int, looks: Sequence[int]) -> None:
    """Print what a look decided, and what more seeds can add if they share their samples.

    Args:
        comparison: the comparison that the look made.
        seeds: number of seeds.
        looks: the planned looks.
    """
    from losslab.analysis.sequential_t import information, shared_variance  # noqa: PLC0415 (scipy)

    pairs = [pair for table in comparison.tables for pair in table.pairs]
    decided = [_decision(pair) for pair in pairs if pair.decided_after == seeds]
    count = sum(map(_is_open, pairs))
    texts = [*decided, f"{count} of {some(len(pairs), 'pairs')} undecided"]
    print(f"look {looks.index(seeds) + 1} of {len(looks)}, {seeds} seeds: {'; '.join(texts)}")
    shares = [shared_variance(p.test.estimate, p.n) for p in pairs if p.test.estimate is not None]
    if seeds == looks[0] < looks[-1] and any(shares):
        part = information(seeds, max(shares)) / information(looks[-1], max(shares))
        print(
            f"the seeds share their samples: {seeds} of them hold {100 * part:.0f} % of the "
            f"information of {looks[-1]}",
            flush=True,
        )


def _decision(pair: "Pair") -> str:
    if pair.verdict == "equivalent":
        return f"{pair.a} and {pair.b} equivalent"
    worse = pair.other(str(pair.better))
    return f"{pair.better} better than {worse}"
