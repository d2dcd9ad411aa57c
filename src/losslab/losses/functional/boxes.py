"""Overlap of pairs of boxes, and the losses of it, one value per pair.

Boxes are corners ``x1, y1, x2, y2``, two opposite ones in any order: the box is the one that they
span, so that no prediction has a negative width. All formulas are independent of the unit of the
coordinates. They are computed in units of the longer side of the box that encloses both, without an
epsilon that would hide small boxes; what the formula leaves open, 0 / 0, is 0 with zero gradient.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from losslab.losses.base import full_precision


def box_iou(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute the intersection over union of each pair of boxes.

    Args:
        prediction: corners, ``(*, 4)``.
        target: corners, ``(*, 4)``.

    Example:
        >>> box_iou(torch.tensor([0.0, 0.0, 2.0, 1.0]), torch.tensor([0.0, 0.0, 4.0, 1.0])).item()
        0.5
    """
    return _iou(_measured(prediction, target))


def iou(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute ``1 - IoU``, whose gradient is 0 for boxes that do not overlap."""
    return 1 - box_iou(prediction, target)


def giou(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute ``1 - IoU`` plus the share of the enclosing box that neither box covers."""
    pair = _measured(prediction, target)
    enclosing = _area(pair.enclosing)
    return 1 - _iou(pair) + _ratio(enclosing - _union(pair), enclosing)


def diou(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute ``1 - IoU + (distance of the centres / diagonal of the enclosing box)**2``."""
    pair = _measured(prediction, target)
    return 1 - _iou(pair) + _squared_distance(pair)


def ciou(prediction: Tensor, target: Tensor) -> Tensor:
    r"""Compute the DIoU loss plus :math:`\alpha v`, where v is the squared difference of shapes.

    .. math:: v = \frac{4}{\pi^2} (\operatorname{atan} w_t/h_t - \operatorname{atan} w_p/h_p)^2,
        \qquad \alpha = \frac{v}{1 - \mathrm{IoU} + v}

    The weight alpha is a constant for the gradient. A point has the shape of a square.
    """
    pair = _measured(prediction, target)
    overlap = _iou(pair)
    difference = _angle(pair.target_size) - _angle(pair.size)
    shape = 4 / math.pi**2 * difference.square()
    weight = _ratio(shape, 1 - overlap + shape).detach()
    return 1 - overlap + _squared_distance(pair) + weight * shape


class _Pair(NamedTuple):
    """Widths and heights ``(*, 2)`` of two boxes and between them, in a common unit."""

    size: Tensor
    target_size: Tensor
    common: Tensor
    """Of the intersection; 0 where the boxes are apart."""
    enclosing: Tensor
    """Of the smallest box that encloses both."""
    offset: Tensor
    """From the centre of the target to that of the prediction."""


def _measured(prediction: Tensor, target: Tensor) -> _Pair:
    prediction, target = full_precision(prediction, target)
    low, high = _ordered(prediction)
    target_low, target_high = _ordered(target.to(prediction.dtype))
    enclosing = torch.maximum(high, target_high) - torch.minimum(low, target_low)
    common = torch.minimum(high, target_high) - torch.maximum(low, target_low)
    common = torch.where(common < 0, 0, common)  # clamp has no gradient where boxes touch
    offset = ((low - target_low) + (high - target_high)) / 2
    # areas would overflow or vanish; the unit cancels, so it need not be differentiated
    longest = enclosing.detach().amax(dim=-1, keepdim=True)
    unit = longest.where(longest > 0, 1)
    sizes = (high - low, target_high - target_low, common, enclosing, offset)
    return _Pair(*(size / unit for size in sizes))


def _ordered(corners: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lower and the higher coordinates of boxes, each ``(*, 2)``.

    Equal corners count as ordered: a box without width has the gradient of one with some.
    """
    first, second = corners[..., :2], corners[..., 2:]
    swapped = second < first
    return torch.where(swapped, second, first), torch.where(swapped, first, second)


def _area(size: Tensor) -> Tensor:
    return size[..., 0] * size[..., 1]


def _union(pair: _Pair) -> Tensor:
    return _area(pair.size) + _area(pair.target_size) - _area(pair.common)


def _iou(pair: _Pair) -> Tensor:
    return _ratio(_area(pair.common), _union(pair))


def _squared_distance(pair: _Pair) -> Tensor:
    return _ratio(pair.offset.square().sum(dim=-1), pair.enclosing.square().sum(dim=-1))


def _angle(size: Tensor) -> Tensor:
    """Compute the angle of the diagonal, ``atan(w / h)``; 45 degrees for a point."""
    longer = size.detach().amax(dim=-1, keepdim=True)
    width, height = (size / longer.where(longer > 0, 1)).where(longer > 0, 1).unbind(dim=-1)
    return torch.atan2(width, height)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    nothing = whole <= 0  # which NaN is not
    return torch.where(nothing, 0, part / torch.where(nothing, 1, whole))
