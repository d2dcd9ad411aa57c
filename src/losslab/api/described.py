"""Options of the command line that describe what was given in Python."""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from numbers import Integral
from pathlib import Path
from typing import Any, get_args

from losslab.api.choices import Losses, loss_options, model_options
from losslab.api.engine import Engine
from losslab.api.samples import data_options
from losslab.config import groups
from losslab.config.errors import UserError
from losslab.config.expansion import complete
from losslab.config.overrides import parsed
from losslab.runs.folder import PLAN_FILE, SWEEP_FILE

ARGUMENTS = ("seed", "loss", "data")
"""What is given as an argument, and not as an option of all runs."""


def described(
    folder: Path,
    *,
    losses: Losses,
    data: Any,
    target: str | Sequence[str] | None,
    model: Any,
    task: str | None,
    options: str | Sequence[str],
    baseline: str | None = None,
    metrics: Sequence[str] = (),
    within: Mapping[str, float] | None = None,
    max_epochs: int | None = None,
    optimizer: str | None = None,
    lr: float | None = None,
) -> tuple[list[str], dict[str, list[str]]]:
    """Return the options that all runs share, and those of each loss by its label.

    For the arguments see :func:`losslab.compare`; data are written to the folder.

    Raises:
        UserError: if one is unknown.
    """
    options = names(options)
    for option in parsed(options):
        if option.is_sweep_override():
            raise UserError(
                f"{option.input_line} has several values, but all runs share options: call it for "
                "each of them"
            )
        if option.get_key_element() in ARGUMENTS:
            raise UserError(
                f"{option.input_line} is not an option of all runs: give it as an argument"
            )
    for group, name in (("task", task), ("optimizer", optimizer)):
        _require_choice(group, name)
    asked = {"trainer.max_epochs": max_epochs, "optimizer": optimizer, "optimizer.lr": lr}
    asked |= {f"within.{name}": margin for name, margin in margins(within).items()}
    shared = [
        *data_options(data, target, task, folder, model, options),
        *model_options(model),
        *(f"{key}={value}" for key, value in asked.items() if value is not None),
        *options,
    ]
    task_node = groups.node("task", _task_of(shared))
    require_known("metric", metrics, task_node.metrics)
    chosen = loss_options(losses, str(task_node.standard_loss))
    require_known("baseline", [baseline] if baseline else [], list(chosen))
    return shared, chosen


def completed(shared: Sequence[str], own: Sequence[str]) -> tuple[list[str], list[str]]:
    """Let options of a replaced ``_target_`` be typed without +, of all jobs and of one loss."""
    found = complete([*shared, *own])
    return found[: len(shared)], found[len(shared) : len(shared) + len(own)]


def new_folder(kind: str) -> Path:
    """Return a new folder for runs, by default where the command line has them."""
    return Path("logs", kind, f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}")


def names(given: str | Sequence[str]) -> list[str]:
    """Return one or several texts as a list."""
    return [given] if isinstance(given, str) else list(given)


def margins(within: Mapping[str, float] | None) -> dict[str, float]:
    """Return the differences that do not matter, by metric.

    Raises:
        UserError: if they are not a mapping.
    """
    if not isinstance(within, Mapping | None):
        raise UserError(f'within must be like {{"accuracy": 0.005}}, got {within!r:.60}')
    return dict(within or {})


def seed_list(seeds: int | Iterable[int], name: str = "seeds", first: int = 0) -> list[int]:
    """Return a number of seeds from the first on, or the seeds, as a list.

    Raises:
        UserError: if there is none, or one is not a number.
    """
    if isinstance(seeds, Integral):
        found = list(range(first, first + int(seeds)))
    else:
        found = list(seeds) if isinstance(seeds, Iterable) else []
    if not found or not all(isinstance(seed, Integral) for seed in found):
        raise UserError(f"{name} must be a number of seeds or a list of them, got {seeds!r}")
    return [int(seed) for seed in found]


def require_new(folder: Path, engine: str) -> None:
    """Check that a folder has no comparison yet, and that there is such an engine.

    Raises:
        UserError: otherwise.
    """
    if any((folder / name).exists() for name in (SWEEP_FILE, PLAN_FILE)):
        raise UserError(f'{folder} has a comparison: losslab.load("{folder}").extend(seeds=...)')
    if folder.exists() and not folder.is_dir():
        raise UserError(f"folder must be a folder, got the file {folder}")
    if engine not in get_args(Engine):
        raise UserError(
            f"engine must be {' or '.join(map(repr, get_args(Engine)))}, got {engine!r}"
        )


@contextmanager
def removed_if_refused(folder: Path) -> Iterator[None]:
    """Remove a new folder if what it is for is refused before a run begins."""
    is_new = not folder.exists()
    try:
        yield
    except UserError:
        if is_new and not any((folder / name).exists() for name in (SWEEP_FILE, PLAN_FILE)):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _require_choice(group: str, name: str | None) -> None:
    if name is not None and not isinstance(name, str):
        raise UserError(f"{group} must be a name in conf/, got {name!r:.60}")
    if name is not None:
        groups.require_known(group, name)


def _task_of(options: Sequence[str]) -> str:
    """Return the task that options choose, or that of their data."""
    chosen = {key: value for key, _, value in (each.partition("=") for each in options)}
    return chosen.get("task") or str(groups.default_choice("data", chosen["data"], "task"))


def require_known(kind: str, given: Sequence[str], known: Sequence[str]) -> None:
    """Check that names are known.

    Raises:
        UserError: if one is not; it names the nearest.
    """
    for name in given:
        if name not in known:
            raise UserError(groups.unknown(kind, name, known))
