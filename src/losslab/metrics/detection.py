"""Metrics of detected boxes."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BACKEND = "faster_coco_eval"
"""Module that computes mAP for torchmetrics."""
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10).tolist()
RECALLS = np.linspace(0, 1, 101).tolist()
"""Those of pycocotools; torchmetrics rounds them to float32: a recall of 0.6 is then below 0.6."""


class Detections(NamedTuple):
    """Detected boxes of an image, the one with the highest score first."""

    boxes: Tensor
    """Corners x1, y1, x2, y2, (K, 4)."""
    scores: Tensor
    """(K,)."""
    labels: Tensor
    """Classes, (K,)."""


def mean_average_precision(found: Sequence[Detections], target: Tensor) -> dict[str, Tensor]:
    """Compute the mean average precision of COCO: over classes, and over IoU thresholds.

    Args:
        found: detections of N images; the best 100 of each class and image count.
        target: class and corners of the objects, (N, M, 5), padded with the class -1.

    Returns:
        ``map``, over thresholds from 0.5 to 0.95, ``map_50`` and ``map_75``; NaN without objects.

    Source:
        Lin et al., "Microsoft COCO: Common Objects in Context", 2014.

    Example:
        >>> target = torch.tensor([[[0.0, 0, 0, 10, 10]]])
        >>> found = Detections(torch.tensor([[0.0, 0, 10, 8.2]]), torch.ones(1), torch.tensor([0]))
        >>> values = mean_average_precision([found], target)  # IoU 0.82: 7 of 10 thresholds
        >>> {name: round(value.item(), 4) for name, value in values.items()}
        {'map': 0.7, 'map_50': 1.0, 'map_75': 1.0}
    """
    from torchmetrics.detection import MeanAveragePrecision  # noqa: PLC0415 (for this metric only)

    metric = MeanAveragePrecision(
        iou_thresholds=IOU_THRESHOLDS,
        rec_thresholds=RECALLS,
        backend=BACKEND,  # type: ignore[arg-type]
    )
    metric.warn_on_many_detections = False
    # it would write its tables to the run.log of a run, 20 lines an epoch
    logging.getLogger(BACKEND).setLevel(logging.WARNING)
    objects = (image[image[:, 0] >= 0] for image in target)
    true = [{"boxes": each[:, 1:], "labels": each[:, 0].long()} for each in objects]
    metric.update([each._asdict() for each in found], true)
    values = metric.compute()
    means = {name: values[name].double() for name in ("map", "map_50", "map_75")}
    return {name: value.where(value >= 0, torch.nan) for name, value in means.items()}
