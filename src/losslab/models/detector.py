"""A small one-stage detector, and what a detector's outputs are.

A detector predicts a box at each of P places of an image: points of grids, or anchors. Its output
is one tensor, ``(N, P, C + 8)`` or ``(N, P, C + 10)``, with in each row

- C logits of the classes,
- 4 corners of the predicted box, x1, y1, x2, y2 in pixels,
- 4 corners of the place: an anchor, or a square around a point, with the side of its grid's cells,
- for points, 2 bounds of the size of the boxes that the place is for, in pixels.

So losses, metrics and figures need not know the network, and runs, ranks and checkpoints handle
detectors like other networks.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, softplus

from losslab.config.specs import require_samples

RARITY = 0.01
"""Probability of each class at each place before training, as most places are background."""
SIZES = 4, 8
"""Bounds of the sizes of a grid's boxes, in sides of its cells."""
ANY = 1e6
"""Bound of the sizes of the last grid's boxes, in pixels: larger than any image."""


class Detector(nn.Module):
    r"""Anchor-free detector of one stage, like FCOS without its centreness.

    Convolutions halve the image, and each of the last few resolutions has a grid of points, whose
    features are added to those of the next coarser one. A head, which all grids share, predicts
    logits and the distances from the point to the four sides of a box, as multiples of the grid's
    cells, :math:`s \cdot \operatorname{softplus}(z)`: any output is a valid box around its point.

    Args:
        input_shape: (channels, height, width) of an image.
        outputs: number of classes C.
        channels: channels of the convolutions, each of which halves height and width.
        levels: number of grids, at the last resolutions.
        hidden: channels of the head.

    Shape:
        (N, C, H, W) to (N, P, outputs + 10), see :mod:`losslab.models.detector`.

    Raises:
        ValueError: if a sample is not an image, or is halved below one pixel, or there are more
            grids than resolutions.

    Source:
        Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", 2019.

    Example:
        >>> Detector((1, 32, 32), 3)(torch.zeros(5, 1, 32, 32)).shape  # 8 * 8 + 4 * 4 points
        torch.Size([5, 80, 13])
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: int,
        channels: Sequence[int] = (16, 32, 64),
        levels: int = 2,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        require_samples("Detector", input_shape)
        depth, height, width = input_shape
        if min(height, width) < 2 ** len(channels):
            raise ValueError(
                f"model.channels has {len(channels)} convolutions, which halve images of shape "
                f"{tuple(input_shape)} below one pixel: use fewer channels"
            )
        if not 1 <= levels <= len(channels):
            raise ValueError(
                f"model.levels must be from 1 to {len(channels)}, as many as channels, got {levels}"
            )
        self.backbone = _Pyramid([depth, *channels], levels, hidden)
        self.head = _Head(hidden, outputs)
        self.strides = [2**power for power in range(1, len(channels) + 1)][-levels:]

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits and boxes, beside the points of the grids."""
        every = []
        grids = zip(self.backbone(images), self.strides, size_bounds(self.strides), strict=True)
        for grid, stride, bounds in grids:
            logits, distances = map(in_full_precision, self.head(grid))
            rows, columns = grid.shape[-2:]
            points = squares(rows, columns, stride, logits)
            every.append(at_points(logits, stride * softplus(distances), points, bounds))
        return torch.cat(every, dim=1)


class _Pyramid(nn.Module):
    """Features at the last resolutions, the finest first, each added to the next coarser one."""

    def __init__(self, channels: Sequence[int], levels: int, features: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(*_convolution(before, after), nn.MaxPool2d(2))
            for before, after in zip(channels[:-1], channels[1:], strict=True)
        )
        self.across = nn.ModuleList(nn.Conv2d(each, features, 1) for each in channels[-levels:])

    def forward(self, images: Tensor) -> list[Tensor]:
        every = []
        for block in self.down:
            images = block(images)
            every.append(images)
        found: list[Tensor] = []
        for across, features in zip(reversed(self.across), reversed(every), strict=False):
            grid = across(features)
            if found:
                grid = grid + interpolate(found[0], size=grid.shape[-2:], mode="nearest")
            found.insert(0, grid)
        return found


class _Head(nn.Module):
    """Logits and outputs for four distances at each point of a grid."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.of_classes = nn.Sequential(*_convolution(features, features))
        self.of_boxes = nn.Sequential(*_convolution(features, features))
        self.classes = nn.Conv2d(features, classes, kernel_size=3, padding=1)
        self.distances = nn.Conv2d(features, 4, kernel_size=3, padding=1)
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.constant_(self.classes.get_parameter("bias"), math.log(RARITY / (1 - RARITY)))

    def forward(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.classes(self.of_classes(grid))
        distances = self.distances(self.of_boxes(grid))
        return logits.flatten(2).mT, distances.flatten(2).mT


def _convolution(before: int, after: int) -> list[nn.Module]:
    groups = 8 if after % 8 == 0 else 1
    return [
        nn.Conv2d(before, after, kernel_size=3, padding=1),
        nn.GroupNorm(groups, after),
        nn.ReLU(),
    ]


def squares(rows: int, columns: int, side: float, like: Tensor) -> Tensor:
    """Return the corners of the cells of a grid, row by row, (rows * columns, 4).

    Example:
        >>> squares(1, 2, 4.0, torch.zeros(1))
        tensor([[0., 0., 4., 4.],
                [4., 0., 8., 4.]])
    """
    y, x = (
        side * torch.arange(count, dtype=like.dtype, device=like.device)
        for count in (rows, columns)
    )
    low = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)
    return torch.cat([low, low + side], dim=1)


def size_bounds(sides: Sequence[float]) -> list[tuple[float, float]]:
    """Return the bounds of the sizes of the boxes that each of several grids is for.

    Args:
        sides: sides of the cells of the grids, in pixels, the finest first.

    Example:
        >>> size_bounds([4, 8, 16])
        [(0.0, 32.0), (32.0, 64.0), (64.0, 1000000.0)]
    """
    least, most = ([float(cells * side) for side in sides] for cells in SIZES)
    return list(zip([0.0, *least[1:]], [*most[:-1], ANY], strict=True))


def at_points(
    logits: Tensor, distances: Tensor, points: Tensor, bounds: tuple[float, float]
) -> Tensor:
    """Put together what a detector returns at the points of a grid.

    Args:
        logits: (N, P, C).
        distances: from each point to the left, upper, right and lower side, in pixels, (N, P, 4).
        points: squares around the points, (P, 4).
        bounds: of the sizes of boxes that the points are for.

    Returns:
        (N, P, C + 10).
    """
    centres = (points[:, :2] + points[:, 2:]) / 2
    boxes = torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], dim=-1)
    own = torch.cat([points, *(points.new_full((len(points), 1), each) for each in bounds)], dim=1)
    return torch.cat([logits, boxes, own.expand(len(logits), -1, -1)], dim=-1)


def in_full_precision(values: Tensor) -> Tensor:
    """Convert half-precision values, whose pixels would be rounded, to float32."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
