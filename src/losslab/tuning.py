"""Equal tuning: the same number of points per loss, from the same sequence.

A tuning has three stages in one folder: ``search``, a sweep over the points on tuning seeds that
does not use the test split; ``final``, a sweep of the best points on other seeds; ``report``. An
interrupted tuning can be resumed, by several processes at once too. Each trains what the others do
not, in the search also further points that it asks the sampler for, and goes on to the final sweep
once all runs of the search have ended.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from losslab.analysis.comparison import compare
from losslab.analysis.load import collect
from losslab.analysis.ranges import settings
from losslab.analysis.search import FINAL, SEARCH, Tuning, read_plan, read_tuning
from losslab.analysis.words import counted_seeds
from losslab.config.command import LAUNCHER, Command, program, split_trust
from losslab.config.compose import compose
from losslab.config.errors import UserError, resumable
from losslab.config.expansion import added_if_new
from losslab.config.jobs import Composed
from losslab.config.overrides import is_given
from losslab.config.past import translated_override
from losslab.config.trust import Source, admit, require_harmless_jobs
from losslab.config.user_code import use
from losslab.job_checks import checked_jobs
from losslab.metrics.labels import some
from losslab.progress import show as tell
from losslab.report.console import show
from losslab.runs.check import has_ended, is_untried
from losslab.runs.claims import turn
from losslab.runs.disk import writing_to
from losslab.runs.files import advising
from losslab.runs.folder import PLAN_FILE, SWEEP_FILE, replace_file
from losslab.sweep import launch
from losslab.sweep_file import read_code_dirs
from losslab.sweep_output import show_unfinished
from losslab.tuning_plan import Plan, parse_plan, points_of
from losslab.tuning_sampler import new_points, require_optuna
from losslab.tuning_split import with_unseen_test

ASKING = "asking"
"""Folder in that of a tuning which the process that asks for further points claims."""
POLL_SECONDS = 5.0
"""Time between two looks at runs that other processes train."""

Known = dict[tuple[str, ...], Composed]
OnceChecked = Callable[[Sequence[Path]], None]
Run = Callable[[Command, Path, OnceChecked, Known], None]
"""Function that checks the jobs of a command in a folder, calls its third argument, then runs them.

The third argument takes the folders of the runs. The last argument is for
:func:`~losslab.config.jobs.compose_jobs`.
"""


def run_tuning(arguments: Sequence[str]) -> int:
    """Tune as the arguments describe, or resume with ``resume=FOLDER``; return the exit code.

    Raises:
        UserError: if the arguments are invalid.
    """
    trust, arguments = split_trust(arguments)
    if any(argument.startswith("resume=") for argument in arguments):
        folder, launcher = _resumed(arguments)
        plan, source = saved_plan(folder, trust=trust, launcher=launcher)
        with resumable(f"{program('tune')} resume={folder}"), writing_to(folder):
            return tune(plan, folder, source)
    if trust:
        raise UserError("trust=true is about the configs of a folder: add resume=FOLDER")
    plan = with_unseen_test(parse_plan(arguments))
    log_dir = Path(compose(plan.jobs()[0]).paths.log_dir)
    folder = log_dir / "tuning" / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
    with resumable(f"{program('tune')} resume={folder}"), writing_to(folder):
        return tune(plan, folder)


def _resumed(arguments: Sequence[str]) -> tuple[Path, list[str]]:
    """Return the folder of the tuning to resume, and the launcher that is to do it, if given."""
    [first, *others] = sorted(arguments, key=lambda each: not each.startswith("resume="))
    chosen = any(each.startswith("hydra/launcher=") for each in others)
    if others and not (chosen and all(map(LAUNCHER.match, others))):
        raise UserError(
            "resume=FOLDER continues the saved plan: remove the other arguments, except "
            "hydra/launcher=... and its options"
        )
    folder = Path(first.removeprefix("resume="))
    if not (folder / PLAN_FILE).exists():
        raise UserError(f"{folder} is not a tuning folder: it has no {PLAN_FILE}")
    return folder, others


def saved_plan(
    folder: Path, *, trust: bool, launcher: Sequence[str] = ()
) -> tuple[Plan, Source | None]:
    """Read the plan of a tuning, and search its folders of configs and code, if they are ours.

    Args:
        folder: the tuning.
        trust: whether all code that it names may run.
        launcher: overrides that choose another launcher than the saved one.

    Raises:
        UserError: if it would run other code, or is damaged.
    """
    plan = read_saved(folder)
    if launcher:
        plan.overrides[:] = [each for each in plan.overrides if not LAUNCHER.match(each)]
    code = read_code_dirs(folder / SEARCH)
    source = None if trust else Source(folder, code)
    if source is not None:
        jobs = [*_jobs(plan, plan.points, plan.tuning_seeds), plan.overrides]
        require_harmless_jobs(jobs, [], source)
    use(plan.overrides)  # the plan's config folders
    admit([], code, trust=trust)
    plan.overrides.extend(launcher)
    return plan, source


def read_saved(folder: Path) -> Plan:
    """Read the plan of a tuning without searching the folders that it names.

    Raises:
        UserError: if it is damaged.
    """
    with advising("restore the file, or tune again in a new folder"):
        plan = Plan(**read_plan(folder))
    plan.overrides[:] = map(translated_override, plan.overrides)
    return plan


def tune(plan: Plan, folder: Path, source: Source | None = None) -> int:
    """Search, run the best points on other seeds and report; return the exit code.

    Args:
        plan: the plan.
        folder: folder of the tuning.
        source: where the plan was read from, if it is not trusted.
    """
    final = folder / FINAL
    if not (final / SWEEP_FILE).is_file():
        print(f"tuning folder: {folder}", *seed_lines(plan), sep="\n", flush=True)
        if left := search(plan, folder, _run, source):
            return show_unfinished(left, f"{program('tune')} resume={folder}")
    tuning = read_tuning(folder)
    command = final_command(plan, tuning, source)
    run_folders = launch(command, checked_jobs(command, final), final)
    return _report(tuning, folder, run_folders)


def seed_lines(plan: Plan) -> list[str]:
    """Say which seeds a tuning has, and how several are typed if there is one.

    Example:
        >>> plan = Plan("tuned", 1, ["mse"], [1000, 1001, 1002], [8], [], {}, {})
        >>> seed_lines(plan)[1]
        "comparison: 1 seed (8); for 8 seeds: 'seeds=range(8)'"
    """
    lines = [
        f"{stage}: {counted_seeds(seeds)}"
        for stage, seeds in (("search", plan.tuning_seeds), ("comparison", plan.seeds))
    ]
    if len(plan.seeds) == 1 and (seed := plan.seeds[0]) > 1:
        lines[-1] += f"; for {seed} seeds: 'seeds=range({seed})'"
    return lines


def search(plan: Plan, folder: Path, run: Run, source: Source | None = None) -> Sequence[Path]:
    """Try the points of a plan, and those that depend on them.

    Args:
        plan: the plan, which grows if its sampler chooses points by the results.
        folder: folder of the tuning.
        run: runs the jobs of a command in a folder.
        source: where the plan was read from, if it is not trusted.

    Returns:
        Runs that nobody trains, if this process has tried to and none has ended, as when somebody
        cancelled their jobs; if there are none, the search is complete.
    """
    known: Known = {}
    while True:
        runs: list[Path] = []
        free: list[Path] = []
        begin = partial(_begin, plan, folder, runs, free)
        run(search_command(plan, source), folder / SEARCH, begin, known)
        if free and not any(map(has_ended, free)) and (left := list(filter(is_untried, free))):
            return left
        complete = all(map(has_ended, runs))  # before it is asked, since others go on meanwhile
        if _add_points(plan, folder):
            continue
        if complete:
            return []
        _wait(runs)


def _run(command: Command, folder: Path, once_checked: OnceChecked, known: Known) -> None:
    jobs = checked_jobs(command, folder, known=known)
    once_checked([folder / job.subdir for job in jobs])
    launch(command, jobs, folder)


def _begin(
    plan: Plan, folder: Path, runs: list[Path], free: list[Path], checked: Sequence[Path]
) -> None:
    """Keep the plan of a new tuning, and note which of its runs there are, and which are free."""
    if not (folder / PLAN_FILE).exists():
        _keep_plan(plan, folder)
    runs.extend(checked)
    free.extend(filter(is_untried, checked))


def _wait(runs: Sequence[Path]) -> None:
    """Wait for runs that other processes train, until all have ended or one of them is free."""
    left = [run for run in runs if not has_ended(run)]
    if left:
        tell(f"{some(len(left), 'runs')} of the search are trained by other processes: waiting")
    while left and not any(map(is_untried, left)):
        time.sleep(POLL_SECONDS)
        left = [run for run in left if not has_ended(run)]


def _add_points(plan: Plan, folder: Path) -> bool:
    """Add the points to a plan that its sampler chooses by the results so far, if there are any.

    One process does so at a time, and takes over the points that others have added.
    """
    if plan.sampler != "optuna":
        return False
    before = {loss: len(points) for loss, points in plan.points.items()}
    with turn(folder / ASKING):
        _ask(plan, folder)
    return {loss: len(points) for loss, points in plan.points.items()} != before


def _ask(plan: Plan, folder: Path) -> None:
    saved = read_plan(folder)
    plan.points.update(saved["points"])
    spare = {
        loss: points_of(ranges, 2 * plan.budget, plan.defaults[loss])
        for loss, ranges in plan.ranges.items()
    }
    found = new_points(read_tuning(folder), plan.budget, spare)
    for loss, point in found.items():
        plan.points[loss].append(point)
    if found:  # the launcher may be of this process only
        content = json.dumps({**saved, "points": plan.points}, indent=2)
        replace_file(folder / PLAN_FILE, content.encode())


def _keep_plan(plan: Plan, folder: Path) -> None:
    """Write the plan into the folder of its tuning.

    Raises:
        UserError: if its sampler is not installed.
    """
    if plan.sampler == "optuna":
        require_optuna()
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / PLAN_FILE, json.dumps(asdict(plan), indent=2).encode())


def search_command(plan: Plan, source: Source | None = None) -> Command:
    """Return the command that tries all points on the tuning seeds."""
    quiet = [] if is_given(plan.overrides, "callbacks") else ["callbacks=quiet"]
    jobs = _jobs(plan, plan.points, plan.tuning_seeds)
    return _command([*plan.overrides, *quiet, "test=false"], jobs, source)


def final_command(plan: Plan, tuning: Tuning, source: Source | None = None) -> Command:
    """Return the command that runs the best point of each loss on the other seeds.

    Raises:
        UserError: if no run of the search finished.
    """
    winners = {loss: [dict(best.options)] for loss in plan.losses if (best := tuning.best(loss))}
    if not winners:
        raise UserError(f"no run of the search finished: see {tuning.folder / SEARCH}")
    return _command(plan.overrides, _jobs(plan, winners, plan.seeds), source)


def _command(overrides: list[str], jobs: list[list[str]], source: Source | None) -> Command:
    return Command([], overrides, multirun=True, resume=None, jobs=jobs, source=source)


def _jobs(
    plan: Plan, points: Mapping[str, Sequence[Mapping[str, Any]]], seeds: Sequence[int]
) -> list[list[str]]:
    """Return one job per loss, point and seed."""
    return [
        [*own, *(added_if_new(each, own) for each in settings(point)), f"seed={seed}"]
        for loss, tried in points.items()
        for own in [plan.options(loss)]
        for point in tried
        for seed in seeds
    ]


def _report(tuning: Tuning, folder: Path, run_folders: Sequence[Path]) -> int:
    collection = collect([folder / FINAL])
    if collection.runs:
        show(Console(), compare(collection), folder / "report", tuning)
    return show_unfinished(run_folders, f"{program('tune')} resume={folder}")
