"""Losses made of losses: ``loss=sum loss.of.dice=0.7``, ``loss=detection loss.box=giou``."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from losslab.config import groups, secrets
from losslab.config.errors import UserError
from losslab.config.kinds import text
from losslab.config.overrides import parsed

OF = "loss.of"

WEIGHT = re.compile(r"loss\.of\.[^.]+\.weight")
"""Key of the weight of a component."""

SUM, DETECTION = "losslab.losses.SumLoss", "losslab.losses.DetectionLoss"
"""Sums whose weights are options; those of others may be learned."""

SHORT = re.compile(r"(\+*)loss\.([^.=]+)(?=[.=])")
"""Begin of an override that may name a component: ``loss.box`` is short for ``loss.of.box``."""


def is_compound(name: str) -> bool:
    """Return whether a choice of loss has components."""
    return name in groups.names("loss") and "of" in groups.node("loss", name)


def expand(config: DictConfig) -> None:
    """Expand the components of the chosen loss in a composed config, see :func:`expanded`.

    Raises:
        UserError: if the loss has no components, or one is unknown or has an unknown option.
    """
    node = config.get("loss")
    if OmegaConf.is_dict(node) and "of" in node:
        given: Any = secrets.plain(node.of, resolve=False)
        chosen = config.hydra.runtime.choices.get("loss")
        if not is_compound(chosen):
            raise UserError(f"unknown key {OF} of loss={chosen}: write loss=sum for several losses")
        with open_dict(node):
            node.of = expanded(given)


def expanded(of: Any, key: str = OF) -> dict[str, Any]:
    """Return the weights and options of components, from what was typed.

    A number is the weight of the loss in conf/ of that name, a text the name of another loss. A
    loss of another name and options are given beside the weight, or under ``loss``, as they are
    saved:

        box: {weight: 2, loss: giou}
        dice: {weight: 0.7, power: 1}
        dice: {weight: 0.7, loss: {_target_: losslab.losses.DiceLoss, power: 1, ...}}

    Raises:
        UserError: if there are no components, or one is unknown or has an unknown option.
    """
    if not isinstance(of, Mapping):
        raise UserError(f"{key} must be losses with weights, such as {key}.dice=1, got {text(of)}")
    if not of:
        raise UserError(f"{key} has no losses: add {key}.NAME=WEIGHT, such as {key}.dice=1")
    return {name: _component(str(name), given, f"{key}.{name}") for name, given in of.items()}


def _component(name: str, given: Any, key: str) -> dict[str, Any]:
    options = dict(given) if isinstance(given, Mapping) else {_option_of(given): given}
    weight = options.pop("weight", 1.0)
    if isinstance(options.get("loss"), str):
        name = options.pop("loss")
    under = {} if "_target_" in options else options.pop("loss", {})  # an adapter has a loss, too
    if not isinstance(under, Mapping):
        raise UserError(f"{key}.loss must be options by name, got {text(under)}")
    loss = _loss(name, {**options, **under}, key)
    if "of" in loss:
        loss["of"] = expanded(loss["of"], f"{key}.loss.of")
    return {"weight": weight, "loss": loss}


def _option_of(given: Any) -> str:
    """Return what a value alone gives a component: the name of a loss, or its weight."""
    is_name = isinstance(given, str) and "${" not in given
    return "loss" if is_name else "weight"


def _loss(name: str, given: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the options of a component, those in conf/ with what is given.

    Raises:
        UserError: if conf/ has no such loss, or the loss no such option.
    """
    if "_target_" in given:
        return given
    known = groups.names("loss")
    if name not in known:
        close = groups.did_you_mean(name, known)
        raise UserError(f"unknown loss in {key}{close} A name of your own needs {key}._target_")
    own: Any = OmegaConf.to_container(groups.node("loss", name))
    for option in given:
        if option not in own:
            close = groups.did_you_mean(option, own)
            raise UserError(f"unknown key {key}.{option} of loss={name}{close}")
    return {**own, **given}


def without_components(jobs: list[list[str]]) -> list[list[str]]:
    """Remove the components from the jobs of a sweep whose loss is no sum, if that of others is.

    So ``-m loss=sum,bce loss.of.bce=1 loss.of.dice=0.3,1`` has two sums and one run of ``bce``.
    """
    chosen = [next((each[5:] for each in job if each.startswith("loss=")), "") for job in jobs]
    sums = {name: is_compound(name) for name in set(chosen)}
    if all(sums.values()) or not any(sums.values()):
        return jobs
    kept = (
        job if sums[name] else [each for each in job if not each.lstrip("+").startswith(f"{OF}.")]
        for name, job in zip(chosen, jobs, strict=True)
    )
    return [list(job) for job in dict.fromkeys(map(tuple, kept))]


def with_long_names(overrides: Sequence[str]) -> list[str]:
    """Write components that a chosen loss always has, ``loss.box``, as those of sums.

    Example:
        >>> with_long_names(["loss=detection", "loss.box=giou", "loss.classification.gamma=1"])
        ['loss=detection', 'loss.of.box=giou', 'loss.of.classification.gamma=1']
    """
    chosen = [
        name for each in overrides if each.startswith("loss=") for name in each[5:].split(",")
    ]
    own = {name for loss in chosen if is_compound(loss) for name in groups.node("loss", loss)["of"]}

    def long(override: str) -> str:
        found = SHORT.match(override)
        short = found is not None and found.group(2) in own
        return SHORT.sub(r"\1loss.of.\2", override) if short else override

    return [long(each) for each in overrides]


def value_beside_options(override: str, given: Sequence[str]) -> str:
    """Write a component's weight or name as an option, which its other options do not replace.

    A name always, since a tuning adds weights later.

    Example:
        >>> value_beside_options("loss.of.dice=0.7", ["loss.of.dice=0.7", "loss.of.dice.power=2"])
        'loss.of.dice.weight=0.7'
        >>> value_beside_options("loss.of.box=giou", ["loss.of.box=giou"])
        'loss.of.box.loss=giou'
    """
    key, _, value = override.partition("=")
    if key.count(".") != 2 or value.startswith("{"):  # an option already, or all of them
        return override
    option = _option_of(_first_value(override))
    has_others = any(each.lstrip("+").startswith(f"{key}.") for each in given)
    return f"{key}.{option}={value}" if has_others or option == "loss" else override


def _first_value(override: str) -> Any:
    [found] = parsed([override])
    return next(found.sweep_iterator()) if found.is_sweep_override() else found.value()


def with_weights(declared: Mapping[str, Any], loss: DictConfig) -> dict[str, Any]:
    """Return the ranges for tuning that a loss declares, and those of the weights of a sum.

    Each weight but the first, which sets the scale, is tuned on a logarithmic scale from a tenth
    to ten times its value, except weights of 0 and those that follow a schedule or are learned.

    Args:
        declared: ranges by option; ``of.NAME`` is the weight of a component.
        loss: options of the loss.

    Example:
        >>> of = {"bce": {"weight": 1}, "dice": {"weight": 0.7}}
        >>> with_weights({}, OmegaConf.create({"_target_": SUM, "of": of}))
        {'of.dice.weight': {'low': 0.07, 'high': 7.0, 'log': True}}
    """
    weights = {f"of.{name}": component.weight for name, component in loss.get("of", {}).items()}
    tuned = list(weights.items())[1:] if loss._target_ in (SUM, DETECTION) else []
    ranges = {
        name: {"low": float(f"{weight / 10:.3g}"), "high": float(f"{weight * 10:.3g}"), "log": True}
        for name, weight in tuned
        if isinstance(weight, int | float) and weight > 0
    }
    return {
        f"{name}.weight" if name in weights else name: content
        for name, content in (ranges | dict(declared)).items()
    }


def default_data(losses: Sequence[str], overrides: Sequence[str]) -> str | None:
    """Return the default data of sums of losses, which their components have in common.

    Args:
        losses: the chosen losses.
        overrides: what was typed, with components.

    Raises:
        UserError: if the components, or the other losses, have different default data.
    """
    typed = _typed_components(overrides)
    if not (typed and any(map(is_compound, losses))):
        return None  # the defaults of its file apply
    names: list[str] = []
    for loss in losses:
        if groups.default_data(loss) is None and is_compound(loss):  # bce_dice has its own
            names += [*groups.node("loss", loss)["of"], *typed]
        else:
            names.append(loss)
    data = {name: own for name in names if (own := groups.default_data(name)) is not None}
    if len(set(data.values())) > 1:
        listed = " and ".join(f"{name} to data={own}" for name, own in data.items())
        raise UserError(f"{listed.replace(' to data=', ' defaults to data=', 1)}: add data=")
    return next(iter(data.values()), None)


def _typed_components(overrides: Sequence[str]) -> list[str]:
    """Return the components that overrides name: ``loss.of.dice=1``, ``loss.of={dice:1}``."""
    names: list[str] = []
    for override in parsed(overrides):
        key = override.key_or_group
        if key.startswith(f"{OF}."):
            names.append(key.split(".")[2])
        elif key == OF and isinstance(override.value(), dict):
            names += map(str, override.value())
    return names
