"""Equal tuning: the same number of points per loss, from the same sequence.

A tuning has three stages in one folder: ``search``, a sweep over the points on tuning seeds that
does not use the test split; ``final``, a sweep of the best points on other seeds; ``report``. An
interrupted tuning can be resumed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from losslab.analysis.comparison import compare
from losslab.analysis.load import collect
from losslab.analysis.power import needed_seeds
from losslab.analysis.search import (
    FINAL,
    LEARNING_RATE,
    SEARCH,
    Range,
    Tuning,
    read_tuning,
)
from losslab.config import groups
from losslab.config.command import Command, program
from losslab.config.compose import compose, values_of
from losslab.config.errors import UserError, resumable
from losslab.config.overrides import parsed
from losslab.config.past import translated_override
from losslab.config.user_code import use
from losslab.report.console import show
from losslab.runs.folder import PLAN_FILE, replace_file
from losslab.sweep import checked_jobs, launch, show_unfinished
from losslab.sweep_file import SWEEP_FILE

PROTOCOLS = ("controlled", "tuned")
TUNING_SEEDS = [1000, 1001, 1002]
SOBOL_SEED = 0


@dataclass(frozen=True)
class Plan:
    """Plan of a tuning."""

    protocol: str
    budget: int
    losses: list[str]
    tuning_seeds: list[int]
    seeds: list[int]
    overrides: list[str]
    """Overrides that all runs share."""
    ranges: dict[str, dict[str, Any]]
    """Ranges by loss and option, as declared in conf/."""
    points: dict[str, list[dict[str, Any]]]
    """Options of each point, by loss."""


def run_tuning(arguments: Sequence[str]) -> int:
    """Tune as the arguments describe, or resume with ``resume=FOLDER``; return the exit code.

    Raises:
        UserError: if the arguments are invalid.
    """
    if any(argument.startswith("resume=") for argument in arguments):
        if len(arguments) > 1:
            raise UserError("resume=FOLDER continues the saved plan: remove the other arguments")
        folder = Path(arguments[0].removeprefix("resume="))
        if not (folder / PLAN_FILE).is_file():
            raise UserError(f"{folder} is not a tuning folder: it has no {PLAN_FILE}")
        plan = Plan(**json.loads((folder / PLAN_FILE).read_text()))
        plan.overrides[:] = map(translated_override, plan.overrides)
        use(plan.overrides)  # the plan's config folders
        with resumable(f"{program('tune')} resume={folder}"):
            return tune(plan, folder)
    plan = parse_plan(arguments)
    log_dir = Path(compose([*plan.overrides, f"loss={plan.losses[0]}"]).paths.log_dir)
    folder = log_dir / "tuning" / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
    with resumable(f"{program('tune')} resume={folder}"):
        return tune(plan, folder)


def tune(plan: Plan, folder: Path) -> int:
    """Search, run the best points on other seeds and report; return the exit code."""
    search, final = folder / SEARCH, folder / FINAL
    if not (final / SWEEP_FILE).is_file():
        _search(plan, folder, search)
    tuning = read_tuning(folder)
    winners = {loss: [dict(best.options)] for loss in plan.losses if (best := tuning.best(loss))}
    if not winners:
        raise UserError(f"no run of the search finished: see {search}")
    command = _command(plan.overrides, _jobs(plan, winners, plan.seeds))
    run_folders = launch(command, checked_jobs(command, final), final)
    return _report(tuning, folder, run_folders)


def _search(plan: Plan, folder: Path, search: Path) -> None:
    quiet = [] if _is_given(plan.overrides, "callbacks") else ["callbacks=quiet"]
    jobs = _jobs(plan, plan.points, plan.tuning_seeds)
    command = _command([*plan.overrides, *quiet, "test=false"], jobs)
    checked = checked_jobs(command, search)
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / PLAN_FILE, json.dumps(asdict(plan), indent=2).encode())
    print(f"tuning folder: {folder}", flush=True)
    launch(command, checked, search)


def _command(overrides: list[str], jobs: list[list[str]]) -> Command:
    return Command(flags=[], overrides=overrides, multirun=True, resume=None, jobs=jobs)


def _jobs(
    plan: Plan, points: Mapping[str, Sequence[Mapping[str, Any]]], seeds: Sequence[int]
) -> list[list[str]]:
    """Return one job per loss, point and seed."""
    return [
        [f"loss={loss}", *(f"{key}={_text(value)}" for key, value in point.items()), f"seed={seed}"]
        for loss, tried in points.items()
        for point in tried
        for seed in seeds
    ]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _report(tuning: Tuning, folder: Path, run_folders: Sequence[Path]) -> int:
    collection = collect([folder / FINAL])
    if collection.runs:
        show(Console(), compare(collection), folder / "report", tuning)
    return show_unfinished(run_folders, f"{program('tune')} resume={folder}")


# --- arguments ------------------------------------------------------------------------------------


def parse_plan(arguments: Sequence[str]) -> Plan:
    """Create a plan from the arguments.

    Args:
        arguments: ``loss=a,b``, ``protocol=``, ``budget=``, ``seeds=``, ``tuning_seeds=``, and any
            overrides that all runs share.

    Raises:
        UserError: if an argument is missing, unknown or contradictory.
    """
    own: dict[str, list[str]] = {}
    overrides = []
    for override in parsed(arguments):
        key = override.key_or_group
        if key in ("loss", "protocol", "budget", "seeds", "tuning_seeds"):
            own[key] = values_of(override)
        elif override.is_sweep_override():
            raise UserError(
                f"{override.input_line} has several values, but only options of the losses and "
                "the learning rate are tuned: give one value"
            )
        elif key in ("seed", "test"):
            raise UserError(f"{key}= is set by the tuning: use seeds= and tuning_seeds=")
        else:
            overrides.append(override.input_line)
    if "loss" not in own:
        raise UserError("no losses given: add loss=cross_entropy,focal")
    losses = own["loss"]
    for loss in losses:
        groups.require_known("loss", loss)
    protocol = _single_value(own, "protocol", "controlled")
    if protocol not in PROTOCOLS:
        raise UserError(f"protocol must be {' or '.join(PROTOCOLS)}, got {protocol}")
    budget = _whole_numbers([_single_value(own, "budget", "20")], "budget")[0]
    if budget < 1:
        raise UserError(f"budget must be at least 1, got {budget}")
    pairs = len(losses) * (len(losses) - 1) // 2
    tuning_seeds = _whole_numbers(
        own.get("tuning_seeds", list(map(str, TUNING_SEEDS))), "tuning_seeds"
    )
    seeds = _whole_numbers(
        own.get("seeds", list(map(str, range(needed_seeds(max(1, pairs)))))), "seeds"
    )
    common = sorted(set(seeds) & set(tuning_seeds))
    if common:
        raise UserError(
            f"seeds and tuning_seeds must not overlap, but both have {', '.join(map(str, common))}"
        )
    ranges = {loss: _ranges(loss, protocol, overrides) for loss in losses}
    points = {loss: sobol_points(ranges[loss], budget) for loss in losses}
    return Plan(protocol, budget, losses, tuning_seeds, seeds, overrides, ranges, points)


def _single_value(own: Mapping[str, list[str]], key: str, standard: str) -> str:
    [value, *others] = own.get(key, [standard])
    if others:
        raise UserError(f"{key} must be one value, got {', '.join([value, *others])}")
    return value


def _whole_numbers(values: Sequence[str], key: str) -> list[int]:
    try:
        numbers = [int(value) for value in values]
    except ValueError:
        raise UserError(f"{key} must be whole numbers, got {', '.join(values)}") from None
    if len(set(numbers)) < len(numbers):
        raise UserError(f"{key} must differ, got {', '.join(values)}")
    return numbers


def _is_given(overrides: Sequence[str], key: str) -> bool:
    return any(each.lstrip("+").startswith(f"{key}=") for each in overrides)


def _ranges(loss: str, protocol: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the ranges of a loss, learning rate first, except options that the overrides set."""
    declared: dict[str, Any] = {}
    if protocol == "tuned":
        optimizer = compose([f"loss={loss}", *overrides]).hydra.runtime.choices.optimizer
        found = groups.tunable("optimizer", optimizer) or {}
        if "lr" not in found:
            raise UserError(
                f"conf/optimizer/{optimizer}.yaml must declare a range of lr under tuning:"
            )
        declared[LEARNING_RATE] = found["lr"]
    own = groups.tunable("loss", loss) or {}
    declared |= {f"loss.{name}": content for name, content in own.items()}
    return {key: content for key, content in declared.items() if not _is_given(overrides, key)}


def sobol_points(ranges: Mapping[str, Any], budget: int) -> list[dict[str, Any]]:
    """Return up to ``budget`` points of a scrambled Sobol sequence over the ranges.

    All losses get the same points of the unit cube, in as many dimensions as they have options; a
    loss without options has one point.

    Raises:
        UserError: if a range is invalid.
    """
    try:
        declared = {key: Range.declared(key, content) for key, content in ranges.items()}
    except ValueError as error:
        raise UserError(str(error)) from error
    if not declared:
        return [{}]
    from scipy.stats import qmc  # noqa: PLC0415 (a second that resuming does not need)

    sequence = qmc.Sobol(DIMENSIONS, scramble=True, rng=SOBOL_SEED)
    if len(declared) > DIMENSIONS:
        raise UserError(f"at most {DIMENSIONS} options can be tuned, got {', '.join(declared)}")
    # Sobol sequences are balanced for powers of 2
    cube = sequence.random_base2(max(1, (budget - 1).bit_length()))[:budget]
    points = [
        {key: each.value(unit) for (key, each), unit in zip(declared.items(), row, strict=False)}
        for row in cube
    ]
    return [point for index, point in enumerate(points) if point not in points[:index]]


DIMENSIONS = 16
"""Dimension of the unit cube, fixed so that a loss's points do not depend on how many it uses."""
