"""Sweeps that add seeds until every pair of losses is decided: ``-m loss=a,b,c seeds=auto``.

The seeds are added in blocks. After each block all pairs are compared, with p-values that hold over
all looks, and a loss whose pairs are all decided gets no more seeds. What was decided follows from
the runs and from ``looks.json``, so a sweep that was interrupted repeats its looks and goes on.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from losslab.config.command import Command, all_jobs, program
from losslab.config.errors import UserError, resumable
from losslab.config.expansion import jobs_of
from losslab.config.jobs import compose_jobs
from losslab.config.overrides import parsed
from losslab.config.typed_jobs import without_seeds
from losslab.job_checks import checked_jobs, placed
from losslab.metrics.labels import some
from losslab.runs.check import needs_running
from losslab.runs.looks import Looks, read_looks, write_looks
from losslab.sweep import launch
from losslab.sweep_output import show_comparison, show_unfinished

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
    command, points = _without_seeds(command)
    listed = _with_seeds(points, 0, command.looks[0])
    jobs = checked_jobs(replace(command, jobs=listed), folder)
    folder = folder or jobs[0].sweep_dir
    folder.mkdir(parents=True, exist_ok=True)
    if read_looks(folder) is None:
        write_looks(folder, Looks(planned=command.looks))
    by_name = {
        Path(job.subdir).parent.name: own[:-1] for job, own in zip(jobs, listed, strict=True)
    }
    resuming = f"{program()} resume={folder}"
    with resumable(resuming):
        before = command.looks[0]
        for seeds in command.looks:
            new = _with_seeds(points, before, seeds)
            listed += new
            jobs += compose_jobs(all_jobs(replace(command, jobs=new)))
            jobs = placed(jobs, folder)
            if any(needs_running(folder / job.subdir) for job in jobs):
                launch(replace(command, jobs=listed), jobs, folder)
            comparison = _look(folder, seeds)
            _tell(comparison, seeds, command.looks)
            points = [by_name[name] for name in _undecided(comparison)]
            if not points:
                break
            before = seeds
    show_comparison(folder)
    return show_unfinished([folder / job.subdir for job in jobs], resuming)


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


def _look(folder: Path, seeds: int) -> "Comparison":
    """Compare the runs of the first seeds, with p-values that hold over all looks so far."""
    from losslab.analysis.comparison import compare  # noqa: PLC0415 (as in sweep_output.show_comparison)
    from losslab.analysis.load import collect  # noqa: PLC0415
    from losslab.analysis.looks import looks_at  # noqa: PLC0415

    collection = collect([folder])
    runs = tuple(run for run in collection.runs if run.seed < seeds)
    collection = replace(collection, runs=runs)
    return compare(collection, looks=looks_at(collection))


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


def _tell(comparison: "Comparison", seeds: int, looks: Sequence[int]) -> None:
    """Print what a look decided, and what more seeds can add if they share their samples."""
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
