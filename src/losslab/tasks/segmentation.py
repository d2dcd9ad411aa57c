"""Segmentation of images into classes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from losslab.data.raw import IGNORED
from losslab.losses.base import InverseLink, TargetFormat
from losslab.metrics import overlap
from losslab.metrics.probability import log_odds
from losslab.tasks.base import Task, per_sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData

BINARY = (TargetFormat.BINARY_TARGETS,)
CLASSES = (TargetFormat.CLASS_MASKS, TargetFormat.CLASS_INDICES, TargetFormat.CLASS_PROBABILITIES)
THRESHOLDS = sorted(torch.linspace(-8, 8, 65).tolist(), key=abs)
"""Candidate thresholds on the logits; those near 0 (a probability of 0.5) win ties."""


class SegmentationTask(Task):
    """Segmentation into foreground and background (one logit map) or C classes (C logit maps).

    Metrics:
        iou, dice, precision, recall: averaged over images and foreground classes, at a probability
            of 0.5 (binary) or for the most likely class; :mod:`losslab.metrics.overlap` says what
            empty masks give.
        average_precision: over all pixels, for all thresholds.
        dice_best_threshold: after :meth:`choose`, at the threshold with the best Dice on validation
            (binary only).

    Ignored pixels (:data:`~losslab.data.raw.IGNORED`) count for no metric.

    Scores of images: iou, dice, precision, recall and dice_best_threshold.

    Raises:
        ValueError: if the targets are not masks.
    """

    provides: tuple[TargetFormat, ...] = (*BINARY, *CLASSES)
    standard_inverse_link: ClassVar[InverseLink | None] = "sigmoid"
    counted = "classes"

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        if data.target_kind != "masks":
            raise ValueError(f"task=segmentation expects mask targets, got {data.target_kind}")
        self.binary = data.outputs == 1
        # no probability says that a pixel is ignored
        of_classes = CLASSES[:2] if getattr(data, "ignores", False) else CLASSES
        self.provides = BINARY if self.binary else of_classes

    def target(self, target: Tensor, target_format: TargetFormat) -> Tensor:
        """Return 0/1 masks (N, 1, H, W), class indices (N, H, W) or one-hot masks (N, C, H, W)."""
        if target_format is TargetFormat.BINARY_TARGETS:
            return target.unsqueeze(1).to(torch.get_default_dtype())
        if target_format is TargetFormat.CLASS_PROBABILITIES:
            return one_hot(target, self.outputs).movedim(-1, 1).to(torch.get_default_dtype())
        return target

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the metrics listed above."""
        values = {
            name: masks.mean() for name, masks in self._masks(prediction, target, chosen).items()
        }
        best = values.pop("dice_best_threshold", None)
        counted = target != IGNORED if bool((target == IGNORED).any()) else None
        values["average_precision"] = overlap.average_precision(
            self._ordering(prediction, inverse_link), self._truth(target), counted
        )
        return values if best is None else values | {"dice_best_threshold": best}

    def scores(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the scores listed above."""
        return per_sample(self._masks(prediction, target, chosen))

    def _masks(
        self, prediction: Tensor, target: Tensor, chosen: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """Compute the metrics of each mask, (n, C)."""
        truth = self._truth(target)
        counted = (target != IGNORED).unsqueeze(1)
        values = overlap.per_image(self._guess(prediction) & counted, truth)
        if "threshold" in chosen:
            guess = (prediction > chosen["threshold"]) & counted
            values["dice_best_threshold"] = overlap.per_image(guess, truth)["dice"]
        return values

    def choose(
        self, prediction: Tensor, target: Tensor, inverse_link: InverseLink | None
    ) -> dict[str, float]:
        """Choose the threshold on the logit with the best Dice on validation."""
        if not self.binary:
            return {}
        truth, counted = self._truth(target), (target != IGNORED).unsqueeze(1)
        dice = [
            overlap.per_image((prediction > logit) & counted, truth)["dice"].mean()
            for logit in THRESHOLDS
        ]
        return {"threshold": THRESHOLDS[int(torch.stack(dice).argmax())]}

    def _truth(self, target: Tensor) -> Tensor:
        """Return true boolean masks of the foreground classes, false at ignored pixels."""
        if self.binary:
            return target.unsqueeze(1) > 0
        return one_hot(target.clamp(min=0), self.outputs).movedim(-1, 1)[:, 1:] > 0

    def _guess(self, prediction: Tensor) -> Tensor:
        """Return predicted boolean masks of the foreground classes."""
        return prediction > 0 if self.binary else self._truth(prediction.argmax(dim=1))

    def _ordering(self, prediction: Tensor, inverse_link: InverseLink | None) -> Tensor:
        """Return numbers that order the pixels of each foreground class as its probability does."""
        if self.binary:
            return prediction
        return log_odds(prediction, inverse_link or "softmax")[:, 1:]

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "Mapping[str, Figure | FigureData]":
        """Plot images with true and predicted masks and, if binary, the precision-recall curve."""
        from losslab.tasks import drawing  # noqa: PLC0415 (matplotlib: only where it is drawn)

        last = max(1, self.outputs - 1)
        maps = prediction[:, 0].sigmoid() if self.binary else prediction.argmax(dim=1) / last
        shown = torch.where(target == IGNORED, torch.nan, target / last)
        given = {"image": drawing.stretched(inputs.mean(dim=1)), "true mask": shown}
        made = {"probability" if self.binary else "predicted mask": maps}
        figures: dict[str, Figure | FigureData] = {
            "masks": drawing.rows(given, made, "Images with their masks")
        }
        if self.binary and bool((target > 0).any()):
            counted = (target != IGNORED).unsqueeze(1)
            figures["precision_recall"] = drawing.precision_recall_curve(
                overlap.squashed(prediction)[counted], self._truth(target)[counted]
            )
        return figures
