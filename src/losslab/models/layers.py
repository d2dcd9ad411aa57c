"""Layers of a network from its input to its head, for learning rates that differ by layer."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


def layers_of(network: nn.Module) -> list[tuple[str, list[nn.Parameter]]]:
    """Return the parameters of each layer, the head last, with the name of the layer.

    A layer is an item of the network's sequences, such as a residual block, or else a child of the
    network. Normalisation, biases and embeddings of positions belong to the layer before them, or
    to the first.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1))
        >>> [(name, len(parameters)) for name, parameters in layers_of(network)]
        [('0', 4), ('2', 2)]
    """
    layers: list[tuple[str, list[nn.Parameter]]] = []
    waiting: list[nn.Parameter] = []
    for name, parameters in _parts("", network):
        if layers and all(value.ndim < 2 for value in parameters):
            layers[-1][1].extend(parameters)
        elif all(value.ndim < 2 or value.shape[:-2] == (1,) for value in parameters):
            waiting += parameters
        else:
            layers.append((name, [*waiting, *parameters]))
            waiting = []
    return layers


def _parts(name: str, module: nn.Module) -> Iterator[tuple[str, list[nn.Parameter]]]:
    """Yield parameters that belong together, in order."""
    if own := list(module.parameters(recurse=False)):
        yield name, own
    for child_name, child in module.named_children():
        path = f"{name}.{child_name}" if name else child_name
        is_item = isinstance(module, nn.Sequential | nn.ModuleList)
        if isinstance(child, nn.Sequential | nn.ModuleList) or not is_item:
            yield from _parts(path, child)
        elif parameters := list(child.parameters()):
            yield path, parameters


def decayed_groups(
    network: nn.Module, optimizer: Callable[..., Optimizer], decay: float
) -> list[dict[str, Any]]:
    """Return groups of an optimizer, one per layer with trained weights, the head first.

    Args:
        network: the network.
        optimizer: makes the optimizer, at the learning rate of the head.
        decay: factor of the learning rate from each layer to the one before it.

    Source:
        Clark et al., "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than
        Generators", 2020.

    Example:
        >>> from functools import partial
        >>> network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        >>> sgd = partial(torch.optim.SGD, lr=0.5)
        >>> [(group["name"], group["lr"]) for group in decayed_groups(network, sgd, 0.5)]
        [('1', 0.5), ('0', 0.25)]
    """
    rate = optimizer([nn.Parameter(torch.zeros(1))]).param_groups[0]["lr"]
    groups = []
    for distance, (name, parameters) in enumerate(reversed(layers_of(network))):
        if trained := [value for value in parameters if value.requires_grad]:
            groups.append({"params": trained, "lr": rate * decay**distance, "name": name})
    return groups


def require_own_rates(scheduler: Any, rates: Sequence[float]) -> None:
    """Check that a scheduler multiplies learning rates, instead of setting one for all groups.

    Args:
        scheduler: the scheduler, whose optimizer has taken no step.
        rates: learning rates of the groups before it was made.

    Raises:
        ValueError: if it does, as ``OneCycleLR`` with one ``max_lr``.
    """
    now = [group["lr"] for group in scheduler.optimizer.param_groups]
    factors = [new / old for new, old in zip(now, rates, strict=True) if old]
    if factors and max(factors) - min(factors) > 1e-6 * max(factors):
        raise ValueError(
            f"{type(scheduler).__name__} sets the same learning rate for all layers: leave out "
            "optimizer.layer_decay, or use a scheduler that multiplies it"
        )
