"""Build the loss of a run from its config."""

import inspect
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from losslab.config.errors import UserError
from losslab.config.instantiate import accepted, build, refused_options, target_of
from losslab.config.secrets import plain
from losslab.data.raw import IGNORED
from losslab.losses import SumLoss, WeightSchedule
from losslab.losses.adapters import Adapter, WithoutIgnored
from losslab.losses.base import Loss, TargetFormat
from losslab.losses.function import FunctionLoss
from losslab.rng import Purpose, derive_seed, restored_state
from losslab.tasks import Task


def initial_loss(config: DictConfig, data: Any, task: Task) -> nn.Module:
    """Build the loss with the seed's initial values of its parameters, if it has any.

    They are drawn apart from those of the network, which no loss can affect. On embeddings and on
    images, a loss is given the sizes that it takes by name.
    """
    with restored_state():
        torch.manual_seed(derive_seed(config.seed, Purpose.LOSS_WEIGHTS))
        return build_loss(config.loss, data, _sizes(data, task))


def _sizes(data: Any, task: Task) -> dict[str, int]:
    if TargetFormat.LABELLED_EMBEDDINGS in task.provides:
        return {"num_classes": data.outputs, "embedding_size": task.outputs}
    if TargetFormat.IMAGES in task.provides:
        return {"channels": data.input_shape[0]}
    return {}


def build_loss(
    node: Any, data: Any, sizes: Mapping[str, int] | None = None, **options: Any
) -> nn.Module:
    """Build a loss; ``balanced`` weights are computed from the training split's class counts.

    Args:
        node: options of the loss.
        data: data of the run, ``None`` without a run.
        sizes: numbers that the loss gets if it takes them by name, and its options do not give.
        options: further options of the loss.

    Raises:
        UserError: if the options do not fit the loss, or the loss is not one.
    """
    if is_sum(target_of(node, "loss")):
        return _build_sum(node, data, sizes or {}, **options)
    ignored = ignoring(node, data)
    loss = _build_one(node, data, sizes or {}, **ignored, **options)
    selects = getattr(data, "ignores", False) and not ignored
    return WithoutIgnored(loss) if selects else loss


def _build_one(node: Any, data: Any, sizes: Mapping[str, int], **options: Any) -> nn.Module:
    """Build a loss that is not a sum, with the further options; see :func:`build_loss`."""
    target = target_of(node, "loss")
    if _adapts(target, node):
        return _build_adapter(node, data, sizes, **options)
    given_sizes = accepted(target, dict(sizes))
    options |= {name: size for name, size in given_sizes.items() if name not in node}
    options |= _class_counts(node, target, data)
    balanced = balanced_weights(node, getattr(data, "class_counts", None))
    if "pos_weight" in balanced and data.target_kind == "multilabel":
        # samples can have several labels: the negatives of a label are the samples without it
        negatives = (data.train.targets == 0).sum(dim=0)
        balanced["pos_weight"] = (negatives / data.class_counts.double()).tolist()
    if "pos_weight" in balanced and data.outputs == 1:
        balanced["pos_weight"] = balanced["pos_weight"][-1:]  # one logit for the foreground
    options = balanced | options
    if takes_prediction_and_target(target, {*node, *options}):
        given = {**plain(node), **options}
        del given["_target_"]
        refusal = refused_options(target, (None, None), given, "loss")
        if refusal:
            raise UserError(f"loss: {refusal}")
        return FunctionLoss(target, **given)
    _require_no_lone_argument(target, {*node, *options})
    loss: Any = build(node, "loss", **options)
    if isinstance(loss, nn.Module):
        _require_forward(loss)
        return loss
    if not callable(loss):
        title = target.__name__ if inspect.isclass(target) else f"what {target.__name__} returns"
        raise UserError(
            f"loss: {title} must be a torch.nn.Module or a function of prediction and target, "
            f"got {loss!r:.60}"
        )
    return FunctionLoss(loss)


def path_of(loss: nn.Module) -> str:
    """Return where the class of a loss, or the function that it calls, is defined.

    Example:
        >>> path_of(FunctionLoss(nn.functional.mse_loss)), path_of(WithoutIgnored(nn.L1Loss()))
        ('torch.nn.functional.mse_loss', 'torch.nn.modules.loss.L1Loss')
    """
    if isinstance(loss, Adapter):
        return path_of(loss.loss)
    own: Any = loss.function if isinstance(loss, FunctionLoss) else type(loss)
    own = own.func if isinstance(own, partial) else own
    return f"{own.__module__}.{getattr(own, '__qualname__', type(own).__qualname__)}"


def is_sum(target: Any) -> bool:
    """Return whether a target is a sum of losses."""
    return inspect.isclass(target) and issubclass(target, SumLoss)


def _adapts(target: Any, node: Any) -> bool:
    """Return whether a target is an adapter, with the options of the loss that it adapts."""
    adapter = inspect.isclass(target) and issubclass(target, Adapter)
    return adapter and "_target_" in (plain(node).get("loss") or {})


def _build_adapter(node: Any, data: Any, sizes: Mapping[str, int], **options: Any) -> nn.Module:
    """Build a loss with an adapter around it; the loss gets the further options."""
    try:
        inner = _build_one(node["loss"], data, sizes, **options)
    except UserError as error:
        raise UserError(f"{error} (in loss.loss)") from error
    own = {key: value for key, value in plain(node).items() if key != "loss"}
    adapter: nn.Module = build(own, "loss", inner)
    return adapter


def _build_sum(node: DictConfig, data: Any, sizes: Mapping[str, int], **options: Any) -> nn.Module:
    """Build a sum of losses from components ``{weight: 0.7, loss: {_target_: ...}}``.

    Raises:
        UserError: if a component, a weight or an option is invalid.
    """
    losses, weights = {}, {}
    target = target_of(node, "loss")
    of_classes = data if target.counts_classes else None
    for name, component in node["of"].items():
        try:
            losses[name] = build_loss(component["loss"], of_classes, sizes)
        except UserError as error:
            raise UserError(f"{error} (in loss.of.{name})") from error
        weight = plain(component["weight"])
        weights[name] = _schedule(name, weight) if isinstance(weight, dict) else weight
    own = {str(key): value for key, value in node.items() if key not in ("of", "_target_")}
    try:
        loss: nn.Module = target(losses, weights, **own, **options)
    except (TypeError, ValueError) as error:
        raise UserError(f"loss: {error}") from error
    return loss


def build_reference(node: DictConfig, name: str, **options: Any) -> Loss:
    """Build a reference loss, which has its default options and those given."""
    loss: Any
    if is_sum(target_of(node, "loss")):
        loss = _build_sum(node, None, {}, **options)
    else:
        loss = build(node, f"reference loss {name}", **options)
    return loss  # type: ignore[no-any-return]


def _schedule(name: str, options: Mapping[str, Any]) -> WeightSchedule:
    try:
        return WeightSchedule(**options)
    except (TypeError, ValueError) as error:
        reason = str(error).replace("WeightSchedule.__init__()", "the schedule")
        raise UserError(f"loss.of.{name}.weight: {reason}") from error


def _require_no_lone_argument(target: Any, given: Iterable[str]) -> None:
    """Refuse a function that would be called with one argument, and an object for its class.

    Raises:
        UserError: if the target is either.
    """
    if isinstance(target, nn.Module):
        raise UserError(
            f"loss: _target_ must be a class or a function, got an object: name its class, "
            f"{type(target).__module__}.{type(target).__qualname__}"
        )
    lacking = [] if inspect.isclass(target) else _lacking(target, given)
    if len(lacking) == 1:
        [only] = lacking
        raise UserError(
            f"loss: {target.__name__} must take prediction and target, got "
            f"{target.__name__}({only}); if it makes a loss from {only}, add ++loss.{only}=..."
        )


def _require_forward(loss: nn.Module) -> None:
    """Check that a loss can be called with prediction and target.

    Raises:
        UserError: if it has no ``forward``, or one that takes something else.
    """
    name = type(loss).__name__
    if type(loss).forward is nn.Module.forward:
        raise UserError(f"loss: {name} must have a method forward(self, prediction, target)")
    if isinstance(loss, Loss):
        return
    try:
        signature = inspect.signature(loss.forward)
    except (ValueError, TypeError):
        return
    try:
        signature.bind(None, None)
    except TypeError:
        raise UserError(
            f"loss: {name}.forward must take prediction and target, got forward{signature}"
        ) from None


def takes_prediction_and_target(target: Any, given: Iterable[str]) -> bool:
    """Return whether a target is itself the loss: a function with two or more missing arguments.

    Example:
        >>> takes_prediction_and_target(torch.nn.functional.mse_loss, ["reduction"])
        True
        >>> takes_prediction_and_target(torch.nn.MSELoss, [])
        False
    """
    if inspect.isclass(target) or isinstance(target, nn.Module):
        return False
    try:
        return len(_lacking(target, given)) >= 2
    except ValueError:  # C functions may have no signature
        return True


def _lacking(target: Any, given: Iterable[str]) -> list[str]:
    """Return the positional arguments without default that are not given; ``*args`` counts as two.

    Raises:
        ValueError: if the function has no signature.
    """
    known = set(given)
    lacking = []
    for name, one in inspect.signature(target).parameters.items():
        positional = one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
        if positional and one.default is one.empty and name not in known:
            lacking.append(name)
        elif one.kind is one.VAR_POSITIONAL and lacking:
            lacking += [name, name]
    return lacking


def _class_counts(node: Mapping[str, Any], target: Any, data: Any) -> dict[str, Any]:
    """Return the training split's ``class_counts`` for a loss that takes them, if none are given.

    Raises:
        UserError: if the data have no class counts.
    """
    if node.get("class_counts") is not None or not accepted(target, {"class_counts": None}):
        return {}
    if data is None:
        return {}
    counts = getattr(data, "class_counts", None)
    if counts is None:
        raise UserError("loss.class_counts: these data have no class counts, give one per class")
    return {"class_counts": counts.tolist()}


def balanced_weights(node: Mapping[str, Any], counts: Tensor | None) -> dict[str, Any]:
    """Compute the options that are set to ``balanced``.

    These are n / (C n_c) per class, or the number of negatives per positive for ``pos_weight``.

    Raises:
        UserError: if the data have no class counts.
    """
    balanced = [name for name in ("weight", "pos_weight", "alpha") if node.get(name) == "balanced"]
    if balanced and counts is None:
        raise UserError(f"loss.{balanced[0]}=balanced needs class counts, which these data lack")
    if not balanced or counts is None:
        return {}
    counts = counts.double()
    weights = {
        "weight": counts.sum() / (len(counts) * counts),
        "alpha": counts.sum() / (len(counts) * counts),
        "pos_weight": (counts.sum() - counts) / counts,
    }
    return {name: weights[name].tolist() for name in balanced}


def ignoring(node: Any, data: Any) -> dict[str, int]:
    """Return the option with which a loss leaves out the pixels or labels that the data ignore.

    It is that of the loss inside adapters. There is none for a loss of another library without
    ``ignore_index``, which is given the others only, see
    :class:`~losslab.losses.adapters.WithoutIgnored`.

    Raises:
        UserError: if a loss of this project has none, or if the loss ignores another value.
    """
    if not getattr(data, "ignores", False):
        return {}
    while _adapts(target := target_of(node, "loss"), node):
        node = node["loss"]
    if not accepted(target, {"ignore_index": IGNORED}):
        if inspect.isclass(target) and issubclass(target, Loss):
            raise UserError(_cannot_ignore(str(node["_target_"]).rpartition(".")[2], data))
        return {}
    if node.get("ignore_index") not in (None, IGNORED):
        raise UserError(
            f"loss.ignore_index={node.get('ignore_index')} must not be set: the data say what "
            "to ignore (masks by data.ignore)"
        )
    return {"ignore_index": IGNORED}


def _cannot_ignore(name: str, data: Any) -> str:
    if data.target_kind == "multilabel":
        return (
            f"loss: {name} has no ignore_index, but some labels are not known: choose another, "
            "such as loss=bce or loss=focal"
        )
    return (
        f"loss: {name} has no ignore_index, but the masks have pixels to ignore: choose another, "
        "such as loss=dice or loss=tversky, or add data.ignore=null to read their value as a class"
    )
