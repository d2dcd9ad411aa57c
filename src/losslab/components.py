"""Build the components of a run from its resolved config, and check that they fit together."""

import hashlib
import inspect
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from losslab.config.errors import UserError
from losslab.config.instantiate import accepted, build, refused_options, target_of
from losslab.data.base import InMemoryData
from losslab.data.raw import IGNORED
from losslab.losses import Regularizer
from losslab.losses.base import Loss, TargetFormat
from losslab.losses.function import FunctionLoss
from losslab.passport import notes_on
from losslab.rng import Purpose, derive_seed, restored_state
from losslab.target_formats import accepted_format, inverse_link_of, require_fit
from losslab.tasks import Task

References = dict[str, tuple[nn.Module, TargetFormat]]


@dataclass
class Components:
    """Components of a run."""

    data: Any
    task: Task
    network: nn.Module
    weights_hash: str
    module: Any
    references: References
    loss_notes: dict[str, Any]
    """What the loss estimates, and what is odd about it; for the record."""


def build_components(config: DictConfig, like: Components | None = None) -> Components:
    """Build data, task, network, loss and module, in this order.

    Args:
        config: the resolved config.
        like: components of a run with the same config of data and task, which are shared.

    Raises:
        UserError: if a component refuses its options or does not fit the others.
    """
    require_fit(config)
    data = ready_data(config) if like is None else like.data
    task: Task = build(config.task.definition, "task", data)
    network = initial_network(config, data, task)
    weights_hash = fingerprint(network.state_dict().values())
    loss = initial_loss(config, data, task)
    target_format, trial = accepted_format(config, loss, task, data, network)
    references = _references(config, task, data) if like is None else like.references
    if config.compile:
        network.compile()  # in place: the names in a checkpoint stay those of the network
    offered = {
        "target_format": target_format,
        "inverse_link": inverse_link_of(loss, target_format, trial),
        "optimizer": _partial(config.optimizer, "optimizer", without="loss_lr"),
        "scheduler": _partial(config.scheduler, "scheduler"),
        "regularizer": _regularizer(config, network),
        "references": references,
        "seed": config.seed,
        "name": config.choices.loss,
        "monitor": config.task.monitor,
        "sample_loss": _sample_loss(config, data, task, loss),
        "loss_lr": config.optimizer.get("loss_lr"),
    }
    # a module with its own training step declares what it takes by name
    taken = accepted(target_of(config.task.module, "task"), offered)
    for name in ("regularizer", "scheduler"):
        if offered[name] is not None and name not in taken:
            raise UserError(f"task={config.choices.task} does not support a {name}")
    if _has_sample_weights(data) and "sample_loss" not in taken:
        raise UserError(f"task={config.choices.task} does not support sample weights")
    if list(loss.parameters()) and offered["loss_lr"] != 0 and "loss_lr" not in taken:
        raise UserError(f"task={config.choices.task} does not train parameters of a loss")
    module = build(config.task.module, "task", network, loss, task, **taken)
    if not getattr(module, "automatic_optimization", True):
        _require_own_steps(config)
    try:
        _require_whole_schedule(module.configure_optimizers(), config.trainer.max_epochs)
    except (ValueError, TypeError) as error:
        raise UserError(f"optimizer or scheduler: {error}") from error
    notes = {} if trial is None else notes_on(trial)
    return Components(data, task, network, weights_hash, module, references, notes)


def accumulates(config: DictConfig) -> bool:
    """Return whether a step sums the gradients of several batches."""
    return bool(config.trainer.get("accumulate_grad_batches", 1) > 1)


def _require_own_steps(config: DictConfig) -> None:
    """Check that a Trainer is not to change the steps of a module that takes them itself.

    Raises:
        UserError: if it is; the message names the option of the module, if it has one.
    """
    name = f"task={config.choices.task} does not support trainer."
    if accumulates(config):
        sizes = ("data.batch_size", "task.module.batch_size", "data.num_envs")
        own = [key for key in sizes if OmegaConf.select(config, key) is not None]
        raise UserError(f"{name}accumulate_grad_batches: increase {own[0] if own else 'batches'}")
    if config.trainer.get("gradient_clip_val"):
        clips = "max_grad_norm" in config.task.module
        advice = "use task.module.max_grad_norm" if clips else "lower optimizer.lr"
        raise UserError(f"{name}gradient_clip_val: {advice}")


def _require_whole_schedule(made: Any, epochs: int | None) -> None:
    """Check that a scheduler can step until the end of the run, after each epoch.

    Raises:
        ValueError: if it cannot, such as ``OneCycleLR`` with fewer ``total_steps``.
    """
    entry = made.get("lr_scheduler") if isinstance(made, dict) else None
    scheduler = entry["scheduler"] if isinstance(entry, dict) else entry
    if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):
        return
    if not epochs or epochs < 1:
        return
    scheduler.last_epoch = epochs - 1
    with warnings.catch_warnings(action="ignore"):  # its optimizer takes no steps
        try:
            scheduler.step()
        except Exception as error:  # the user's scheduler may raise anything
            steps = f"cannot step after each of the {epochs} epochs of trainer.max_epochs"
            raise ValueError(f"{type(scheduler).__name__} {steps}: {error}") from error


def ready_data(config: DictConfig) -> Any:
    """Build the data module, read its files and draw its splits."""
    data = prepared_data(config)
    with data_errors(config):
        data.setup()
    return data


def built_task(config: DictConfig) -> Task:
    """Build the task and the data that it depends on."""
    task: Task = build(config.task.definition, "task", ready_data(config))
    return task


def prepared_data(config: DictConfig) -> Any:
    """Build the data module and make its files available."""
    seed = {} if "seed" in config.data else _seed_of(config)
    data = build(config.data, "data", **seed)
    with data_errors(config):
        data.prepare_data()
    return data


@contextmanager
def data_errors(config: DictConfig) -> Iterator[None]:
    """Raise ``UserError`` that names the data set if its files or options are invalid."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise UserError(f"data={config.choices.data}: {' '.join(str(error).split())}") from error


def _seed_of(config: DictConfig) -> dict[str, int]:
    """Return the run's seed for a data set of the user that takes one, chosen without a config."""
    target = target_of(config.data, "data")
    takes = isinstance(target, type) and issubclass(target, InMemoryData)
    return {"seed": config.seed} if takes else accepted(target, {"seed": config.seed})


def initial_network(config: DictConfig, data: Any, task: Task) -> nn.Module:
    """Build the network with the seed's initial weights and the sizes that it takes by name."""
    torch.manual_seed(derive_seed(config.seed, Purpose.WEIGHTS))
    sizes = {"input_shape": data.input_shape, "outputs": task.outputs}
    offered = accepted(target_of(config.model, "model"), sizes)
    name = f"model={config.choices.model}"
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Initializing zero-element tensors"
        )  # reported below
        network: nn.Module = build(config.model, name, **offered)
    for parameter, weight in network.named_parameters():
        if not weight.numel():  # torch permits layers without units, whose output is constant
            raise UserError(f"{name}: {parameter} must have at least one element, got none")
    return network


def initial_loss(config: DictConfig, data: Any, task: Task, **options: Any) -> nn.Module:
    """Build the loss with the seed's initial values of its parameters, if it has any.

    They are drawn apart from those of the network, which no loss can affect. On embeddings, a loss
    is given the sizes that it takes by name.
    """
    if TargetFormat.LABELLED_EMBEDDINGS in task.provides:
        options |= missing_sizes(config.loss, num_classes=data.outputs, embedding_size=task.outputs)
    with restored_state():
        torch.manual_seed(derive_seed(config.seed, Purpose.LOSS_WEIGHTS))
        return build_loss(config.loss, data, **options)


def missing_sizes(node: DictConfig, **sizes: int) -> dict[str, int]:
    """Select the sizes that a loss takes by name, and its options do not give."""
    taken = accepted(target_of(node, "loss"), sizes)
    return {name: size for name, size in taken.items() if name not in node}


def build_loss(node: DictConfig, data: Any, **options: Any) -> nn.Module:
    """Build the loss; ``balanced`` weights are computed from the training split's class counts."""
    balanced = balanced_weights(node, getattr(data, "class_counts", None))
    if "pos_weight" in balanced and data.target_kind == "multilabel":
        # samples can have several labels: the negatives of a label are the samples without it
        negatives = (data.train.targets == 0).sum(dim=0)
        balanced["pos_weight"] = (negatives / data.class_counts.double()).tolist()
    if "pos_weight" in balanced and data.outputs == 1:
        balanced["pos_weight"] = balanced["pos_weight"][-1:]  # one logit for the foreground
    options = balanced | _ignoring(node, data) | options
    target = target_of(node, "loss")
    if takes_prediction_and_target(target, {*node, *options}):
        given: Any = (
            OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else dict(node)
        )
        del given["_target_"]
        given |= options
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


def _ignoring(node: DictConfig, data: Any) -> dict[str, int]:
    """Return the option with which a loss leaves out the pixels or labels that the data ignore.

    Raises:
        UserError: if it has none, or ignores another value.
    """
    if not getattr(data, "ignores", False):
        return {}
    name = str(node["_target_"]).rpartition(".")[2]
    if not accepted(target_of(node, "loss"), {"ignore_index": IGNORED}):
        if data.target_kind == "multilabel":
            raise UserError(
                f"loss: {name} has no ignore_index, but some labels are not known: choose "
                "another, such as loss=bce or loss=focal"
            )
        raise UserError(
            f"loss: {name} has no ignore_index, but the masks have pixels to ignore: choose "
            "another, such as loss=dice or loss=tversky, or add data.ignore=null to read their "
            "value as a class"
        )
    if node.get("ignore_index") not in (None, IGNORED):
        raise UserError(
            f"loss.ignore_index={node.get('ignore_index')} must not be set: the data say what "
            "to ignore (masks by data.ignore)"
        )
    return {"ignore_index": IGNORED}


def _partial(node: DictConfig, name: str, without: str = "") -> Any:
    """Return the node's target with its options bound, but one; ``None`` for an empty node."""
    if not node or "_target_" not in node:
        return None
    options: Any = OmegaConf.to_container(node, resolve=True)
    del options["_target_"]
    options.pop(without, None)
    return partial(target_of(node, name), **options)


class Penalty:
    """Regularizer together with the names of the parameters that it penalises.

    It is not a dataclass, since Hydra would treat an instance as a config.
    """

    def __init__(self, regularizer: Regularizer, names: frozenset[str]) -> None:
        self.regularizer = regularizer
        self.names = names

    def __call__(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Compute the penalty of a network's named parameters."""
        chosen = {name: value for name, value in parameters.items() if name in self.names}
        penalty: Tensor = self.regularizer(chosen)
        return penalty


def _regularizer(config: DictConfig, network: nn.Module) -> Penalty | None:
    if not config.regularizer or "_target_" not in config.regularizer:
        return None
    regularizer = build(config.regularizer, "regularizer")
    return Penalty(regularizer, frozenset(regularizer.penalised(network)))


def _references(config: DictConfig, task: Task, data: Any) -> References:
    """Build the task's reference losses, with the target formats that they accept.

    Those without ``ignore_index`` are left out if the data have pixels to ignore.
    """
    references = {}
    for name, node in config.task.reference_losses.items():
        try:
            options = _ignoring(node, data)
        except UserError:
            continue
        loss = build(node, f"reference loss {name}", **options)
        target_format = next(
            (target_format for target_format in task.provides if target_format in loss.accepts),
            None,
        )
        if target_format is not None:
            references[name] = (loss, target_format)
    return references


def _has_sample_weights(data: Any) -> bool:
    return getattr(getattr(data, "train", None), "weights", None) is not None


def _sample_loss(config: DictConfig, data: Any, task: Task, loss: nn.Module) -> nn.Module | None:
    """Build a loss of another library without reduction, if the samples have weights.

    It shares the parameters of the loss.
    """
    if isinstance(loss, Loss) or not _has_sample_weights(data):
        return None
    try:
        per_sample = initial_loss(config, data, task, reduction="none")
    except UserError as error:
        raise UserError(
            f"the data have sample weights, but loss={config.choices.loss} has no value per "
            f"sample: {error}"
        ) from error
    for name, module in loss.named_modules():
        per_sample.get_submodule(name)._parameters.update(module._parameters)
    return per_sample


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """Return a short hash of the tensors' bytes."""
    digest = hashlib.blake2b(digest_size=8)
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
