"""Losses that fit data and task, for sweeps over several of them."""

import re
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import Glob
from omegaconf import DictConfig

from losslab.config import declared, groups, schema
from losslab.config.command import split_flags
from losslab.config.errors import UserError
from losslab.config.expansion import jobs_of, values_of
from losslab.config.instantiate import target_of
from losslab.config.jobs import compose_jobs
from losslab.config.overrides import parsed
from losslab.config.source import NotInSource
from losslab.torch_import import import_torch

Job = list[str]


def with_losses(arguments: list[str]) -> list[str]:
    """Replace ``loss=glob(...)`` by the matching losses that fit the other arguments.

    Without ``data=``, ``task=`` and ``experiment=``, the data are the usual ones, if they are the
    default of one of the losses, and else those of the first loss.

    Raises:
        UserError: if no loss matches, or none fits.
    """
    _, overrides = split_flags(arguments)
    pattern = next((each for each in parsed(overrides) if _is_glob(each)), None)
    if pattern is None:
        return arguments
    names = values_of(pattern)
    others = [each for each in overrides if each != pattern.input_line]
    added = _default_data(names, others)
    jobs = _jobs([*others, *added])
    refusals = _refusals(names, jobs)
    fitting = [name for name in names if name not in refusals]
    if not fitting:
        raise UserError(f"{pattern.input_line}: {next(iter(refusals.values()))}")
    if refusals:
        print(f"{pattern.input_line}: left out, since they do not fit: {', '.join(refusals)}")
    losses = f"loss={','.join(fitting)}"
    return [losses if each == pattern.input_line else each for each in arguments] + added


def _is_glob(override: Any) -> bool:
    return override.key_or_group == "loss" and isinstance(override.value(), Glob)


def _default_data(losses: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return the choice of data for a sweep over losses whose other arguments choose none."""
    given = {each.key_or_group: each for each in parsed(others)}
    if "data" in given or "experiment" in given:
        return []
    if "task" in given:
        task = values_of(given["task"])[0]
        groups.require_known("task", task)
        return [f"data={groups.node('task', task).standard_data}"]
    found = [groups.default_data(loss) for loss in losses]
    usual = groups.standard("data")
    data = usual if usual in found else next(filter(None, found), usual)
    return [f"data={data}"]


def _jobs(overrides: Sequence[str]) -> list[Job]:
    """Return the jobs of the other arguments without seeds and what does not configure a run."""
    keys = [re.split("[=./@]", each.lstrip("+~"))[0] for each in overrides]
    return jobs_of(
        [
            each
            for each, key in zip(overrides, keys, strict=True)
            if key in schema.TOP_LEVEL and key not in ("seed", "resume", "hydra")
        ]
    )


def _refusals(losses: Sequence[str], jobs: Sequence[Job]) -> dict[str, str]:
    """Return why losses do not fit the jobs, by loss; those that fit are left out."""
    refusals: dict[str, str] = {}
    for job in jobs:
        task = None
        for loss in losses:
            if loss in refusals:
                continue
            try:
                config = _fitting(loss, job)
                task = task or _task(config)
                _require_format(config, task)
            except UserError as error:
                refusals[loss] = str(error)
    return refusals


def _fitting(loss: str, job: Job) -> DictConfig:
    """Compose a job with a loss, and check that it fits the task.

    Raises:
        UserError: if it does not.
    """
    [composed] = compose_jobs([[*job, f"loss={loss}"]])
    config = composed.config
    given = {each.partition("=")[0] for each in job}
    usual = groups.default_choice("data", config.choices.data, "task")
    if not {"task", "experiment"} & given and usual not in (None, config.choices.task):
        raise UserError(
            f"loss={loss} is for task={config.choices.task}, but data={config.choices.data} for "
            f"task={usual}"
        )
    try:
        declared.require_fit(config)
    except NotInSource:
        import_torch()
        from losslab.target_formats import require_fit  # noqa: PLC0415 (torch)

        require_fit(config)
    return config


def _task(config: DictConfig) -> Any:
    """Return the task of a config with its data, which decide which formats it provides."""
    import_torch()
    from losslab.components import built_task  # noqa: PLC0415 (torch)

    return built_task(config)


def _require_format(config: DictConfig, task: Any) -> None:
    """Check that the loss accepts a target format of the task.

    Raises:
        UserError: if it does not.
    """
    from losslab.target_formats import matching_format  # noqa: PLC0415 (torch)

    matching_format(config, target_of(config.loss, "loss"), task.provides)


def data_for_all(losses: Sequence[str]) -> list[str]:
    """Return the losses' default data whose task fits all of the losses."""
    candidates = dict.fromkeys(data for data in map(groups.default_data, losses) if data)
    fitting = []
    for data in candidates:
        try:
            for loss in losses:
                _fitting(loss, [f"data={data}"])
        except UserError:
            continue
        fitting.append(data)
    return fitting
