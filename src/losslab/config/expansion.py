"""Expansion of a command line to the overrides of its jobs. Nothing imports torch."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import Glob, IntervalSweep

from losslab.config import compound, groups, schema
from losslab.config.compose import compose
from losslab.config.errors import UserError
from losslab.config.overrides import parsed, replaces

MOST_JOBS = 100_000
"""Largest number of jobs of a sweep."""


def values_of(override: Any) -> list[str]:
    """Return the value of an override, or the values that it sweeps over, as Hydra writes them.

    Raises:
        UserError: if it sweeps over none, or over numbers that cannot be listed.
    """
    value = override.value()
    if isinstance(value, Glob):
        found = value.filter(groups.names(override.key_or_group))
    elif isinstance(value, IntervalSweep):
        raise UserError(f"{override.input_line}: write choice(A,B) or range(A,B,STEP)")
    elif override.is_sweep_override():
        listed = itertools.islice(override.sweep_string_iterator(), MOST_JOBS + 1)
        found = [str(value) for value in listed]
        _require_few(len(found), override.input_line)
    else:
        found = [str(override.get_value_element_as_str())]
    if not found:
        raise UserError(f"{override.input_line} has no values, so there is nothing to run")
    return found


def complete(overrides: list[str]) -> list[str]:
    """Add the default loss and data of the task if none is given.

    Raises:
        UserError: if a choice or key is unknown.
    """
    given = list(overrides)
    known = parsed(given)
    chosen: dict[str, list[str]] = {}
    for override in known:
        if override.is_delete():
            continue
        if override.key_or_group in (*schema.GROUPS, "hydra"):
            chosen[override.key_or_group] = _choices_of(override)
    if "task" in chosen and "data" not in chosen and "loss" not in chosen:
        [only, *others] = chosen["task"]
        if others:
            raise UserError("a sweep over tasks has no default data and loss: add data= and loss=")
        given.append(f"data={groups.node('task', only).standard_data}")
    if "loss" not in chosen and "experiment" not in {o.key_or_group for o in known}:
        data = chosen.get("data", ["digits"])
        task = (
            chosen["task"][0]
            if "task" in chosen
            else groups.default_choice("data", data[0], "task")
        )
        if task:
            given.append(f"loss={groups.node('task', task).standard_loss}")
    elif "loss" not in chosen:
        given.append(f"loss={_loss_of_experiment(given)}")
    if "loss" in chosen and not {"data", "experiment"} & {o.key_or_group for o in known}:
        given += _default_data(chosen["loss"], chosen.get("task", ()), given)
    return _with_new_keys(given)


def _with_new_keys(overrides: Sequence[str]) -> list[str]:
    """Write components by their long names, and prefix keys that may be new."""
    given = compound.with_long_names(overrides)
    return [added_if_new(each, given) for each in given]


def _default_data(
    losses: Sequence[str], tasks: Sequence[str], overrides: Sequence[str]
) -> list[str]:
    """Return the choice of data for losses, if it is not that of each loss's own file."""
    if not tasks:
        common = compound.default_data(losses, overrides)
        return [f"data={common}"] if common else []
    if len(tasks) == 1 and any(groups.default_task(loss) != tasks[0] for loss in losses):
        return [f"data={groups.node('task', tasks[0]).standard_data}"]
    return []


def added_if_new(override: str, given: Sequence[str] = ()) -> str:
    """Prefix keys that may be new with ``++``, so that they can be typed without.

    These are options of a replaced ``_target_``, margins, and components of a sum of losses.

    Example:
        >>> added_if_new("loss.scale=3", ["loss._target_=my_losses.MyLoss", "loss.scale=3"])
        '++loss.scale=3'
    """
    group, dot, _ = override.partition("=")[0].partition(".")
    if override.startswith((f"{compound.OF}.", f"{compound.OF}=")):
        return f"++{compound.value_beside_options(override, given)}"
    if group == "within" and dot:
        return f"++{override}"
    own = dot and replaces(group, given) and not replaces(group, [override])
    return f"++{override}" if own and group in schema.REPLACEABLE else override


def _choices_of(override: Any) -> list[str]:
    """Return the names that an override chooses from its group.

    Raises:
        UserError: if the group does not have a name, or the names are a list.
    """
    group, names = override.key_or_group, values_of(override)
    if isinstance(override.value(), list):
        raise UserError(f"{group} takes one choice per run: write -m {group}={names[0][1:-1]}")
    for name in names:
        if name != "null" or group not in ("experiment", "debug"):
            groups.require_known(group, name)
    return names


def _loss_of_experiment(overrides: Sequence[str]) -> str:
    """Return the loss of the chosen experiment, or the default loss of its task."""
    names = set()
    for job in jobs_of(overrides):
        config = compose(job)
        names.add(config.hydra.runtime.choices.get("loss") or config.task.standard_loss)
    if len(names) > 1:
        raise UserError(
            f"the experiments have different losses, {' and '.join(sorted(names))}: add loss="
        )
    return str(names.pop())


def jobs_of_experiment(overrides: Sequence[str]) -> list[list[str]] | None:
    """Return the jobs that the chosen experiment lists under ``sweep``, one product per line.

    Returns:
        The overrides of each job; ``None`` if the experiment lists none, or if the command line
        sweeps over something itself.
    """
    known = parsed(overrides)
    chosen = [values_of(each) for each in known if each.key_or_group == "experiment"]
    if len(chosen) != 1 or any(each.is_sweep_override() for each in known):
        return None
    [name] = chosen[0]
    groups.require_known("experiment", name)
    lines = groups.node("experiment", name).get("sweep")
    if not lines:
        return None
    return [job for line in lines for job in jobs_of(_with_new_keys(line.split()))]


def jobs_of(overrides: Sequence[str]) -> list[list[str]]:
    """Return the overrides of each job of a sweep, in Hydra's order.

    Losses that are not sums get no components if others are sums.
    """
    columns = []
    for override in parsed(compound.with_long_names(overrides)):
        if override.is_sweep_override():
            key = override.get_key_element()
            columns.append([f"{key}={value}" for value in values_of(override)])
        else:
            columns.append([override.input_line])
    _require_few(math.prod(map(len, columns)), " ".join(overrides))
    return compound.without_components([list(job) for job in itertools.product(*columns)])


def _require_few(jobs: int, typed: str) -> None:
    if jobs > MOST_JOBS:
        raise UserError(f"{typed[:200]}: a sweep may have at most {MOST_JOBS} jobs")
