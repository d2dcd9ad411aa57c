"""Plan of a map: the arguments of ``losslab map``, and the sweep that they describe."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf

from losslab.analysis.power import needed_seeds
from losslab.config import groups
from losslab.config.axes import FORM, Axis, Span, takes_whole_numbers
from losslab.config.command import Command, parse, split_own
from losslab.config.compose import compose
from losslab.config.errors import UserError
from losslab.config.expansion import complete, jobs_of, values_of
from losslab.config.overrides import is_given, parsed, require_distinct
from losslab.config.secrets import masked_override
from losslab.fitting import with_losses
from losslab.runs.map_file import SavedMap
from losslab.tuning_plan import whole_numbers

OWN = ("x", "y", "seeds")
"""Arguments of the map itself; others are overrides of all runs."""

MOST_LOSSES = 6
"""Number of losses that the figure can tell apart."""

QUIET = ("callbacks=quiet", "logger=none")
"""Choices of a map that gives none: nobody looks at the figures and events of a thousand runs."""


@dataclass(frozen=True)
class MapPlan:
    """Plan of a map.

    Attributes:
        saved: axes, losses and seeds.
        overrides: overrides that all runs share.
        command: the sweep.
    """

    saved: SavedMap
    overrides: tuple[str, ...]
    command: Command

    def jobs_at(self, x: float, y: float, seeds: Sequence[int]) -> list[list[str]]:
        """Return the overrides of the jobs of a cell with some seeds."""
        saved = self.saved
        axes = [Axis(saved.x.key, (x,)).override, Axis(saved.y.key, (y,)).override]
        return jobs_of(_completed(saved.losses, [*self.overrides, *axes], seeds))


def parse_map(arguments: Sequence[str]) -> MapPlan:
    """Create a plan from the arguments.

    Args:
        arguments: ``loss=a,b``, ``x=`` and ``y=`` as :class:`~losslab.config.axes.Span` parses
            them, ``seeds=``, and any overrides that all runs share. What is missing is taken from
            the ``map`` of ``experiment=``, if that has one.

    Raises:
        UserError: if an argument is missing, unknown or contradictory.
    """
    own, overrides = split_own(arguments, OWN, "map")
    own = _of_experiment(overrides) | own
    losses, overrides = _losses(own.pop("loss", None), overrides)
    for name in ("x", "y"):
        if name not in own:
            raise UserError(f"no {name} axis given: add {name}={FORM}")
    spans = [Span.parsed(name, own[name]) for name in ("x", "y")]
    _require_free(spans, overrides)
    first = jobs_of(complete([f"loss={losses[0]}", *overrides]))[0]
    x, y = (_axis(span, first) for span in spans)
    typed = [masked_override(each) for each in arguments if not each.startswith("seeds=")]
    saved = SavedMap(x, y, losses, (), tuple(typed))
    needed = needed_seeds(saved.comparisons)
    saved = saved.with_seeds(seeds_of(own.get("seeds", f"range({needed})")))
    overrides = [*overrides, *_quiet(overrides)]
    axes = [x.override, y.override]
    command = parse(["-m", *_completed(losses, [*overrides, *axes], saved.seeds)])
    return MapPlan(saved, tuple(overrides), command)


def seeds_of(typed: str) -> tuple[int, ...]:
    """Read ``seeds=range(13)`` or ``seeds=0,1,2``.

    Raises:
        UserError: if they are not distinct seeds.
    """
    [override] = parsed([f"seed={typed}"])
    return tuple(whole_numbers(values_of(override), "seeds"))


def _completed(losses: Sequence[str], overrides: Sequence[str], seeds: Sequence[int]) -> list[str]:
    """Return the overrides of a sweep over losses and seeds."""
    swept = f"seed={','.join(map(str, seeds))}"
    return complete([f"loss={','.join(losses)}", *overrides, swept])


def _of_experiment(overrides: Sequence[str]) -> dict[str, str]:
    """Return the arguments that the chosen experiment has under ``map``."""
    chosen = [each for each in parsed(overrides) if each.key_or_group == "experiment"]
    if not chosen:
        return {}
    name = str(chosen[-1].value())
    groups.require_known("experiment", name)
    content: Any = groups.node("experiment", name).get("map") or {}
    return {key: str(content[key]) for key in ("loss", *OWN) if key in content}


def _losses(usual: str | None, overrides: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Return the losses, and the other overrides.

    Raises:
        UserError: if there are not two to six losses, or another option has several values.
    """
    given = list(overrides)
    if usual is not None and not is_given(given, "loss"):
        given.append(f"loss={usual}")
    given = with_losses(given)
    require_distinct(given)
    losses: list[str] = []
    others = []
    for override in parsed(given):
        if override.key_or_group == "loss":
            losses = values_of(override)
            continue
        _require_single(override)
        others.append(override.input_line)
    for loss in losses:
        groups.require_known("loss", loss)
    if len(losses) < 2 or len(set(losses)) < len(losses):
        got = f", got {', '.join(losses)}" if losses else ""
        raise UserError(f"a map compares two or more losses: add loss=mse,mae{got}")
    if len(losses) > MOST_LOSSES:
        raise UserError(f"a map shows at most {MOST_LOSSES} losses, got {len(losses)}")
    return tuple(losses), others


def _require_single(override: Any) -> None:
    key = override.key_or_group
    if key == "seed":
        raise UserError(f"{override.input_line}: use seeds=, such as 'seeds=range(13)'")
    if override.is_sweep_override():
        raise UserError(
            f"{override.input_line} has several values, but only the losses, x, y and the seeds "
            "of a map vary: give one value"
        )


def _require_free(spans: Sequence[Span], overrides: Sequence[str]) -> None:
    """Check that the axes are two options that nothing else sets."""
    x, y = spans
    if x.key == y.key:
        raise UserError(f"x and y must be different options, got {x.key} for both")
    for span in spans:
        if is_given(overrides, span.key):
            raise UserError(f"{span.key} is the {span.name} axis: remove {span.key}=")


def _axis(span: Span, job: Sequence[str]) -> Axis:
    """Return the axis of an option, once its lowest value composes."""
    usual = compose(job)
    default = OmegaConf.select(usual, span.key)
    whole = takes_whole_numbers(span.key, default)
    axis = span.axis(whole=whole)
    for value in (axis.values[0], axis.values[-1]):
        compose([*job, Axis(span.key, (value,)).override])
    return axis


def _quiet(overrides: Sequence[str]) -> list[str]:
    chosen = {"experiment", "callbacks", "logger"}
    if any(each.key_or_group in chosen for each in parsed(overrides)):
        return []
    return list(QUIET)
