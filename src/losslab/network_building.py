"""Build the network of a run with its initial weights, from its resolved config."""

import copy
import inspect
import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch
from omegaconf import DictConfig, ListConfig
from torch import nn
from torch.nn.parameter import is_lazy

from losslab.config.errors import UserError, described
from losslab.config.instantiate import accepted, build, target_of
from losslab.models.freezing import freeze, normalizes_batches
from losslab.models.notes import notes_of
from losslab.models.weights import load_file
from losslab.rng import Purpose, derive_seed
from losslab.tasks import Task

OPTIONS = {"weights": None, "freeze": None, "channels_last": False}
"""Options of every network in ``model``, with their defaults, unless its constructor has them."""

_MADE: WeakSet[nn.Module] = WeakSet()
"""Parts of the networks that were made so far."""


def initial_network(config: DictConfig, data: Any, task: Task, *, starts: bool = True) -> nn.Module:
    """Build the network with the seed's initial weights and the sizes that it takes by name.

    Weights of ``model.weights`` replace those of the seed where they fit.

    Args:
        config: the resolved config.
        data: the data.
        task: the task.
        starts: whether the weights of ``model.weights`` are read; not if a checkpoint follows.

    Raises:
        UserError: if it cannot be built, or an option of :data:`OPTIONS` does not fit it.
    """
    torch.manual_seed(derive_seed(config.seed, Purpose.WEIGHTS))
    name = f"model={config.choices.model}"
    target = target_of(config.model, "model")
    node = config.model if starts else _without_weights(config.model)
    own, options = _separated(node, target)
    sizes = {"input_shape": data.input_shape, "outputs": task.outputs}
    sizes |= getattr(data, "sizes_of_embeddings", {})  # of data whose inputs are numbers of things
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Initializing zero-element tensors"
        )  # reported below
        network: nn.Module = build(own, name, **accepted(target, sizes))
    if not isinstance(network, nn.Module):
        raise UserError(f"{name} must be an nn.Module, got {type(network).__name__}")
    _require_new(network, name)
    if _lazy(network):
        _give_sizes(network, name, data)
    for parameter, weight in network.named_parameters():
        if not weight.numel():  # torch permits layers without units, whose output is constant
            raise UserError(f"{name}: {parameter} must have at least one element, got none")
    if config.trainer.get("sync_batchnorm") and not _trains_on_cuda(config):
        raise UserError("trainer.sync_batchnorm=true needs GPUs: leave it out")
    try:
        _apply(network, options)
    except (ValueError, TypeError) as error:
        raise UserError(f"{name}: {error}") from error
    return network


def require_new_networks(config: DictConfig, data: Any, task: Task) -> None:
    """Check that a function that makes the network makes another one at a further call.

    Raises:
        UserError: if runs would share its weights.
    """
    if not inspect.isclass(target_of(config.model, "model")):
        initial_network(config, data, task, starts=False)


def _require_new(network: nn.Module, name: str) -> None:
    """Check that no part of a network that training changes was made for another run.

    Raises:
        UserError: otherwise, since the run would begin with weights that another has trained.
    """
    for path, part in network.named_modules():
        parameters = part.parameters(recurse=False)
        changes = any(each.requires_grad for each in parameters) or bool(part._buffers)
        if changes and part in _MADE:
            raise UserError(
                f"{name} must be made anew for each run, but {path or type(part).__name__} is that "
                "of an earlier one: make it in the function, or copy it there by copy.deepcopy"
            )
    _MADE.update(network.modules())


def _lazy(network: nn.Module) -> list[str]:
    """Return the weights and buffers whose size is not known before a first batch."""
    tensors = itertools.chain(network.named_parameters(), network.named_buffers())
    return [name for name, tensor in tensors if is_lazy(tensor)]


def _give_sizes(network: nn.Module, name: str, data: Any) -> None:
    """Pass two inputs of zeros through a network with lazy layers, which then draw their weights.

    Raises:
        UserError: if that fails, or leaves a layer without a size.
    """
    shape = 2, *data.input_shape
    modes = {part: part.training for part in network.modules()}
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(shape))
    except Exception as error:
        raise UserError(
            f"{name} has lazy layers, whose sizes a batch of shape {shape} must give, but it fails "
            f"on one: {described(error)}"
        ) from error
    for part, training in modes.items():
        part.training = training
    if left := _lazy(network):
        raise UserError(f"{name}: no size is known for {left[0]}, which an input does not reach")


def _without_weights(node: DictConfig) -> DictConfig:
    """Return the node of the same network without the file of its weights."""
    node = copy.deepcopy(node)
    if node.get("weights") is not None:
        node.weights = None
        if node.get("stem") == "auto":  # that of a network with weights
            node.stem = "standard"
    return node


def _trains_on_cuda(config: DictConfig) -> bool:
    return torch.cuda.is_available() and config.trainer.accelerator in ("auto", "gpu", "cuda")


def _separated(node: DictConfig, target: Any) -> tuple[DictConfig, dict[str, Any]]:
    """Separate the options of a network's constructor from those that losslab applies itself."""
    taken = accepted(target, OPTIONS)
    options = {key: node.get(key, default) for key, default in OPTIONS.items() if key not in taken}
    # a constructor keeps its own default where ours is not changed
    left_out = {key for key, default in OPTIONS.items() if node.get(key, default) == default}
    own = copy.deepcopy(node)
    for key in options.keys() | left_out:
        own.pop(key, None)
    return own, options


def _apply(network: nn.Module, options: dict[str, Any]) -> None:
    weights = options.get("weights")
    if weights == "hub":
        raise ValueError("weights=hub is for networks of other libraries: use model.weights=FILE")
    if weights is not None:
        load_file(network, weights)
    if parts := options.get("freeze"):
        freeze(network, list(parts) if isinstance(parts, ListConfig) else parts)
    if options.get("channels_last"):
        network.to(memory_format=torch.channels_last)


@contextmanager
def kept_buffers(network: nn.Module) -> Iterator[None]:
    """Give a network that is tried copies of its buffers, such as running statistics."""
    before = [(module, dict(module._buffers)) for module in network.modules() if module._buffers]
    try:
        for module, own in before:
            copies = {name: None if value is None else value.clone() for name, value in own.items()}
            module._buffers.update(copies)
        yield
    finally:
        for module, own in before:
            module._buffers.update(own)


def network_notes(config: DictConfig, network: nn.Module, data: Any) -> list[str]:
    """Return what a reader should know of how a network is made and trained."""
    notes = list(notes_of(network))
    if not normalizes_batches(network):
        return notes
    if getattr(data, "merges_last", False):
        notes.append("batch normalization: the last sample of an epoch joins the batch before it")
    if config.trainer.get("accumulate_grad_batches", 1) > 1:
        notes.append("batch normalization: by each accumulated batch, not by all of a step")
    return notes
