"""Localization of the one object in an image by its bounding box."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from losslab.config.specs import TASKS
from losslab.losses.base import TargetFormat, full_precision
from losslab.losses.links import InverseLink
from losslab.metrics.boxes import box_iou, centre_error
from losslab.tasks.base import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData

BoxFormat = Literal["xyxy", "cxcywh"]
"""Corners x1, y1, x2, y2, or centre, width and height."""
THRESHOLDS = (50, 75)
"""IoU in per cent from which a box counts as right."""


class LocalizationTask(Task):
    r"""Localization of one object per image by a box.

    The network has four outputs z, which a sigmoid turns into a valid box: centre
    :math:`\sigma(z_1, z_2)`, width and height :math:`\sigma(z_3, z_4)`, relative to the image. Its
    width and height are positive, and an untrained network predicts about the middle half of the
    image, which overlaps most objects, so that even the IoU loss has a gradient. All losses are
    given this box: those of boxes its corners, those of values its coordinates in a format to
    choose.

    Metrics:
        iou: mean intersection over union with the true box.
        accuracy_at_50, accuracy_at_75: share of images whose IoU is at least 0.5 or 0.75.
        centre_error: mean distance of the centres in pixels.

    Scores of images: all of them.

    Args:
        data: data module with one box per image as target.
        box_format: coordinates that losses of values compare: ``"xyxy"`` or ``"cxcywh"``.
        normalized: whether losses get coordinates divided by the longer side of the image, from 0
            to 1, instead of pixels. IoU losses do not depend on it.

    Raises:
        ValueError: if the targets are not one box per image, or ``box_format`` is neither of these.

    Source:
        Carion et al., "End-to-End Object Detection with Transformers", 2020, for the outputs.
    """

    spec = TASKS["LocalizationTask"]
    provides = (TargetFormat.VALUES, TargetFormat.BOXES)
    counted = "box coordinates"
    maps_metrics = True

    def __init__(self, data: Any, box_format: BoxFormat = "xyxy", normalized: bool = False) -> None:
        super().__init__(data)
        for name in ("train", "val", "test"):
            _require_one_box(name, getattr(data, name).targets)
        if box_format not in get_args(BoxFormat):
            raise ValueError(
                f"task.definition.box_format must be 'xyxy' or 'cxcywh', got {box_format!r}"
            )
        self.outputs = 4
        self.box_format = box_format
        self.normalized = normalized
        self.height, self.width = data.input_shape[-2:]

    def target(self, target: Tensor, target_format: TargetFormat) -> Tensor:
        """Return the true boxes as the losses get them, (N, 4)."""
        return self._converted(true_boxes(target), target_format)

    def seen_by_loss(
        self, prediction: Tensor, target: Tensor, target_format: TargetFormat
    ) -> tuple[Tensor, Tensor]:
        """Return the predicted and the true boxes as the losses get them, (N, 4) each."""
        boxes = self._converted(self.boxes(prediction), target_format)
        return boxes, self.target(target, target_format)

    def boxes(self, prediction: Tensor) -> Tensor:
        """Return the corners of the predicted boxes in pixels, (N, 4)."""
        (outputs,) = full_precision(prediction)
        x, y, width, height = outputs.sigmoid().unbind(dim=-1)
        left, right = self.width * (x - width / 2), self.width * (x + width / 2)
        top, bottom = self.height * (y - height / 2), self.height * (y + height / 2)
        return torch.stack([left, top, right, bottom], dim=-1)

    def _converted(self, corners: Tensor, target_format: TargetFormat) -> Tensor:
        if self.normalized:
            corners = corners / max(self.width, self.height)
        if target_format is TargetFormat.BOXES or self.box_format == "xyxy":
            return corners
        low, high = corners.chunk(2, dim=-1)
        return torch.cat([(low + high) / 2, high - low], dim=-1)

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the metrics listed above."""
        scores = self.scores(prediction, target, inverse_link, chosen)
        return {name: values.mean() for name, values in scores.items()}

    def scores(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the scores listed above."""
        if inverse_link == "exp":
            raise ValueError(
                "task=localization needs a loss of coordinates, not of their logarithm"
            )
        boxes, true = self.boxes(prediction.double()), true_boxes(target).double()
        iou = box_iou(boxes, true)
        right = {f"accuracy_at_{least}": (iou >= least / 100).double() for least in THRESHOLDS}
        return {"iou": iou, **right, "centre_error": centre_error(boxes, true)}

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "Mapping[str, Figure | FigureData]":
        """Plot images with true and predicted boxes."""
        from losslab.tasks import drawing  # noqa: PLC0415 (matplotlib: only where it is drawn)

        boxes = self.boxes(prediction).unsqueeze(1)
        return {"boxes": drawing.boxes(inputs, target[..., 1:], boxes, "True and predicted boxes")}


def true_boxes(target: Tensor) -> Tensor:
    """Return the corners of one box per image, (N, 4), of boxes (N, M, 5).

    Example:
        >>> true_boxes(torch.tensor([[[-1.0, 0, 0, 0, 0], [0, 1, 2, 3, 4]]]))
        tensor([[1., 2., 3., 4.]])
    """
    real = target[..., :1] >= 0
    return target[..., 1:].where(real, 0).sum(dim=-2)


def _require_one_box(split: str, targets: Tensor) -> None:
    numbers = (targets[..., 0] >= 0).sum(dim=1)
    if bool((numbers != 1).any()):
        least, most = numbers.aminmax()
        raise ValueError(
            f"task=localization expects one box per image, got {least} to {most} in {split}: "
            "set data.objects=1 and data.empty_images=0 if they are generated, and "
            "data.keep_boxes=largest if they are from files"
        )
