"""Plan of a tuning: its arguments, and the points that are tried."""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from losslab.analysis.power import needed_seeds
from losslab.analysis.ranges import Range
from losslab.analysis.search import LEARNING_RATE, STARTUP
from losslab.config import groups, schema
from losslab.config.command import refuse_dashes
from losslab.config.compose import compose
from losslab.config.compound import WEIGHT, with_weights, without_components
from losslab.config.errors import UserError
from losslab.config.expansion import complete, values_of
from losslab.config.instantiate import target_of
from losslab.config.overrides import is_given, parsed, require_distinct
from losslab.config.values import SEED
from losslab.fitting import with_losses
from losslab.tuning_sampler import require_optuna

PROTOCOLS = ("controlled", "tuned")
SAMPLERS = ("sobol", "optuna")
OWN = ("loss", "protocol", "sampler", "budget", "seeds", "tuning_seeds")
"""Arguments of the tuning itself; others are overrides that all runs share."""
TUNING_SEEDS = [1000, 1001, 1002]
SOBOL_SEED = 0
DIMENSIONS = 16
"""Dimension of the unit cube, fixed so that a loss's points do not depend on how many it uses."""


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
    """Options of each point, by loss; the first point is the default setting."""
    defaults: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Options of the default setting, by loss; empty in plans of version 0.1."""
    test_split_seed: int | None = None
    """Seed of the test split, if it was set so that the search does not see it."""
    test_samples: int | None = None
    """Number of samples that the final runs are tested on; ``None`` if seeds draw new samples."""
    sampler: str = "sobol"
    """What chooses the points; with ``optuna``, the plan grows during the search."""
    overlap: int | None = None
    """How many of these are in training or validation splits of the search."""
    chosen: dict[str, list[str]] = field(default_factory=dict)
    """Overrides that choose a loss, by its label, if they are more than ``loss=LABEL``."""
    own_ranges: list[str] = field(default_factory=list)
    """Losses whose ranges were given in Python, instead of those that conf/ declares."""

    def options(self, loss: str) -> list[str]:
        """Return the overrides that choose a loss."""
        return self.chosen.get(loss, [f"loss={loss}"])

    def jobs(self) -> list[list[str]]:
        """Return the overrides of the job of each loss, with its default options."""
        return jobs_of_losses(list(map(self.options, self.losses)), self.overrides)


def parse_plan(arguments: Sequence[str]) -> Plan:
    """Create a plan from the arguments.

    Args:
        arguments: ``loss=a,b``, ``protocol=``, ``budget=``, ``seeds=``, ``tuning_seeds=``, and any
            overrides that all runs share.

    Raises:
        UserError: if an argument is missing, unknown or contradictory.
    """
    own, overrides = _split_arguments(with_losses(list(arguments)))
    if "loss" not in own:
        raise UserError("no losses given: add loss=cross_entropy,focal")
    losses = own["loss"]
    for loss in losses:
        groups.require_known("loss", loss)
    if len(set(losses)) < len(losses):
        raise UserError(f"losses must differ, got {', '.join(losses)}")
    protocol = _single_value(own, "protocol", "controlled")
    sampler = _single_value(own, "sampler", "sobol")
    [budget] = whole_numbers([_single_value(own, "budget", "20")], "budget")
    require_search(protocol, sampler, budget, "budget")
    tuning_seeds, seeds = _seeds(own, len(losses))
    _, *overrides = complete([f"loss={','.join(losses)}", *overrides])
    plan = Plan(protocol, budget, losses, tuning_seeds, seeds, overrides, {}, {}, sampler=sampler)
    return planned(plan)


def planned(plan: Plan) -> Plan:
    """Return a plan with the ranges, default settings and points of its losses.

    Raises:
        UserError: if a job cannot be composed, or a range is invalid.
    """
    first = STARTUP if plan.sampler == "optuna" else plan.budget
    ranges: dict[str, dict[str, Any]] = {}
    defaults: dict[str, dict[str, Any]] = {}
    for loss, job in zip(plan.losses, plan.jobs(), strict=True):
        config = compose(job)
        own = _declared(loss, plan)
        ranges[loss] = _ranges(own, plan.protocol, [*plan.overrides, *plan.options(loss)], config)
        defaults[loss] = _defaults(ranges[loss], config)
    points = {loss: points_of(ranges[loss], first, defaults[loss]) for loss in plan.losses}
    return replace(plan, ranges=ranges, defaults=defaults, points=points)


def require_search(protocol: str, sampler: str, budget: int, name: str) -> None:
    """Check how the points of a search are chosen, and how many there are.

    Args:
        protocol: what is tuned.
        sampler: what chooses the points.
        budget: number of points per loss.
        name: what the number is called.

    Raises:
        UserError: if one is out of range, or optuna is asked for and not installed.
    """
    for key, given, known in (("protocol", protocol, PROTOCOLS), ("sampler", sampler, SAMPLERS)):
        if given not in known:
            raise UserError(f"{key} must be {' or '.join(known)}, got {given}")
    if not isinstance(budget, int) or budget < 1:
        raise UserError(f"{name} must be a whole number >= 1, got {budget!r}")
    if sampler == "optuna" and budget <= STARTUP:
        raise UserError(
            f"sampler=optuna chooses after {STARTUP} points: give more {name}, got {budget}"
        )
    if sampler == "optuna":
        require_optuna()


def jobs_of_losses(losses: Sequence[Sequence[str]], overrides: Sequence[str]) -> list[list[str]]:
    """Return the overrides of the job of each loss, which is given by its own."""
    return without_components([[*overrides, *own] for own in losses])


# --- arguments ------------------------------------------------------------------------------------


def _split_arguments(arguments: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the values of the tuning's own arguments, and the overrides that all runs share."""
    refuse_dashes(arguments, OWN, "tune")
    own: dict[str, list[str]] = {}
    overrides = []
    for override in parsed(arguments):
        key = override.key_or_group
        if key in own:
            raise UserError(f"{key} is given twice: write {key}=A,B for several values")
        if key in OWN:
            own[key] = values_of(override)
            continue
        _require_shared(override)
        overrides.append(override.input_line)
    require_distinct(overrides)
    return own, overrides


def _require_shared(override: Any) -> None:
    """Check that an argument is an override that all runs can share."""
    key = override.key_or_group
    known = dict.fromkeys((*OWN, *schema.TOP_LEVEL))
    if re.split("[./]", key)[0] not in known:
        near = groups.nearest_keys(key, known)
        advice = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
        raise UserError(f"unknown argument {key}: {advice}")
    if key in ("seed", "test"):
        raise UserError(f"{key}= is set by the tuning: use seeds= and tuning_seeds=")
    if override.is_sweep_override():
        raise UserError(
            f"{override.input_line} has several values, but only options of the losses and "
            "the learning rate are tuned: give one value"
        )


def _seeds(own: Mapping[str, list[str]], losses: int) -> tuple[list[int], list[int]]:
    """Return the seeds of the search and of the final runs, as many as the comparisons need."""
    pairs = max(1, losses * (losses - 1) // 2)
    standard = {"tuning_seeds": TUNING_SEEDS, "seeds": range(needed_seeds(pairs))}
    tuning_seeds, seeds = (
        whole_numbers(own.get(key, list(map(str, values))), key) for key, values in standard.items()
    )
    require_apart(tuning_seeds, seeds)
    return tuning_seeds, seeds


def require_apart(tuning_seeds: Sequence[int], seeds: Sequence[int]) -> None:
    """Check that no seed of the search is one of the final runs.

    Raises:
        UserError: if one is.
    """
    common = sorted(set(seeds) & set(tuning_seeds))
    if common:
        raise UserError(
            f"seeds and tuning_seeds must not overlap, but both have {', '.join(map(str, common))}"
        )


def _single_value(own: Mapping[str, list[str]], key: str, standard: str) -> str:
    [value, *others] = own.get(key, [standard])
    if others:
        raise UserError(f"{key} must be one value, got {', '.join([value, *others])}")
    return value


def whole_numbers(values: Sequence[str], key: str) -> list[int]:
    """Convert the values of ``seeds=``, ``tuning_seeds=`` or ``budget=``.

    Raises:
        UserError: if they are not distinct whole numbers, or no seeds.
    """
    try:
        numbers = [int(value) for value in values]
    except ValueError:
        hint = "; seeds=auto is for sweeps" if "auto" in values else ""
        raise UserError(f"{key} must be whole numbers, got {', '.join(values)}{hint}") from None
    if len(set(numbers)) < len(numbers):
        raise UserError(f"{key} must differ, got {', '.join(values)}")
    if key != "budget" and not all(map(SEED.fits, numbers)):
        raise UserError(f"each of {key} must be {SEED}, got {', '.join(values)}")
    return numbers


# --- points ---------------------------------------------------------------------------------------


def _declared(loss: str, plan: Plan) -> dict[str, Any]:
    """Return the ranges that conf/ declares for a loss, or the plan for another one."""
    options = plan.options(loss)
    if loss in plan.ranges or any(each.startswith("loss._target_=") for each in options):
        return plan.ranges.get(loss, {})
    return groups.tunable("loss", options[0].removeprefix("loss=")) or {}


def _ranges(
    options: Mapping[str, Any], protocol: str, overrides: Sequence[str], config: DictConfig
) -> dict[str, Any]:
    """Return the ranges of a loss, learning rate first, except options that the overrides set."""
    declared: dict[str, Any] = {}
    if protocol == "tuned":
        optimizer = config.hydra.runtime.choices.optimizer
        found = groups.tunable("optimizer", optimizer) or {}
        if "lr" not in found:
            raise UserError(
                f"conf/optimizer/{optimizer}.yaml must declare a range of lr under tuning:"
            )
        declared[LEARNING_RATE] = found["lr"]
    own = with_weights(options, config.loss)
    declared |= {f"loss.{name}": content for name, content in own.items()}
    return {
        key: content
        for key, content in declared.items()
        # weights are given to be tuned, since a sum has no components by default
        if WEIGHT.fullmatch(key) or not is_given(overrides, key)
    }


def _defaults(ranges: Mapping[str, Any], config: DictConfig) -> dict[str, Any]:
    """Return the values that the tuned options have if nothing sets them."""
    values = {key: _default(key, config) for key in ranges}
    return {
        key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        for key, value in values.items()
    }


def _default(key: str, config: DictConfig) -> Any:
    """Return the value of an option; of your own loss, the default of its argument."""
    missing = object()
    value = OmegaConf.select(config, key, default=missing)
    if value is not missing:
        return value
    name = key.removeprefix("loss.")
    parameters = inspect.signature(target_of(config.loss, "loss")).parameters
    if name not in parameters:
        raise UserError(f"unknown option {key}{groups.did_you_mean(name, parameters)}")
    default = parameters[name].default
    if not isinstance(default, int | float | str):
        raise UserError(f"{key} must have a default, which is the first setting that is tried")
    return default


def points_of(
    ranges: Mapping[str, Any], budget: int, default: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return up to ``budget`` points: the default setting, then those of a Sobol sequence.

    All losses get the same points of the unit cube, in as many dimensions as they have options; a
    loss without options has one point.

    Raises:
        UserError: if a range is invalid.
    """
    points = [dict(default), *sobol_points(ranges, budget - 1)]
    return [point for index, point in enumerate(points) if point not in points[:index]]


def sobol_points(ranges: Mapping[str, Any], number: int) -> list[dict[str, Any]]:
    """Return points of a scrambled Sobol sequence over the ranges; none if there is no range.

    Raises:
        UserError: if a range is invalid.
    """
    try:
        declared = {key: Range.declared(key, content) for key, content in ranges.items()}
    except ValueError as error:
        raise UserError(str(error)) from error
    if len(declared) > DIMENSIONS:
        raise UserError(f"at most {DIMENSIONS} options can be tuned, got {', '.join(declared)}")
    if not declared or not number:
        return []
    from scipy.stats import qmc  # noqa: PLC0415 (a second that resuming does not need)

    sequence = qmc.Sobol(DIMENSIONS, scramble=True, rng=SOBOL_SEED)
    # Sobol sequences are balanced for powers of 2
    cube = sequence.random_base2(max(1, (number - 1).bit_length()))[:number]
    return [
        {key: each.value(unit) for (key, each), unit in zip(declared.items(), row, strict=False)}
        for row in cube
    ]
