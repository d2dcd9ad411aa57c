"""Weights of another training as initial weights."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.vision_transformer import interpolate_embeddings

from losslab.config.errors import unreadable
from losslab.models.fitting import first_convolution, weight_for_channels
from losslab.models.notes import add_note

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys below which files of training scripts hold the weights."""
PREFIXES = ("", "module.", "network.", "model.", "backbone.", "encoder.", "network.backbone.")
"""Prefixes of names, in a file or in a network, that a name in the other may lack."""


def load_file(network: nn.Module, path: str) -> None:
    """Load the weights in a file that fit a network, see :func:`load_weights`.

    Raises:
        ValueError: if the file cannot be read, or has no weights of the network.
    """
    load_weights(network, read_weights(path), path)


def read_weights(path: str) -> dict[str, Tensor]:
    """Read a ``state_dict``, or a checkpoint with one, without running any code in it.

    Raises:
        ValueError: if it cannot be read.
    """
    if not Path(path).is_file():
        raise ValueError(f"model.weights={path} does not exist")
    try:
        content = _content(path)
    except Exception as error:  # a damaged file can raise anything
        reason = unreadable(error)
        raise ValueError(f"model.weights={path} is not a state_dict of tensors: {reason}") from None
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = content.items() if isinstance(content, Mapping) else ()
    found = {str(name): value for name, value in tensors if isinstance(value, Tensor)}
    if not found:
        raise ValueError(f"model.weights={path} is not a state_dict: it has no named tensors")
    return found


def _content(path: str) -> Any:
    if path.endswith(".safetensors"):
        from safetensors.torch import load_file as load  # noqa: PLC0415 (an extra)

        return load(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def load_weights(network: nn.Module, given: Mapping[str, Tensor], source: str) -> None:
    """Load the weights that fit a network, and note which do not, such as those of another head.

    Names may have a prefix more or less, as a backbone has in a whole network. The first
    convolution is converted to the channels of the network, and positions of patches are
    interpolated.

    Args:
        network: the network, whose other weights stay as they are.
        given: weights by name.
        source: where they are from, for messages.

    Raises:
        ValueError: if none fit.
    """
    own = network.state_dict()
    first, _ = first_convolution(network) if _has_images(network) else ("", None)
    named = _aligned(given, own)
    fitted = {
        name: _fitted(value, own[name], reads_images=name == f"{first}.weight")
        for name, value in named.items()
        if name in own
    }
    loaded = {name: value for name, value in fitted.items() if value is not None}
    if not any(value.ndim for value in loaded.values()):
        raise ValueError(
            f"model.weights={source} has no weights of this network: it has {_some(list(given))}, "
            f"but the network {_some(list(own))}"
        )
    network.load_state_dict(loaded, strict=False)
    left = {
        "of another size": [
            f"{name} {tuple(named[name].shape)}" for name in fitted if fitted[name] is None
        ],
        "missing in it": [name for name in own if name not in named],
        "not in the network": [name for name in named if name not in own],
    }
    text = "".join(f"; {what}: {_some(names)}" for what, names in left.items() if names)
    add_note(network, f"weights: {len(loaded)} of {len(own)} tensors from {source}{text}")


def _has_images(network: nn.Module) -> bool:
    return any(isinstance(module, nn.Conv2d) for module in network.modules())


def _aligned(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights by the prefixes with which most of them have a name in the network."""
    candidates = (
        {f"{after}{name.removeprefix(before)}": value for name, value in given.items()}
        for before, after in itertools.product(PREFIXES, PREFIXES)
    )
    return max(candidates, key=lambda named: sum(name in own for name in named))


def _fitted(value: Tensor, own: Tensor, *, reads_images: bool) -> Tensor | None:
    """Return a weight in the shape of the network's, if it can be converted."""
    if value.shape == own.shape:
        return value
    channels_differ = value.ndim == own.ndim == 4 and value[:, 0].shape == own[:, 0].shape
    if reads_images and channels_differ:
        return weight_for_channels(value, own.shape[1])
    if value.ndim == own.ndim == 3 and value.shape[0] == 1 and value.shape[2] == own.shape[2]:
        return _other_positions(value, own.shape[1])
    return None


def _other_positions(value: Tensor, count: int) -> Tensor | None:
    """Interpolate the embedding of a class token and a square of patches, (1, 1 + n * n, D)."""
    sides = [math.isqrt(number - 1) for number in (value.shape[1], count)]
    if [side**2 + 1 for side in sides] != [value.shape[1], count]:
        return None
    key = "encoder.pos_embedding"
    state: Any = interpolate_embeddings(sides[1], 1, {key: value})
    embedding: Tensor = state[key]
    return embedding


def _some(names: Sequence[str]) -> str:
    """List names, the first three of many."""
    more = f" and {len(names) - 3} more" if len(names) > 4 else ""
    return ", ".join(names[:3] if more else names) + more
