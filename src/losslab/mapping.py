"""Maps: which loss is best where, over two options (``losslab map``).

A map is a sweep over its losses, its two axes and its seeds, in a folder with ``map.json`` beside
``sweep.json``: it is resumed, divided into units and launched as any sweep. It is drawn from the
runs that are done, by :mod:`losslab.analysis.loss_map`.
"""

from collections.abc import Sequence
from pathlib import Path

from losslab.analysis.power import needed_seeds
from losslab.config.command import Command, parse, program, split_own
from losslab.config.errors import UserError
from losslab.config.jobs import Composed
from losslab.config.overrides import parsed
from losslab.job_checks import checked_jobs
from losslab.map_cost import estimated_seconds
from losslab.map_plan import OWN, MapPlan, parse_map, seeds_of
from losslab.metrics.labels import some
from losslab.report.run_table import duration
from losslab.resume import continued
from losslab.runs.disk import writing_to
from losslab.runs.files import advising
from losslab.runs.map_file import MAP_FILE, SavedMap, read_map, write_map
from losslab.sweep import train_sweep
from losslab.sweep_output import DONE, compared
from losslab.work import planned_units, show_outcome


def run_map(arguments: Sequence[str], *, dry_run: bool = False) -> int:
    """Make the map that the arguments describe, or resume one; return the exit code.

    Args:
        arguments: those of :func:`~losslab.map_plan.parse_map`, or ``resume=FOLDER``.
        dry_run: whether to say only what it takes.

    Raises:
        UserError: if an argument is invalid.
    """
    if any(argument.startswith("resume=") for argument in arguments):
        return _resume(arguments)
    plan = parse_map(arguments)
    print(_size(plan.saved), flush=True)
    jobs = checked_jobs(plan.command)
    print(_cost(plan), flush=True)
    if dry_run:
        return DONE
    folder = jobs[0].sweep_dir
    with writing_to(folder):
        write_map(folder, plan.saved)
    return _train(plan.command, jobs, folder)


def redraw(folder: Path) -> int:
    """Draw a map from its runs that are done, and say which are not; return the exit code."""
    _saved(folder)
    with writing_to(folder):
        show_map(folder)
    return show_outcome(folder, planned_units(folder))


def show_map(folder: Path) -> None:
    """Print what a map says, and write its files."""
    from losslab.analysis.loss_map import loss_map  # noqa: PLC0415 (matplotlib, after training)
    from losslab.analysis.map_answer import answer, caveats, how_sure  # noqa: PLC0415
    from losslab.report.loss_map import write_loss_map  # noqa: PLC0415

    comparison = compared(folder)
    if comparison is None:
        print(f"no runs to draw yet in {folder}")
        return
    try:
        found = loss_map(comparison, _saved(folder))
    except ValueError as error:
        raise UserError(f"{folder}: {error}") from error
    print("\n".join([answer(found), *caveats(found), f"How sure: {how_sure(found)}."]))
    for path in write_loss_map(found, folder):
        print(f"map: {path}")
    print(f"all tables: losslab report {folder}")


def _resume(arguments: Sequence[str]) -> int:
    """Train what is left of a map, and its further seeds."""
    own, others = split_own(arguments, OWN, "map")
    command = parse(others)
    folder = command.resume
    assert folder is not None
    saved = _saved(folder)
    keys = {each.key_or_group for each in parsed(command.overrides)} | own.keys()
    for key in sorted(keys & {"loss", "x", "y", saved.x.key, saved.y.key, "seed"}):
        instead = "use seeds=" if key == "seed" else "start a new map for others"
        raise UserError(f"resume=FOLDER continues the map as it is: remove {key}=, or {instead}")
    if "seeds" in own:
        saved = saved.with_seeds(seeds_of(own["seeds"]))
        command.overrides.append(f"seed={','.join(map(str, saved.seeds))}")
    command, earlier = continued(command)
    jobs = checked_jobs(command, folder, earlier)
    with writing_to(folder):
        write_map(folder, saved)
    return _train(command, jobs, folder, earlier)


def _train(
    command: Command, jobs: Sequence[Composed], folder: Path, earlier: Sequence[Command] = ()
) -> int:
    """Train the runs that are not done, and draw the map."""
    later = [f"to draw the map: losslab map {folder}"]
    return train_sweep(command, jobs, folder, earlier, program("map"), show_map, later=later)


def _saved(folder: Path) -> SavedMap:
    """Read the file of a map.

    Raises:
        UserError: if the folder is not that of a map, or the file is damaged.
    """
    try:
        with advising("restore it; losslab report compares the runs without it"):
            return read_map(folder)
    except FileNotFoundError:
        raise UserError(f"{folder} is not the folder of a map: it has no {MAP_FILE}") from None


def _size(saved: SavedMap) -> str:
    """Return how many cells, seeds and runs a map has, and whether its seeds are enough."""
    x, y, needed = saved.x, saved.y, needed_seeds(saved.comparisons)
    count = len(saved.seeds)
    lines = [
        f"map: {len(x.values)} x {len(y.values)} cells ({x.label}, {y.label}), "
        f"{len(saved.losses)} losses, {some(count, 'seeds')}: {saved.runs:,} runs",
        f"needed: {needed} seeds or more for {some(saved.comparisons, 'comparisons')}, since the "
        f"smallest p-value of sign flips with n seeds is 2^(1-n)",
    ]
    if count < needed:
        lines.append(
            f"with {some(count, 'seeds')}, no cell can be established if each seed draws new data"
        )
    return "\n".join(lines)


def _cost(plan: MapPlan) -> str:
    seconds = estimated_seconds(plan)
    if seconds is None:
        return "estimated cost: unknown, since trials of a few cells did not finish"
    return f"estimated cost: {duration(seconds)} of processor time"
