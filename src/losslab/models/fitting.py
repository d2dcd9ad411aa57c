"""Fit networks that were made for photographs to images of other sizes and channels."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from losslab.models.notes import add_note

Stem = Literal["auto", "small", "standard"]

SMALL = 64
"""Height or width below which ``stem="auto"`` is a small one."""


def is_small(stem: Stem, input_shape: Sequence[int], weights: str | None) -> bool:
    """Return whether a network gets a small stem; ``auto`` keeps one that has trained weights."""
    return stem == "small" or (stem == "auto" and weights is None and min(input_shape[1:]) < SMALL)


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    """Return the convolution that reads the image, with its name.

    Raises:
        ValueError: if the network has none.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            return name, module
    raise ValueError(f"{type(network).__name__} must have a Conv2d, got none")


def fit_channels(network: nn.Module, channels: int) -> None:
    """Let the first convolution read images with this number of channels, in place."""
    _, first = first_convolution(network)
    first.in_channels = channels
    first.weight = nn.Parameter(weight_for_channels(first.weight.detach(), channels))


def weight_for_channels(weight: Tensor, channels: int) -> Tensor:
    """Convert the weight of a convolution to another number of input channels.

    A grey image gives what it gave as three equal channels; further channels repeat the first
    ones, scaled so that outputs keep their size.

    Example:
        >>> weight_for_channels(torch.ones(1, 3, 1, 1), 1).flatten()
        tensor([3.])
    """
    before = weight.shape[1]
    if channels == before:
        return weight
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    return weight[:, torch.arange(channels) % before] * (before / channels)


def shrink_stem(network: nn.Module) -> None:
    """Let the network begin with a 3 x 3 convolution of stride 1, without pooling after it.

    Networks for photographs reduce height and width by 4 before their first block, which leaves
    little of a small image.
    """
    name, first = first_convolution(network)
    if first.kernel_size == (3, 3):
        first.stride = (1, 1)
    else:
        bias = first.bias is not None
        smaller = nn.Conv2d(first.in_channels, first.out_channels, 3, padding=1, bias=bias)
        nn.init.kaiming_normal_(smaller.weight, mode="fan_out", nonlinearity="relu")
        network.set_submodule(name, smaller)
    add_note(network, "stem: 3 x 3 pixels of stride 1 (model.stem=standard for its own)")
    names = [each for each, _ in network.named_modules()]
    for following in names[names.index(name) + 1 :]:
        module = network.get_submodule(following)
        if isinstance(module, nn.MaxPool2d):
            network.set_submodule(following, nn.Identity())
        if isinstance(module, nn.Conv2d | nn.MaxPool2d):
            return
