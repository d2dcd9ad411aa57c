"""From the scores and boxes at all places of an image to its detections."""

from torch import Tensor
from torchvision.ops import batched_nms

from losslab.metrics.detection import Detections

CANDIDATES, MOST = 1000, 100
"""Boxes of an image before suppression, and after it."""
OVERLAP = 0.6
"""IoU with a box of a higher score above which a box is suppressed."""


def detections(scores: Tensor, boxes: Tensor) -> list[Detections]:
    """Choose the detections of images by non-maximum suppression, class by class.

    No score is too low: a threshold would favour losses with large scores.

    Args:
        scores: of C classes at P places, (N, P, C).
        boxes: corners, (N, P, 4).

    Returns:
        At most 100 detections per image.

    Example:
        >>> import torch
        >>> boxes = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 12, 12]]])
        >>> [found] = detections(torch.tensor([[[0.6], [0.9], [0.1]]]), boxes)
        >>> found.scores, found.boxes[0]
        (tensor([0.9000, 0.1000]), tensor([0., 0., 4., 3.]))
    """
    return [_of_image(*image) for image in zip(scores, boxes, strict=True)]


def _of_image(scores: Tensor, boxes: Tensor) -> Detections:
    best, index = scores.flatten().topk(min(CANDIDATES, scores.numel()))
    labels = index % scores.shape[1]
    corners = boxes[index // scores.shape[1]]
    kept = batched_nms(corners, best, labels, OVERLAP)[:MOST]
    return Detections(corners[kept], best[kept], labels[kept])
