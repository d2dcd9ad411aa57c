"""Target formats: the one in which a task gives a loss its targets, and whether the loss fits."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from losslab.config import declared
from losslab.config.errors import UserError, described
from losslab.config.instantiate import target_of
from losslab.data_building import first_batch
from losslab.loss_building import path_of
from losslab.losses import SumLoss
from losslab.losses.base import Loss, TargetFormat
from losslab.losses.function import FunctionLoss
from losslab.losses.links import InverseLink
from losslab.network_building import kept_buffers
from losslab.passport import (
    PROBED,
    SHAPES,
    Shape,
    Trial,
    cached_trial,
    call,
    find_adapters,
    overrides,
)
from losslab.tasks import Task


def require_fit(config: DictConfig) -> TargetFormat | None:
    """Return the target format that the loss accepts; see :func:`matching_format`."""
    loss, task = target_of(config.loss, "loss"), target_of(config.task.definition, "task")
    return matching_format(config, loss, task.provides)


def matching_format(
    config: DictConfig, loss: Any, provides: tuple[TargetFormat, ...]
) -> TargetFormat | None:
    """Return the first target format that the task provides and the loss accepts.

    Returns:
        The target format, or ``None`` for a loss of another library, which declares none.

    Raises:
        UserError: if there is no such format.
    """
    return declared.matching_format(config, _declared(config.loss, loss), provides, _accepts)


def _declared(node: DictConfig, loss: Any) -> tuple[TargetFormat, ...] | None:
    """Return the target formats that a loss, or the components of a sum, declare.

    Raises:
        UserError: if the components have none in common.
    """
    if "of" in node:  # not of a sum that was given as an object
        return declared.accepted(node, _accepts)
    accepts: tuple[TargetFormat, ...] | None = getattr(loss, "accepts", None)
    return accepts


def _accepts(node: Mapping[str, Any], key: str) -> tuple[TargetFormat, ...] | None:
    """Return the target formats that the class or function of a loss declares."""
    accepts: tuple[TargetFormat, ...] | None = getattr(target_of(node, key), "accepts", None)
    return accepts


def accepted_format(
    config: DictConfig, loss: nn.Module, task: Task, data: Any, network: nn.Module
) -> tuple[TargetFormat, Trial | None]:
    """Find the first target format of the task in which the loss leads to the right answers.

    Returns:
        The format, and what was found when the loss was tried; ``None`` if it cannot be.

    Raises:
        UserError: if there is none.
    """
    found = matching_format(config, loss, task.provides)
    shape: Shape | None
    if isinstance(loss, SumLoss) and found is not None and found not in PROBED:
        formats, shape = [found], (task.outputs,)  # each of its losses has a format to try
    elif found is None or not _declares(loss):
        formats, shape = _formats_of_batch(config, loss, task, data, network)
    elif found in PROBED:
        formats, shape = [found], _shape_of(found, task)
    else:
        return found, None
    refusals = []
    for target_format in formats:
        trial = _trial(config.loss, loss, target_format, shape)
        if trial is None or not trial.refusal:
            return target_format, trial
        refusals.append(trial.refusal)
    name = f"loss={config.choices.loss}"
    listed = "; ".join(dict.fromkeys(refusals))
    chain = None if isinstance(loss, SumLoss) else find_adapters(loss, formats, shape)
    if chain is None:
        fitting = declared.fitting(task.provides, _accepts)
        raise UserError(f"{name} {listed}. Losses that fit: {fitting}")
    own = call(chain, _written(loss, config.choices.loss))
    raise UserError(
        f"{name} {listed}. It fits as {overrides(chain, str(config.loss['_target_']))}",
        in_python=f'{name} {listed}. It fits as losses={{"{config.choices.loss}": {own}}}',
    )


def _written(loss: nn.Module, label: str) -> str:
    """Write a loss as Python does; a function without a name is called by the label."""
    name = path_of(loss).rpartition(".")[2]
    if isinstance(loss, FunctionLoss):
        return name if name.isidentifier() else label
    return f"{name}(...)"


def _declares(loss: nn.Module) -> bool:
    """Return whether a loss, or each component of a sum, declares its target formats."""
    if isinstance(loss, SumLoss):
        return all(map(_declares, loss.of.values()))
    return hasattr(loss, "accepts")


def _trial(
    node: DictConfig,
    loss: nn.Module,
    target_format: TargetFormat,
    shape: Shape | None,
    key: str = "loss",
) -> Trial | None:
    """Try a loss in a target format, and before a sum its components.

    Args:
        node: options of the loss.
        loss: the loss.
        target_format: the format.
        shape: shape of one sample's prediction.
        key: key of the loss, for advice.
    """
    components = {}
    if isinstance(loss, SumLoss):
        for name, component in loss.of.items():
            given, place = loss.format_for(name, target_format), f"{key}.of.{name}"
            own = loss.shape_for(name, shape)
            options = node.of[name].loss if "of" in node else node
            trial = _trial(options, component, given, own, place)
            if trial is None:
                continue
            if trial.refusal:
                chain = find_adapters(component, [given], own)
                target = str(options["_target_"])
                advice = "" if chain is None else f"; it fits as {overrides(chain, target, place)}"
                return replace(trial, refusal=f"has {place}, which {trial.refusal}{advice}")
            components[name] = trial
    trial = cached_trial(loss, target_format, shape, key=_text(node, loss))
    return trial if trial is None else replace(trial, components=components)


def _text(node: DictConfig, loss: nn.Module) -> str:
    """Write the options of a loss and the shapes of its parameters, as a key."""
    shapes = [tuple(parameter.shape) for parameter in loss.parameters()]
    return f"{loss!r} {OmegaConf.to_container(node, resolve=True)} {shapes}"


def inverse_link_of(
    loss: nn.Module, target_format: TargetFormat, trial: Trial | None
) -> InverseLink | None:
    """Return the inverse link that a loss declares, else the one that was found."""
    own = loss.link_for(target_format) if isinstance(loss, Loss) else None
    # what is found holds for the first epoch of a sum that changes
    if own is not None or (isinstance(loss, SumLoss) and loss.changes):
        return own
    return None if trial is None or trial.estimate is None else trial.estimate.link


def _shape_of(target_format: TargetFormat, task: Task) -> Shape:
    """Return a small shape of one sample's prediction with the task's number of outputs."""
    usual = SHAPES[target_format]
    if target_format in (TargetFormat.POINT_SETS, TargetFormat.RELEVANCE):
        return usual  # of any length
    return task.outputs, *usual[1:]


def _formats_of_batch(
    config: DictConfig, loss: nn.Module, task: Task, data: Any, network: nn.Module
) -> tuple[list[TargetFormat], Shape | None]:
    """Find the target formats that a loss of another library accepts, by trying one batch.

    Returns:
        The formats, and the shape of one sample's prediction; ``None`` if it is not a tensor.

    Raises:
        UserError: if it accepts none.
    """
    chosen = config.choices
    if TargetFormat.DISCRIMINATOR in task.provides:
        raise UserError(
            f"loss={chosen.loss} must declare {declared.listed(task.provides)} in its attribute "
            f"accepts, since task={chosen.task} has no targets to try it on. "
            f"Losses that fit: {declared.fitting(task.provides, _accepts)}"
        )
    inputs, targets = task.pair(first_batch(config, data))
    prediction = checked_prediction(config, task, network, inputs)
    shape: Shape | None = None
    if isinstance(prediction, Tensor):  # the gradient of the loss alone
        shape = tuple(prediction.shape[1:])
        prediction = prediction.detach().requires_grad_(prediction.is_floating_point())
    fails = f"loss={chosen.loss} fails on a batch of data={chosen.data}"
    refusals = {}
    formats: list[TargetFormat] = []
    accepts = _declared(config.loss, loss)
    for target_format in task.provides if accepts is None else accepts:
        if target_format not in task.provides:
            continue
        try:
            with warnings.catch_warnings(action="ignore"):  # about shapes of another format
                value = loss(*task.seen_by_loss(prediction, targets, target_format))
                require_one_number(config, value)
                value.sum().backward()
        except UserError:
            raise
        except (ValueError, TypeError, RuntimeError, IndexError, AssertionError) as error:
            refusals[target_format.value] = described(error)
        except Exception as error:  # an error in the user's code, whatever the format
            raise UserError(f"{fails}: {described(error)}") from error
        else:
            loss.zero_grad(set_to_none=True)
            formats.append(target_format)
    if formats:
        return formats, shape
    if len(set(refusals.values())) == 1:
        raise UserError(f"{fails}: {next(iter(refusals.values()))}")
    listed = "; ".join(f"{name}: {text[:300]}" for name, text in refusals.items())
    raise UserError(
        f"loss={chosen.loss} accepts nothing that task={chosen.task} provides ({listed}). "
        f"Losses that fit: {declared.fitting(task.provides, _accepts)}"
    )


def require_one_number(config: DictConfig, value: Any) -> None:
    """Check that a loss returned one number that can be differentiated.

    Raises:
        UserError: if it did not; the message says what to change.
    """
    name = f"loss={config.choices.loss}"
    if not isinstance(value, Tensor):
        advice = "return the value" if value is None else "compute it with torch, without .item()"
        raise UserError(
            f"{name} must return a tensor with one number, got {value!r:.60}"
            f"{'' if value is None else f' ({type(value).__name__})'}: {advice}"
        )
    if value.numel() != 1:
        raise UserError(
            f"{name} must return one number, got a tensor of shape {tuple(value.shape)}: "
            f"add .mean()"
        )
    if not value.requires_grad:
        raise UserError(
            f"{name} must return a tensor with a gradient: compute it from the prediction with "
            "torch, without .detach(), .item() or NumPy"
        )


def checked_prediction(config: DictConfig, task: Task, network: nn.Module, inputs: Tensor) -> Any:
    """Compute the network's prediction for a batch, and check its shape.

    Raises:
        UserError: if the network fails, or does not have the outputs that the data need.
    """
    name, data = f"model={config.choices.model}", f"data={config.choices.data}"
    try:
        with kept_buffers(network):
            prediction = network.forward(inputs)  # not compiled, which would take minutes
    except Exception as error:  # the user's network may raise anything
        raise UserError(
            f"{name} fails on {data}, samples of shape {tuple(inputs.shape[1:])}: "
            f"{described(error)[:400]}"
        ) from error
    try:
        task.require_outputs(prediction)
    except ValueError as error:
        raise UserError(f"{name} on {data}: {error}") from error
    return prediction
