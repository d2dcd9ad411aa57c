"""Weights of another training as initial weights."""

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.vision_transformer import interpolate_embeddings

from losslab.config.errors import unreadable
from losslab.config.extras import is_installed, not_installed
from losslab.models.fitting import weight_for_channels
from losslab.models.notes import add_note

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys below which files of training scripts hold the weights."""
BACKBONES = ("", "module.", "network.", "model.", "backbone.", "encoder.", "network.backbone.")
"""Prefixes of names in a network that the names in a file may lack."""


def load_file(network: nn.Module, path: str | Path, option: str = "model.weights") -> None:
    """Load the weights in a file that fit a network, see :func:`load_weights`.

    Args:
        network: the network, whose other weights stay as they are.
        path: the file.
        option: the option that names it, for messages.

    Raises:
        ValueError: if the file cannot be read, or has no weights of the network.
    """
    source = f"{option}={path}"
    load_weights(network, read_weights(path, source), source)


def read_weights(path: str | Path, source: str) -> dict[str, Tensor]:
    """Read a ``state_dict``, or a checkpoint with one, without running any code in it.

    Raises:
        ValueError: if it cannot be read.
    """
    if not Path(path).is_file():
        raise ValueError(f"{source} does not exist")
    is_safe = str(path).endswith(".safetensors")
    if is_safe and not is_installed("safetensors"):
        raise ValueError(f"{source}: {not_installed('safetensors')}")
    try:
        content = _safetensors(path) if is_safe else _pickled(path)
    except Exception as error:  # a damaged file can raise anything
        raise ValueError(
            f"{source} is not a file of tensors that can be read without running code, such as "
            f"that of torch.save(network.state_dict(), FILE): {unreadable(error)}"
        ) from error
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = content.items() if isinstance(content, Mapping) else ()
    found = {str(name): value for name, value in tensors if isinstance(value, Tensor)}
    if not found:
        raise ValueError(f"{source} has no state_dict")
    return found


def _safetensors(path: str | Path) -> Any:
    from safetensors.torch import load_file  # noqa: PLC0415 (an extra)

    return load_file(path)


def _pickled(path: str | Path) -> Any:
    with warnings.catch_warnings(action="ignore"):  # about files of other programs
        return torch.load(path, map_location="cpu", weights_only=True)


def load_weights(network: nn.Module, given: Mapping[str, Tensor], source: str) -> None:
    """Load the weights that fit a network, and note which do not, such as those of another head.

    Names may have a prefix more or less, as a backbone has in a whole network, and those of a file
    without it, such as parameters of a loss, are left out. The first
    convolution is converted to the channels of the network, and positions of patches are
    interpolated.

    Args:
        network: the network, whose other weights stay as they are.
        given: weights by name.
        source: where they are from, for messages, such as ``model.weights=FILE``.

    Raises:
        ValueError: if none fit.
    """
    own = network.state_dict()
    convolutions = (
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
    )
    first = next(convolutions, None)
    named = _aligned(given, own)
    fitted = {
        name: _fitted(value, own[name], reads_images=name == first)
        for name, value in named.items()
        if name in own
    }
    loaded = {name: value for name, value in fitted.items() if value is not None}
    if not any(value.ndim for value in loaded.values()):
        raise ValueError(
            f"{source} has no weights of this network: it has {_some(_shapes(given))}, but the "
            f"network {_some(_shapes(own))}"
        )
    network.load_state_dict(loaded, strict=False)
    left = {
        "of another size": [
            f"{name} {tuple(named[name].shape)} for {tuple(own[name].shape)}"
            for name in fitted
            if fitted[name] is None
        ],
        "missing in it": [name for name in own if name not in named],
        "not in the network": [name for name in named if name not in own],
    }
    text = "".join(f"; {what}: {_some(names)}" for what, names in left.items() if names)
    add_note(network, f"weights: {len(loaded)} of {len(own)} tensors from {source}{text}")


def _aligned(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights by the prefixes, in the file and in the network, that most of them have."""
    parts = [name.split(".") for name in given]
    prefixes = {"".join(f"{part}." for part in each[:end]) for each in parts for end in range(8)}

    def found(pair: tuple[str, str]) -> int:
        before, after = pair
        names = (name.removeprefix(after) for name in own if name.startswith(after))
        return sum(f"{before}{name}" in given for name in names)

    before, after = max(itertools.product(sorted(prefixes, key=len), BACKBONES), key=found)
    return {
        f"{after}{name.removeprefix(before)}": value
        for name, value in given.items()
        if name.startswith(before)
    }


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


def _shapes(weights: Mapping[str, Tensor]) -> list[str]:
    return [f"{name} {tuple(value.shape)}" for name, value in weights.items()]
