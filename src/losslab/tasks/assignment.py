"""Assignment of true boxes to the places at which a detector predicts one.

The functions have static shapes and no branch on a value, so that they can be mapped over runs.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from losslab.losses.detection import BACKGROUND, UNDECIDED
from losslab.losses.functional import box_iou

RADIUS = 1.5
"""Distance from the centre of a box up to which points are its own, in cells of their grid."""
OBJECT, NOTHING = 0.5, 0.4
"""IoU from which an anchor is that of an object, and below which it is background."""


class Assigned(NamedTuple):
    """Which of M true boxes belongs to each of P places, (N, P)."""

    box: Tensor
    """Index of the box; anything where there is none."""
    kind: Tensor
    """0 for a place with a box, else BACKGROUND or UNDECIDED."""


def to_points(points: Tensor, bounds: Tensor, target: Tensor) -> Assigned:
    """Assign boxes to points, as FCOS does.

    A point gets a box that contains it, whose centre is less than 1.5 cells away in both
    directions, and whose largest distance from the point to a side is within the bounds of the
    point's grid; of several such boxes the smallest.

    Args:
        points: squares around the points, (N, P, 4).
        bounds: of the sizes of their boxes, (N, P, 2).
        target: class and corners, (N, M, 5), padded with the class -1.

    Source:
        Tian et al., "FCOS: A Simple and Strong Anchor-Free Object Detector", 2022.

    Example:
        >>> points = torch.tensor([[[0.0, 0, 4, 4], [4, 0, 8, 4]]])
        >>> target = torch.tensor([[[0.0, 1, 1, 5, 5]]])
        >>> to_points(points, torch.tensor([0.0, 99]).expand(1, 2, 2), target).kind
        tensor([[ 0, -1]])
    """
    low, high = points.unsqueeze(2).chunk(2, dim=-1)
    centres, side = (low + high) / 2, (high - low)[..., 0]
    corners = target[..., 1:].unsqueeze(1)
    first, last = corners.chunk(2, dim=-1)
    distances = torch.cat([centres - first, last - centres], dim=-1)
    is_inside = distances.amin(dim=-1) > 0
    is_near = (centres - (first + last) / 2).abs().amax(dim=-1) < RADIUS * side
    largest = distances.amax(dim=-1)
    least, most = bounds.unsqueeze(2).unbind(dim=-1)
    is_of_size = (largest > least) & (largest < most)
    own = is_inside & is_near & is_of_size & _are_real(target)
    areas = (last - first).prod(dim=-1).where(own, torch.inf)
    return Assigned(areas.argmin(dim=-1), own.any(dim=-1).long() - 1)


def to_anchors(anchors: Tensor, target: Tensor) -> Assigned:
    """Assign boxes to anchors, as RetinaNet does.

    An anchor gets the box that it overlaps most, if their IoU is at least 0.5, or if no anchor
    overlaps some box more. Below 0.4 it is background, and between these undecided.

    Args:
        anchors: their corners, (N, P, 4).
        target: class and corners, (N, M, 5), padded with the class -1.

    Source:
        Lin et al., "Focal Loss for Dense Object Detection", 2017.

    Example:
        >>> anchors = torch.tensor([[[0.0, 0, 4, 4], [4, 0, 8, 4], [0, 0, 4, 9]]])
        >>> to_anchors(anchors, torch.tensor([[[0.0, 0, 0, 4, 3]]])).kind
        tensor([[ 0, -1, -1]])
    """
    overlap = box_iou(anchors.unsqueeze(2), target[..., 1:].unsqueeze(1))
    overlap = overlap.where(_are_real(target), -1)
    most, box = overlap.max(dim=-1)
    best = overlap.amax(dim=-2, keepdim=True)
    is_best = ((overlap == best) & (best > 0)).any(dim=-1)
    kind = torch.where(most < NOTHING, BACKGROUND, UNDECIDED)
    return Assigned(box, kind.where(~(is_best | (most >= OBJECT)), 0))


def _are_real(target: Tensor) -> Tensor:
    """Return which boxes are not padding, (N, 1, M)."""
    return (target[..., 0] >= 0).unsqueeze(1)
