"""What spoils a split on purpose: wrong labels, rare classes, outliers.

Each function is pure and nested in its share: what is spoiled at 10 % is spoiled at 20 % too.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

OutlierKind = Literal["vertical", "leverage"]
OUTLIER_KINDS = ("vertical", "leverage")
FEWEST = 5
"""The fewest samples of a class that an imbalance may leave."""


def label_noise(
    targets: Tensor,
    share: float,
    classes: int,
    generator: torch.Generator,
    *,
    among: Tensor | None = None,
) -> Tensor:
    """Labels of which exactly ``round(share * n)`` are another class, each with the same chance.

    Args:
        targets: class indices ``(n,)``.
        share: the share of wrong labels.
        classes: the number of classes.
        generator: decides which labels, and what they become.
        among: the samples that count and may change; all by default.

    Example:
        >>> noisy = label_noise(torch.zeros(10).long(), 0.3, 4, torch.Generator())
        >>> (noisy != 0).sum().item()
        3
    """
    order = torch.randperm(len(targets), generator=generator)
    shift = torch.randint(1, classes, (len(targets),), generator=generator)
    if among is not None:
        order = order[torch.isin(order, among)]
    chosen = order[: round(share * len(order))]
    noisy = targets.clone()
    noisy[chosen] = (targets[chosen] + shift[chosen]) % classes
    return noisy


def flipped_labels(targets: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """0/1 labels ``(n, K)`` of which exactly ``round(share * n * K)`` are flipped.

    Example:
        >>> int(flipped_labels(torch.zeros(10, 2), 0.25, torch.Generator()).sum())
        5
    """
    chosen = torch.randperm(targets.numel(), generator=generator)
    chosen = chosen[: round(share * targets.numel())]
    noisy = targets.flatten().clone()
    noisy[chosen] = 1 - noisy[chosen]
    return noisy.view_as(targets)


def rarest_half(targets: Tensor, classes: int) -> Tensor:
    """The ``classes // 2`` classes with the fewest samples; of equal ones the last come first.

    Example:
        >>> rarest_half(torch.tensor([0, 0, 1, 1, 2, 2, 2]), 3)
        tensor([1])
    """
    counts = torch.bincount(targets, minlength=classes)
    last_first = torch.arange(classes).flip(0)
    return last_first[counts[last_first].argsort(stable=True)][: classes // 2].sort().values


def imbalance(
    targets: Tensor,
    share: float,
    rare: Tensor,
    generator: torch.Generator,
    *,
    names: Sequence[str] | None = None,
) -> Tensor:
    """The places of the samples that stay where rare classes keep ``share`` of their samples.

    Args:
        targets: class indices ``(n,)``.
        share: what each rare class keeps, ``round(share * its samples)``.
        rare: the classes that lose samples, as :func:`rarest_half` names them.
        generator: decides which samples stay.
        names: what messages call the classes.

    Raises:
        ValueError: if fewer than 5 samples of a rare class would stay.

    Example:
        >>> targets = torch.tensor([0] * 50 + [1] * 50)
        >>> kept = imbalance(targets, 0.1, torch.tensor([1]), torch.Generator())
        >>> torch.bincount(targets[kept]).tolist()
        [50, 5]
    """
    order = torch.randperm(len(targets), generator=generator)
    stays = torch.ones(len(targets), dtype=torch.bool)
    for label in rare.tolist():
        members = order[targets[order] == label]
        kept = round(share * len(members))
        if kept < min(FEWEST, len(members)):
            name = repr(names[label]) if names else label
            raise ValueError(
                f"imbalance must leave >= {FEWEST} samples of each class, got {share:g}, which "
                f"leaves {kept} of the {len(members)} of class {name}"
            )
        stays[members[kept:]] = False
    return stays.nonzero().flatten()


def outliers(
    inputs: Tensor,
    targets: Tensor,
    share: float,
    size: float,
    generator: torch.Generator,
    *,
    kind: OutlierKind = "vertical",
) -> tuple[Tensor, Tensor]:
    """Inputs and targets of which exactly ``round(share * n)`` samples lie off, all to one side.

    ``vertical``: the target is ``size`` too high. ``leverage``: the input feature that follows the
    target most closely moves out by the whole width of its range, and the target by ``size``
    against that feature's trend, so that these few points turn a fitted slope.

    Args:
        inputs: ``(n, *)``.
        targets: ``(n, K)``.
        share: the share of outliers.
        size: how far the targets move, in their own unit.
        generator: decides which samples.
        kind: ``"vertical"`` or ``"leverage"``.

    Example:
        >>> x = y = torch.arange(10.0).unsqueeze(1)
        >>> _, spoiled = outliers(x, y, 0.2, 30.0, torch.Generator())
        >>> int((spoiled - y).sum())
        60
    """
    chosen = torch.randperm(len(targets), generator=generator)[: round(share * len(targets))]
    targets = targets.clone()
    if kind == "vertical":
        targets[chosen] += size
        return inputs, targets
    flat = inputs.flatten(1).clone()
    trend = _correlation(flat, targets)
    feature = int(trend.abs().argmax())
    column = flat[:, feature]
    flat[chosen, feature] += column.max() - column.min()
    targets[chosen] -= size if trend[feature] >= 0 else -size
    return flat.view_as(inputs), targets


def pixel_outliers(inputs: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Images of which each pixel, with the chance ``share``, is the smallest or largest value.

    Smallest and largest of all the inputs, with equal chances (salt-and-pepper noise). Under a
    share s the mean of a pixel moves by s towards the middle of the range; below one half its
    median stays.

    Args:
        inputs: ``(n, *)``.
        share: the chance of each pixel.
        generator: decides which pixels, and what they become.

    Example:
        >>> clean = torch.linspace(0, 1, 1000).view(10, 1, 10, 10)
        >>> spoiled = pixel_outliers(clean, 0.2, torch.Generator())
        >>> spoiled[spoiled != clean].unique()
        tensor([0., 1.])
    """
    low, high = inputs.aminmax()
    hit = torch.rand(inputs.shape, generator=generator) < share
    white = torch.rand(inputs.shape, generator=generator) < 0.5
    return torch.where(hit, torch.where(white, high, low), inputs)


def _correlation(features: Tensor, targets: Tensor) -> Tensor:
    """Pearson's correlation of each feature with the mean target; 0 for a constant feature."""
    centred = features - features.mean(0)
    target = targets.mean(1) - targets.mean()
    scale = centred.square().sum(0).sqrt() * target.square().sum().sqrt()
    return torch.where(scale > 0, (centred * target.unsqueeze(1)).sum(0) / scale, 0)
