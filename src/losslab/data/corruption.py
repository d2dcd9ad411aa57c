"""Synthetic corruptions of a split: wrong labels, rare classes, outliers.

The functions are pure, and their corruptions are nested: with the same generator state, samples
corrupted at 10 % are corrupted at 20 % too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from losslab.data import checks

OutlierKind = Literal["vertical", "leverage"]
OUTLIER_KINDS = ("vertical", "leverage")
FEWEST = 5
"""Minimum number of samples of a class after imbalance."""


@dataclass(frozen=True)
class CorruptionOptions:
    """Options of the corruptions; see :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range.

    Example:
        >>> CorruptionOptions(label_noise=0.1).of_targets()
        ['label_noise']
    """

    label_noise: float = 0.0
    imbalance: float = 1.0
    outliers: float = 0.0
    outlier_size: float = 30.0
    outlier_kind: OutlierKind = "vertical"
    pixel_outliers: float = 0.0
    edge_noise: float = 0.0
    corrupt_val: bool = False

    def __post_init__(self) -> None:
        checks.require_number("label_noise", self.label_noise, 0, 1)
        checks.require_number("imbalance", self.imbalance, 0, 1)
        checks.require_number("outliers", self.outliers, 0, 1)
        checks.require_number("outlier_size", self.outlier_size)
        checks.require_choice("outlier_kind", self.outlier_kind, OUTLIER_KINDS)
        checks.require_number("pixel_outliers", self.pixel_outliers, 0, 1)
        checks.require_number("edge_noise", self.edge_noise, 0)
        checks.require_choice("corrupt_val", self.corrupt_val, (True, False))

    def of_targets(self) -> list[str]:
        """Return the names of the corruptions that are enabled and depend on the targets."""
        enabled = {
            "label_noise": self.label_noise > 0,
            "imbalance": self.imbalance < 1,
            "outliers": self.outliers > 0,
            "edge_noise": self.edge_noise > 0,
        }
        return [name for name, on in enabled.items() if on]


def label_noise(
    targets: Tensor,
    share: float,
    classes: int,
    generator: torch.Generator,
    *,
    among: Tensor | None = None,
) -> Tensor:
    """Replace exactly ``round(share * n)`` labels by another class, drawn uniformly.

    Args:
        targets: class indices ``(n,)``.
        share: fraction of wrong labels.
        classes: number of classes.
        generator: random generator on the CPU.
        among: indices of the samples that may change, of which ``share`` is taken; all by default.

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
    """Flip exactly ``round(share * n * K)`` of the 0/1 labels ``(n, K)``.

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
    """Return the ``classes // 2`` classes with the fewest samples; ties go to the last classes.

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
    """Return the indices of the samples to keep when rare classes lose all but ``share``.

    Args:
        targets: class indices ``(n,)``.
        share: fraction that each rare class keeps, ``round(share * its samples)``.
        rare: classes that lose samples, as returned by :func:`rarest_half`.
        generator: random generator on the CPU.
        names: names of the classes for messages.

    Raises:
        ValueError: if fewer than 5 samples of a rare class would remain.

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
    """Turn exactly ``round(share * n)`` samples into outliers, all in the same direction.

    ``vertical``: ``size`` is added to the target. ``leverage``: the input feature that correlates
    most with the target is shifted by the width of its range, and the target by ``size`` against
    the trend of that feature, so that these few points change a fitted slope.

    Args:
        inputs: ``(n, *)``.
        targets: ``(n, K)``.
        share: fraction of outliers.
        size: shift of the targets, in their own unit.
        generator: random generator on the CPU.
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
    """Add salt-and-pepper noise: with probability ``share``, set a pixel to an extreme value.

    The extremes are the minimum and the maximum of all inputs, with equal probability. A share s
    moves the mean of a pixel by the fraction s towards the middle of the range; the median does not
    change for s below 1/2.

    Args:
        inputs: ``(n, *)``.
        share: probability of each pixel.
        generator: random generator on the CPU.

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


def random_boxes(
    targets: Tensor, share: float, size: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Replace exactly ``round(share * boxes)`` boxes by random ones in the same image.

    Their corners are uniform in the image, at least a pixel apart.

    Args:
        targets: boxes, see :class:`~losslab.data.kinds.Boxes`.
        share: fraction of the boxes.
        size: height and width of the images in pixels.
        generator: random generator on the CPU.

    Example:
        >>> box = torch.tensor([0.0, 1, 1, 3, 3]).repeat(10, 1, 1)
        >>> spoiled = random_boxes(box, 0.2, (8, 8), torch.Generator())
        >>> int((spoiled != box).any(dim=2).sum())
        2
    """
    rows = targets.flatten(0, 1).clone()
    order = torch.randperm(len(rows), generator=generator)
    order = order[rows[order, 0] >= 0]
    corners = torch.rand(len(rows), 2, 2, generator=generator) * torch.tensor(size).flip(0)
    chosen = order[: round(share * len(order))]
    rows[chosen, 1:] = _spread(corners.flatten(1), size)[chosen]
    return rows.view_as(targets)


def edge_noise(
    targets: Tensor, deviation: float, size: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Move each edge of the boxes by normal noise; boxes stay in the image, a pixel wide at least.

    Args:
        targets: boxes, see :class:`~losslab.data.kinds.Boxes`.
        deviation: standard deviation, as a fraction of the box's width (left and right edge) or
            height.
        size: height and width of the images in pixels.
        generator: random generator on the CPU.

    Example:
        >>> box = torch.tensor([[[0.0, 10, 10, 20, 20], [-1, 0, 0, 0, 0]]])
        >>> noisy = edge_noise(box, 0.1, (40, 40), torch.Generator())
        >>> (noisy != box).sum(dim=2)  # padding stays
        tensor([[4, 0]])
    """
    corners = targets[..., 1:]
    sides = (corners[..., 2:] - corners[..., :2]).repeat(1, 1, 2)
    moved = corners + deviation * sides * torch.randn(corners.shape, generator=generator)
    real = targets[..., :1] >= 0
    return torch.cat([targets[..., :1], _spread(moved, size).where(real, corners)], dim=2)


def _spread(corners: Tensor, size: tuple[int, int]) -> Tensor:
    """Order corners ``(*, 4)``, keep them in the image, and at least a pixel apart."""
    edge = torch.tensor(size).flip(0)
    low = torch.minimum(corners[..., :2], corners[..., 2:])
    high = torch.maximum(corners[..., :2], corners[..., 2:])
    low = low.clamp(min=0).minimum(edge - 1)
    return torch.cat([low, high.minimum(edge).maximum(low + 1)], dim=-1)


def _correlation(features: Tensor, targets: Tensor) -> Tensor:
    """Compute Pearson's correlation of each feature with the mean target; 0 for constants."""
    centred = features - features.mean(0)
    target = targets.mean(1) - targets.mean()
    scale = centred.square().sum(0).sqrt() * target.square().sum().sqrt()
    return torch.where(scale > 0, (centred * target.unsqueeze(1)).sum(0) / scale, 0)
