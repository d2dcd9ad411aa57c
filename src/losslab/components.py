"""From a resolved config to the parts of a run, and to one line where they do not fit."""

import hashlib
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from losslab.config import groups
from losslab.config.instantiate import WrongInput, accepted, build, target_of
from losslab.losses import Regularizer
from losslab.losses.base import Loss, Reads
from losslab.rng import draw_seed
from losslab.tasks import Task

References = dict[str, tuple[nn.Module, Reads]]


@dataclass
class Parts:
    """What a run is made of; the network is built before the loss, and from its own draw."""

    data: Any
    task: Task
    network: nn.Module
    weights_hash: str
    module: Any
    references: References


def assemble(config: DictConfig, like: Parts | None = None) -> Parts:
    """Build data, task, network, loss and module, in this order.

    Args:
        config: the resolved config.
        like: parts of a run with the same config of data and task, which are shared with it.

    Raises:
        WrongInput: if a part refuses its options or does not fit the others.
    """
    require_fit(config)
    data = ready_data(config) if like is None else like.data
    task: Task = build(config.task.definition, "task", data)
    network = initial_network(config, data, task)
    weights_hash = fingerprint(network.state_dict().values())
    loss = build_loss(config.loss, data)
    form = fitting_form(config, loss, task.offers) or find_form(config, loss, task, data, network)
    references = _references(config, task) if like is None else like.references
    if config.compile:
        network.compile()  # in place: the names in a checkpoint stay those of the network
    offered = {
        "form": form,
        "link": loss.link if isinstance(loss, Loss) else task.standard_link,
        "optimizer": _later(config.optimizer, "optimizer"),
        "scheduler": _later(config.scheduler, "scheduler"),
        "regularizer": _regularizer(config, network),
        "references": references,
        "seed": config.seed,
        "name": config.choices.loss,
        "monitor": config.task.monitor,
        "sample_loss": _sample_loss(config, data),
    }
    # a module that owns its step takes by name what it needs
    taken = accepted(target_of(config.task.module, "task"), offered)
    for name in ("regularizer", "scheduler", "sample_loss"):
        if offered[name] is not None and name not in taken:
            raise WrongInput(f"task={config.choices.task} takes no {name.replace('_', ' ')}")
    module = build(config.task.module, "task", network, loss, task, **taken)
    try:
        module.configure_optimizers()
    except (ValueError, TypeError) as error:
        raise WrongInput(f"optimizer or scheduler: {error}") from error
    return Parts(data, task, network, weights_hash, module, references)


def ready_data(config: DictConfig) -> Any:
    """The data module with its files read and its splits drawn."""
    data = build(config.data, "data")
    try:
        data.prepare_data()
        data.setup()
    except (ValueError, OSError) as error:
        raise WrongInput(f"data={config.choices.data}: {' '.join(str(error).split())}") from error
    return data


def initial_network(config: DictConfig, data: Any, task: Task) -> nn.Module:
    """The network with the seed's initial weights; it is told the sizes it asks for by name."""
    torch.manual_seed(draw_seed(config.seed, "weights"))
    sizes = {"input_shape": data.input_shape, "outputs": task.outputs}
    offered = accepted(target_of(config.model, "model"), sizes)
    name = f"model={config.choices.model}"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")  # said below
        network: nn.Module = build(config.model, name, **offered)
    for parameter, weight in network.named_parameters():
        if not weight.numel():  # torch makes layers of no unit, and the output is then constant
            raise WrongInput(f"{name}: {parameter} must hold a number at least, got none")
    return network


def build_loss(node: DictConfig, data: Any, **options: Any) -> nn.Module:
    """The loss; where a weight is ``balanced``, from the training split's class counts."""
    balanced = balanced_weights(node, getattr(data, "class_counts", None))
    if "pos_weight" in balanced and data.target_kind == "multilabel":
        # a sample can have several labels: the negatives of one are the samples without it
        counts = data.class_counts.double()
        balanced["pos_weight"] = ((data.train.size - counts) / counts).tolist()
    if "pos_weight" in balanced and data.outputs == 1:
        balanced["pos_weight"] = balanced["pos_weight"][-1:]  # one logit says foreground or not
    options = balanced | options
    loss: nn.Module = build(node, "loss", **options)
    return loss


def balanced_weights(node: Mapping[str, Any], counts: Tensor | None) -> dict[str, Any]:
    """The options that read ``balanced``: n / (C n_c) a class, negatives a positive for pos_weight.

    Raises:
        WrongInput: if the data have no classes to count.
    """
    asked = [name for name in ("weight", "pos_weight", "alpha") if node.get(name) == "balanced"]
    if asked and counts is None:
        raise WrongInput(f"loss.{asked[0]}=balanced needs class counts, and these data have none")
    if not asked or counts is None:
        return {}
    counts = counts.double()
    shares = {
        "weight": counts.sum() / (len(counts) * counts),
        "alpha": counts.sum() / (len(counts) * counts),
        "pos_weight": (counts.sum() - counts) / counts,
    }
    return {name: shares[name].tolist() for name in asked}


# --- does the loss read what the task gives? --------------------------------------------------


def require_fit(config: DictConfig) -> Reads | None:
    """The target form that the loss reads, before any data are made; see :func:`fitting_form`."""
    loss, task = target_of(config.loss, "loss"), target_of(config.task.definition, "task")
    return fitting_form(config, loss, task.offers)


def fitting_form(config: DictConfig, loss: Any, offers: tuple[Reads, ...]) -> Reads | None:
    """The first offered form that the loss reads.

    Returns:
        The form, or ``None`` for a loss of another library, which says nothing.

    Raises:
        WrongInput: if there is none.
    """
    reads: tuple[Reads, ...] | None = getattr(loss, "reads", None)
    if reads is None:
        return None
    for form in offers:
        if form in reads:
            return form
    raise WrongInput(
        f"loss={config.choices.loss} reads {_names(reads)}, but task={config.choices.task} gives "
        f"{_names(offers)}. Losses that fit: {_fitting(offers)}"
    )


def find_form(
    config: DictConfig, loss: nn.Module, task: Task, data: Any, network: nn.Module
) -> Reads:
    """The first form that a loss of another library takes, found by trying one batch.

    Raises:
        WrongInput: if it takes none.
    """
    inputs, targets = task.pair(next(iter(data.train_dataloader())))
    refusals = []
    for form in task.offers:
        try:
            value = loss(network(inputs), task.target(targets, form))
            value.mean().backward()
        except (ValueError, TypeError, RuntimeError, IndexError, AssertionError) as error:
            refusals.append(f"{form.value}: {str(error).splitlines()[0][:120]}")
        else:
            network.zero_grad(set_to_none=True)
            return form
    raise WrongInput(
        f"loss={config.choices.loss} takes nothing that task={config.choices.task} gives "
        f"({'; '.join(refusals)}). Losses that fit: {_fitting(task.offers)}"
    )


def _fitting(offers: tuple[Reads, ...]) -> str:
    """The losses of conf/ that read one of the offered forms."""
    fitting = []
    for name in groups.names("loss"):
        reads = getattr(target_of(groups.node("loss", name), f"loss={name}"), "reads", ())
        if set(reads) & set(offers):
            fitting.append(name)
    return ", ".join(fitting)


def _names(forms: Iterable[Reads]) -> str:
    return " or ".join(form.value for form in forms)


# --- the smaller parts ------------------------------------------------------------------------


def _later(node: DictConfig, name: str) -> Any:
    """The node's target with its options, to be called later; ``None`` for an empty node."""
    if not node or "_target_" not in node:
        return None
    options: Any = OmegaConf.to_container(node, resolve=True)
    del options["_target_"]
    return partial(target_of(node, name), **options)


class Penalty:
    """A regularizer and the names of the parameters that it penalises.

    No dataclass: Hydra would take its instance for a config.
    """

    def __init__(self, regularizer: Regularizer, names: frozenset[str]) -> None:
        self.regularizer = regularizer
        self.names = names

    def __call__(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The penalty of a network's named parameters."""
        chosen = {name: value for name, value in parameters.items() if name in self.names}
        penalty: Tensor = self.regularizer(chosen)
        return penalty


def _regularizer(config: DictConfig, network: nn.Module) -> Penalty | None:
    if not config.regularizer or "_target_" not in config.regularizer:
        return None
    regularizer = build(config.regularizer, "regularizer")
    return Penalty(regularizer, frozenset(regularizer.penalised(network)))


def _references(config: DictConfig, task: Task) -> References:
    """The task's reference losses with the forms they read, from the configs' defaults."""
    references = {}
    for name, node in config.task.reference_losses.items():
        loss = build(node, f"reference loss {name}")
        form = next((form for form in task.offers if form in loss.reads), None)
        if form is not None:
            references[name] = (loss, form)
    return references


def _sample_loss(config: DictConfig, data: Any) -> nn.Module | None:
    """The loss a sample, where the samples have weights."""
    if getattr(getattr(data, "train", None), "weights", None) is None:
        return None
    try:
        return build_loss(config.loss, data, reduction="none")
    except WrongInput as error:
        raise WrongInput(
            f"the data have sample weights, and loss={config.choices.loss} has no value a sample: "
            f"{error}"
        ) from error


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """A short hash of the tensors' bytes."""
    digest = hashlib.blake2b(digest_size=8)
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
