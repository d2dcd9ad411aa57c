"""Detection of any number of objects in an image by their bounding boxes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchvision.ops import nms

from losslab.config.extras import is_installed, not_installed
from losslab.config.specs import TASKS
from losslab.losses.base import TargetFormat
from losslab.losses.links import InverseLink, is_one_vs_rest
from losslab.metrics.detection import BACKEND, Detections, mean_average_precision
from losslab.tasks.assignment import to_anchors, to_points
from losslab.tasks.base import Task
from losslab.tasks.suppression import OVERLAP, detections

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData

SHOWN, MOST_SHOWN = 0.3, 10
"""Score from which a detection is drawn, and how many of an image are."""
PADDING = torch.nan, torch.nan, -1
"""Boxes, scores and labels of images that have fewer detections than others."""


class DetectionTask(Task):
    """Detection of any number of objects of C classes by boxes.

    The network predicts C logits and a box at each of P places: points or anchors, see
    :mod:`losslab.models.detector`. True boxes are assigned to points as FCOS does, and to anchors
    as RetinaNet does (:mod:`losslab.tasks.assignment`).

    Metrics, after non-maximum suppression:
        map: mean average precision of COCO, over IoU thresholds from 0.5 to 0.95.
        map_50, map_75: at one threshold.

    The score of a class is the sigmoid of its logit, or after a loss of class indices the softmax
    of all with that of the background, 0.

    Args:
        data: data module with boxes as targets.
        normalized: whether losses get coordinates divided by the longer side of the image, from 0
            to 1, instead of pixels. IoU losses do not depend on it.

    Raises:
        ValueError: if the targets are not boxes, or the library that computes mAP is not installed.

    Source:
        Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", 2019; Lin et al.,
        "Focal Loss for Dense Object Detection", 2017.
    """

    spec = TASKS["DetectionTask"]
    provides = (TargetFormat.CLASSIFIED_BOXES,)

    def __init__(self, data: Any, normalized: bool = False) -> None:
        super().__init__(data)
        if not is_installed(BACKEND):
            raise ValueError(f"task=detection measures mAP: {not_installed(BACKEND)}")
        self.class_names: list[str] = data.class_names or [str(c) for c in range(data.outputs)]
        self.unit = max(data.input_shape[-2:]) if normalized else 1

    def require_outputs(self, prediction: Any) -> None:
        """Check that the network predicts logits and boxes at points or anchors."""
        columns = self.outputs + 8, self.outputs + 10
        shape = tuple(prediction.shape) if isinstance(prediction, Tensor) else ()
        if len(shape) != 3 or shape[-1] not in columns:
            got = f"shape {shape}" if shape else type(prediction).__name__
            raise ValueError(
                f"the predictions of a detector must have shape (N, P, {columns[0]}) at anchors or "
                f"(N, P, {columns[1]}) at points, got {got}: use model=detector"
            )

    def seen_by_loss(
        self, prediction: Tensor, target: Tensor, target_format: TargetFormat
    ) -> tuple[Tensor, Tensor]:
        """Return logits and boxes, (N, P, C + 4), and the class and box of each place, (N, P, 5).

        A place without an object has its own box as the true one.
        """
        logits, boxes, places, bounds = self._split(prediction)
        places = places.detach()
        target = target.to(boxes.dtype)
        points = bounds.shape[-1] > 0
        found = to_points(places, bounds, target) if points else to_anchors(places, target)
        own = target.take_along_dim(found.box.unsqueeze(-1), dim=1)
        is_object = (found.kind == 0).unsqueeze(-1)
        none = torch.cat([found.kind.unsqueeze(-1).to(own), places], dim=-1)
        label, corners = own.where(is_object, none).split([1, 4], dim=-1)
        scaled = torch.cat([logits, boxes / self.unit], dim=-1)
        return scaled, torch.cat([label, corners / self.unit], dim=-1)

    def _split(self, prediction: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Split a prediction into logits, boxes, places and their bounds, (N, P, 0) of anchors."""
        rest = prediction.shape[-1] - self.outputs - 8
        logits, boxes, places, bounds = prediction.split([self.outputs, 4, 4, rest], dim=-1)
        return logits, boxes, places, bounds

    def scored(self, prediction: Tensor, *, one_vs_rest: bool = True) -> tuple[Tensor, Tensor]:
        """Return the scores of the classes, (N, P, C), and the boxes, (N, P, 4)."""
        logits, boxes, *_ = self._split(prediction.double())
        if one_vs_rest:
            return logits.sigmoid(), boxes
        with_background = torch.cat([torch.zeros_like(logits[..., :1]), logits], dim=-1)
        return with_background.softmax(dim=-1)[..., 1:], boxes

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the metrics listed above."""
        one_vs_rest = inverse_link is None or is_one_vs_rest(inverse_link)
        found = detections(*self.scored(prediction, one_vs_rest=one_vs_rest))
        return mean_average_precision(found, target)

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "Mapping[str, Figure | FigureData]":
        """Plot images with true and detected boxes, and the sigmoid scores of these."""
        from losslab.tasks import drawing  # noqa: PLC0415 (matplotlib: only where it is drawn)

        found = detections(*self.scored(prediction))
        shown = [_shown(each) for each in found]
        boxes, scores, labels = (
            pad_sequence(list(column), batch_first=True, padding_value=padding)
            for column, padding in zip(zip(*shown, strict=True), PADDING, strict=True)
        )
        named = (self._names(target[..., 0]), self._names(labels)) if self.outputs > 1 else None
        title = f"True boxes, and those detected with a score of {SHOWN} or more"
        given = inputs, target[..., 1:], boxes, title, scores, named
        return {"boxes": drawing.boxes(*given)}

    def _names(self, labels: Tensor) -> list[list[str]]:
        """Return the names of classes (N, K); nothing for padding."""
        names = ["", *self.class_names]
        return [[names[int(label) + 1] for label in row] for row in labels.tolist()]


def _shown(found: Detections) -> Detections:
    """Select the detections of an image to draw: of several in one place the one that is surest."""
    apart = nms(found.boxes, found.scores, OVERLAP)
    kept = apart[found.scores[apart] >= SHOWN][:MOST_SHOWN]
    return Detections(*(each[kept] for each in found))
