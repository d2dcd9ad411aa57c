"""Metrics of pairs of boxes, one value per pair."""

from torch import Tensor

from losslab.losses import functional


def box_iou(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute the intersection over union of pairs of boxes; 0 if both have no area.

    Args:
        prediction: corners x1, y1, x2, y2, (N, 4).
        target: corners, (N, 4).

    Returns:
        One value per pair, (N,).

    Example:
        >>> import torch
        >>> box_iou(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[0.0, 0, 2, 4]])).item()
        0.5
    """
    return functional.box_iou(prediction, target)


def centre_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute the distance between the centres of pairs of boxes, in the unit of their corners.

    Args:
        prediction: corners x1, y1, x2, y2, (N, 4).
        target: corners, (N, 4).

    Returns:
        One value per pair, (N,).

    Example:
        >>> import torch
        >>> centre_error(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[3.0, 4, 5, 6]])).item()
        5.0
    """
    centre, target_centre = ((box[..., :2] + box[..., 2:]) / 2 for box in (prediction, target))
    return (centre - target_centre).square().sum(dim=-1).sqrt()
