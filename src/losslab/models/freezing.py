"""Train parts of a network: frozen weights, and statistics of batches that stay as they are."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from losslab.models.notes import add_note

BACKBONE = "backbone"


def freeze(network: nn.Module, parts: str | Sequence[str]) -> None:
    """Freeze weights, which then get no gradient, and the running statistics beside them.

    Args:
        network: the network, which is changed in place.
        parts: ``"backbone"`` for all but the head (see :func:`head_of`), or names of layers and
            parameters, in which ``*`` stands for anything: ``["conv1", "layer[12].*"]``.

    Raises:
        ValueError: if a name fits no parameter, or none is left to train.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> freeze(network, "backbone")
        >>> [name for name, value in network.named_parameters() if value.requires_grad]
        ['2.weight', '2.bias']
    """
    if not isinstance(parts, str):
        parts = [str(part) for part in parts]  # layers of nn.Sequential have numbers
    names = [name for name, _ in network.named_parameters()]
    chosen = set(names) - set(head_of(network)) if parts == BACKBONE else _named(names, parts)
    if not chosen or chosen == set(names):
        left = "no weight to freeze" if not chosen else "no weight to train"
        raise ValueError(f"model.freeze={parts} leaves {left}: name layers, such as {names[0]}")
    for name, parameter in network.named_parameters():
        if name in chosen:
            parameter.requires_grad_(False)
    vars(network)["frozen_statistics"] = tuple(
        name
        for name, layer in network.named_modules()
        if isinstance(layer, _NormBase) and _is_frozen(name, layer, chosen, parts)
    )
    keep_statistics(network)
    sizes = {name: value.numel() for name, value in network.named_parameters()}
    frozen = sum(sizes[name] for name in chosen)
    add_note(network, f"frozen: {frozen:,} of {sum(sizes.values()):,} weights (model.freeze)")


def _named(names: Sequence[str], patterns: str | Sequence[str]) -> set[str]:
    """Return the parameters that patterns name, or whose layers they name."""
    found: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        fitting = {
            name
            for name in names
            if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")
        }
        if not fitting:
            listed = ", ".join(dict.fromkeys(name.split(".")[0] for name in names))
            raise ValueError(f"model.freeze: {pattern} is not in the network, which has {listed}")
        found |= fitting
    return found


def _is_frozen(name: str, layer: nn.Module, frozen: set[str], parts: str | Sequence[str]) -> bool:
    own = [f"{name}.{each}" for each, _ in layer.named_parameters()]
    if own:
        return frozen.issuperset(own)
    return parts == BACKBONE  # it has no weights, and is not the head, which has


def head_of(network: nn.Module) -> list[str]:
    """Return the names of the parameters that are trained when the backbone is frozen.

    These are all outside of a child called ``backbone``, or ``encoder`` beside a ``decoder``;
    else those of the last layer with weights.

    Example:
        >>> head_of(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)))
        ['1.weight', '1.bias']
    """
    names = [name for name, _ in network.named_parameters()]
    children = dict(network.named_children())
    if len(children) == 1 and not names[0].partition(".")[0].isdigit():  # a wrapper
        [(name, inner)] = children.items()
        return [f"{name}.{each}" for each in head_of(inner)]
    for body, beside in ((BACKBONE, ""), ("encoder", "decoder")):
        if body in children and (not beside or beside in children):
            return [name for name in names if not name.startswith(f"{body}.")]
    layers = [
        name
        for name, module in network.named_modules()
        if any(True for _ in module.parameters(recurse=False)) and not list(module.children())
    ]
    return [name for name in names if name.rpartition(".")[0] == layers[-1]]


def set_training(network: nn.Module, training: bool) -> None:
    """Set the mode of a network, in which layers with frozen statistics stay in evaluation mode."""
    network.train(training)
    keep_statistics(network)


def keep_statistics(network: nn.Module) -> None:
    """Set layers with frozen statistics to evaluation mode."""
    for name in vars(network).get("frozen_statistics", ()):
        network.get_submodule(name).eval()


def normalizes_batches(network: nn.Module) -> bool:
    """Return whether a sample's prediction in training depends on the other samples of its batch.

    Example:
        >>> normalizes_batches(nn.BatchNorm1d(3)), normalizes_batches(nn.GroupNorm(1, 3))
        (True, False)
    """
    frozen = vars(network).get("frozen_statistics", ())
    return any(
        isinstance(module, _BatchNorm) and name not in frozen
        for name, module in network.named_modules()
    )
