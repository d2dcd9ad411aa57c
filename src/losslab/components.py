"""Build the components of a run from its resolved config, and check that they fit together."""

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from losslab.config.errors import UserError
from losslab.config.fit import require_supported
from losslab.config.instantiate import accepted, build, refused_options, target_of
from losslab.data.base import InMemoryData
from losslab.data.streaming import is_streamed
from losslab.data_building import build_data, data_errors
from losslab.initial_weights import start_from
from losslab.loss_building import build_reference, ignoring, initial_loss, path_of
from losslab.loss_totals import adds_up, has_sample_weights, loss_totals
from losslab.losses import Regularizer
from losslab.losses.base import TargetFormat
from losslab.models.freezing import normalizes_batches
from losslab.modules.sharding import whole
from losslab.network_building import initial_network, network_notes
from losslab.passport import Trial, notes_on
from losslab.runtime import return_freed_memory
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
    loss_class: str
    trial: Trial | None
    """Trial of the loss in its target format; ``None`` if the format has no problem to try."""
    network_notes: list[str]
    """How the network was made and is trained, where that is not plain; for the record."""

    @property
    def loss_notes(self) -> dict[str, Any]:
        """What the loss is, what it estimates, and what is odd about it; for the record."""
        found = {} if self.trial is None else notes_on(self.trial)
        return {**found, "class": self.loss_class}


def build_components(
    config: DictConfig, like: Components | None = None, *, starts: bool = True
) -> Components:
    """Build data, task, network, loss and module, in this order.

    Args:
        config: the resolved config.
        like: components of a run with the same config of data and task, which are shared.
        starts: whether the network gets the weights of ``ckpt_path`` or ``model.weights``, and not
            those of the run's own checkpoint.

    Raises:
        UserError: if a component refuses its options or does not fit the others.
    """
    require_fit(config)
    data = ready_data(config) if like is None else like.data
    task: Task = build(config.task.definition, "task", data)
    network = initial_network(config, data, task, starts=starts)
    if starts and config.ckpt_path:
        start_from(network, config.ckpt_path)
    weights_hash = fingerprint(network.state_dict().values())
    data.smallest_batch = 2 if normalizes_batches(network) else 1
    loss = initial_loss(config, data, task)
    target_format, trial = accepted_format(config, loss, task, data, network)
    references = _references(config, task, data) if like is None else like.references
    if config.compile:
        network.compile()  # in place: the names in a checkpoint stay those of the network
    weighted = has_sample_weights(data)
    offered = {
        "target_format": target_format,
        "inverse_link": inverse_link_of(loss, target_format, trial),
        "optimizer": _optimizer(config),
        "scheduler": _partial(config.scheduler, "scheduler"),
        "regularizer": _regularizer(config, network),
        "references": references,
        "seed": config.seed,
        "name": config.choices.loss,
        "monitor": config.task.monitor,
        "totals": loss_totals(loss, trial, weighted=weighted, name=f"loss={config.choices.loss}"),
        "adds_up": adds_up(loss, trial),
        "loss_lr": config.optimizer.get("loss_lr"),
        "layer_decay": config.optimizer.get("layer_decay"),
    }
    # a module with its own training step declares what it takes by name
    taken = accepted(target_of(config.task.module, "task"), offered)
    require_supported(config, taken)
    if weighted and "totals" not in taken:
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
    own = path_of(loss), trial
    about = network_notes(config, network, data)
    return Components(data, task, network, weights_hash, module, references, *own, about)


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
    if config.get("allocator") == "auto" and _is_streamed(data):
        return_freed_memory()
    return data


def _is_streamed(data: Any) -> bool:
    # validation is never augmented, which streams samples that are in memory
    return isinstance(data, InMemoryData) and is_streamed(data.val)


def built_task(config: DictConfig) -> Task:
    """Build the task and the data that it depends on."""
    task: Task = build(config.task.definition, "task", ready_data(config))
    return task


def prepared_data(config: DictConfig) -> Any:
    """Build the data module and make its files available."""
    data = build_data(config)
    with data_errors(config):
        data.prepare_data()
    return data


def _optimizer(config: DictConfig) -> Any:
    """Return what makes the optimizer of some parameters."""
    optimizer = _partial(config.optimizer, "optimizer", without=("loss_lr", "layer_decay"))
    trainer = config.trainer
    scales = str(trainer.get("precision")).endswith("mixed") and trainer.get("gradient_clip_val")
    if scales and optimizer is not None and optimizer.keywords.get("fused"):
        # a fused one scales gradients itself, after they were clipped
        return partial(optimizer, fused=False)
    return optimizer


def _partial(node: DictConfig, name: str, without: Sequence[str] = ()) -> Any:
    """Return the node's target with its options bound, but some; ``None`` for an empty node.

    Raises:
        UserError: if it does not have one of the options, or needs another.
    """
    if not node or "_target_" not in node:
        return None
    options: Any = OmegaConf.to_container(node, resolve=True)
    del options["_target_"]
    bound = {key: value for key, value in options.items() if key not in without}
    target = target_of(node, name)
    if refusal := refused_options(target, (None,), bound, name):
        raise UserError(f"{name}: {refusal}")
    return partial(target, **bound)


class Penalty:
    """Regularizer together with the names of the parameters that it penalises.

    It is not a dataclass, since Hydra would treat an instance as a config.
    """

    def __init__(self, regularizer: Regularizer, names: frozenset[str]) -> None:
        self.regularizer = regularizer
        self.names = names

    def __call__(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Compute the penalty of a network's named parameters."""
        chosen = {name: whole(value) for name, value in parameters.items() if name in self.names}
        penalty: Tensor = self.regularizer(chosen)
        return penalty


def _regularizer(config: DictConfig, network: nn.Module) -> Penalty | None:
    if not config.regularizer or "_target_" not in config.regularizer:
        return None
    regularizer = build(config.regularizer, "regularizer")
    frozen = {name for name, value in network.named_parameters() if not value.requires_grad}
    return Penalty(regularizer, frozenset(regularizer.penalised(network)) - frozen)


def _references(config: DictConfig, task: Task, data: Any) -> References:
    """Build the task's reference losses, with the target formats that they accept.

    Those without ``ignore_index`` are left out if the data have pixels to ignore.
    """
    references: References = {}
    for name, node in config.task.reference_losses.items():
        try:
            options = ignoring(node, data)
        except UserError:
            continue
        loss = build_reference(node, name, **options)
        target_format = next(
            (target_format for target_format in task.provides if target_format in loss.accepts),
            None,
        )
        if target_format is not None:
            references[name] = (loss, target_format)
    return references


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """Return a short hash of the tensors' bytes."""
    digest = hashlib.blake2b(digest_size=8)
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
