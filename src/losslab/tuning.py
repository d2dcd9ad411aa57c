"""Equal tuning: the same number of points per loss, from the same sequence.

A tuning has three stages in one folder: ``search``, a sweep over the points on tuning seeds that
does not use the test split; ``final``, a sweep of the best points on other seeds; ``report``. An
interrupted tuning can be resumed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from losslab.analysis.comparison import compare
from losslab.analysis.load import collect
from losslab.analysis.ranges import settings
from losslab.analysis.search import FINAL, SEARCH, Tuning, read_plan, read_tuning
from losslab.config.command import Command, program, split_trust
from losslab.config.compose import added_if_new, compose
from losslab.config.errors import UserError, resumable
from losslab.config.overrides import is_given
from losslab.config.past import translated_override
from losslab.config.trust import Source, admit, require_harmless_jobs
from losslab.config.user_code import use
from losslab.report.console import show
from losslab.runs.disk import writing_to
from losslab.runs.files import advising
from losslab.runs.folder import PLAN_FILE, SWEEP_FILE, replace_file
from losslab.sweep import checked_jobs, launch, show_unfinished
from losslab.sweep_file import read_code_dirs
from losslab.tuning_plan import Plan, jobs_of_losses, parse_plan, points_of
from losslab.tuning_sampler import new_points, require_optuna
from losslab.tuning_split import with_unseen_test


def run_tuning(arguments: Sequence[str]) -> int:
    """Tune as the arguments describe, or resume with ``resume=FOLDER``; return the exit code.

    Raises:
        UserError: if the arguments are invalid.
    """
    trust, arguments = split_trust(arguments)
    if any(argument.startswith("resume=") for argument in arguments):
        if len(arguments) > 1:
            raise UserError("resume=FOLDER continues the saved plan: remove the other arguments")
        folder = Path(arguments[0].removeprefix("resume="))
        if not (folder / PLAN_FILE).exists():
            raise UserError(f"{folder} is not a tuning folder: it has no {PLAN_FILE}")
        plan = _saved_plan(folder)
        plan.overrides[:] = map(translated_override, plan.overrides)
        code = read_code_dirs(folder / SEARCH)
        source = None if trust else Source(folder, code)
        if source is not None:
            jobs = [*_jobs(plan, plan.points, plan.tuning_seeds), plan.overrides]
            require_harmless_jobs(jobs, [], source)
        use(plan.overrides)  # the plan's config folders
        admit([], code, trust=trust)
        with resumable(f"{program('tune')} resume={folder}"), writing_to(folder):
            return tune(plan, folder, source)
    if trust:
        raise UserError("trust=true is about the configs of a folder: add resume=FOLDER")
    plan = with_unseen_test(parse_plan(arguments))
    log_dir = Path(compose(jobs_of_losses(plan.losses, plan.overrides)[0]).paths.log_dir)
    folder = log_dir / "tuning" / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
    with resumable(f"{program('tune')} resume={folder}"), writing_to(folder):
        return tune(plan, folder)


def _saved_plan(folder: Path) -> Plan:
    with advising("restore the file, or tune again in a new folder"):
        return Plan(**read_plan(folder))


def tune(plan: Plan, folder: Path, source: Source | None = None) -> int:
    """Search, run the best points on other seeds and report; return the exit code.

    Args:
        plan: the plan.
        folder: folder of the tuning.
        source: where the plan was read from, if it is not trusted.
    """
    search, final = folder / SEARCH, folder / FINAL
    if not (final / SWEEP_FILE).is_file():
        _search(plan, folder, search, source)
    tuning = read_tuning(folder)
    winners = {loss: [dict(best.options)] for loss in plan.losses if (best := tuning.best(loss))}
    if not winners:
        raise UserError(f"no run of the search finished: see {search}")
    command = _command(plan.overrides, _jobs(plan, winners, plan.seeds), source)
    run_folders = launch(command, checked_jobs(command, final), final)
    return _report(tuning, folder, run_folders)


def _search(plan: Plan, folder: Path, search: Path, source: Source | None) -> None:
    if plan.sampler == "optuna":
        require_optuna()
    _try_points(plan, folder, search, source)
    while plan.sampler == "optuna":
        spare = {
            loss: points_of(ranges, 2 * plan.budget, plan.defaults[loss])
            for loss, ranges in plan.ranges.items()
        }
        found = new_points(read_tuning(folder), plan.budget, spare)
        if not found:
            break
        for loss, point in found.items():
            plan.points[loss].append(point)
        _try_points(plan, folder, search, source)


def _try_points(plan: Plan, folder: Path, search: Path, source: Source | None) -> None:
    """Train the points of a plan that were not trained, after writing it."""
    quiet = [] if is_given(plan.overrides, "callbacks") else ["callbacks=quiet"]
    jobs = _jobs(plan, plan.points, plan.tuning_seeds)
    command = _command([*plan.overrides, *quiet, "test=false"], jobs, source)
    checked = checked_jobs(command, search)
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / PLAN_FILE, json.dumps(asdict(plan), indent=2).encode())
    if not (search / SWEEP_FILE).is_file():
        print(f"tuning folder: {folder}", flush=True)
    launch(command, checked, search)


def _command(overrides: list[str], jobs: list[list[str]], source: Source | None) -> Command:
    return Command([], overrides, multirun=True, resume=None, jobs=jobs, source=source)


def _jobs(
    plan: Plan, points: Mapping[str, Sequence[Mapping[str, Any]]], seeds: Sequence[int]
) -> list[list[str]]:
    """Return one job per loss, point and seed."""
    return [
        [f"loss={loss}", *map(added_if_new, settings(point)), f"seed={seed}"]
        for loss, tried in points.items()
        for point in tried
        for seed in seeds
    ]


def _report(tuning: Tuning, folder: Path, run_folders: Sequence[Path]) -> int:
    collection = collect([folder / FINAL])
    if collection.runs:
        show(Console(), compare(collection), folder / "report", tuning)
    return show_unfinished(run_folders, f"{program('tune')} resume={folder}")
