"""Segmentation of images into classes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from losslab.config.specs import TASKS
from losslab.data.raw import IGNORED
from losslab.losses.base import TargetFormat
from losslab.losses.links import InverseLink, standard_link
from losslab.metrics import overlap
from losslab.metrics.decisions import first_best
from losslab.metrics.probability import log_odds
from losslab.tasks.base import Task

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
        iou, dice, precision, recall: at a probability of 0.5 (binary) or for the most likely class,
            averaged over the images in which a foreground class occurs or is predicted, then over
            these classes.
        dice_small: Dice of the images with the smallest quarter of the foregrounds, class by class
            (see :func:`~losslab.metrics.overlap.small_objects`).
        average_precision: over all pixels, for all thresholds.
        dice_best_threshold: after :meth:`choose`, at the threshold with the best Dice on validation
            (binary only).

    Ignored pixels (:data:`~losslab.data.raw.IGNORED`) count for no metric.

    Scores of images: iou, dice, precision, recall and dice_best_threshold, NaN if left out; with
        several foreground classes ``dice/1`` for class 1, and so on.

    Args:
        data: data module with masks as targets.
        absent: value of a class in an image that neither has it nor is predicted to have it:
            ``"skip"`` leaves it out, ``"one"`` counts 1 (see
            :func:`~losslab.metrics.overlap.per_image`).

    Raises:
        ValueError: if the targets are not masks, or ``absent`` is neither of these.
    """

    spec = TASKS["SegmentationTask"]
    provides: tuple[TargetFormat, ...] = (*BINARY, *CLASSES)
    counted = "classes"

    def __init__(self, data: Any, absent: overlap.Absent = "skip") -> None:
        super().__init__(data)
        if absent not in get_args(overlap.Absent):
            raise ValueError(f"task.definition.absent must be 'skip' or 'one', got {absent!r}")
        self.absent = absent
        self.binary = data.outputs == 1
        self.provides = BINARY if self.binary else CLASSES
        self.derived = () if self.binary else ("iou", "dice", "precision", "recall")

    def target(self, target: Tensor, target_format: TargetFormat) -> Tensor:
        """Return 0/1 masks (N, 1, H, W), class indices (N, H, W) or one-hot masks (N, C, H, W).

        Ignored pixels are :data:`~losslab.data.raw.IGNORED`, in one-hot masks for each class.
        """
        if target_format is TargetFormat.BINARY_TARGETS:
            return target.unsqueeze(1).to(torch.get_default_dtype())
        if target_format is TargetFormat.CLASS_PROBABILITIES:
            masks = one_hot(target.clamp(min=0), self.outputs).movedim(-1, 1)
            masks = masks.where((target != IGNORED).unsqueeze(1), IGNORED)
            return masks.to(torch.get_default_dtype())
        return target

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the metrics listed above."""
        each = self._masks(prediction, target, chosen)
        values = {name: overlap.mean_of_classes(masks) for name, masks in each.items()}
        small = overlap.small_objects(self._truth(target))
        values["dice_small"] = overlap.mean_of_classes(each["dice"].where(small, torch.nan))
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
        masks = self._masks(prediction, target, chosen)
        if self.binary:
            return {name: values[:, 0] for name, values in masks.items()}
        return {
            f"{name}/{label}": column
            for name, values in masks.items()
            for label, column in enumerate(values.unbind(dim=1), start=1)
        }

    def _masks(
        self, prediction: Tensor, target: Tensor, chosen: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """Compute the metrics of each mask, (n, C)."""
        truth = self._truth(target)
        counted = (target != IGNORED).unsqueeze(1)
        values = overlap.per_image(self._guess(prediction) & counted, truth, self.absent)
        if "threshold" in chosen:
            guess = (prediction > chosen["threshold"]) & counted
            values["dice_best_threshold"] = self._dice(guess, truth)
        return values

    def _dice(self, guess: Tensor, truth: Tensor) -> Tensor:
        """Compute the Dice of each mask, (n, 1)."""
        return overlap.per_image(guess, truth, self.absent)["dice"]

    def choose(
        self, prediction: Tensor, target: Tensor, inverse_link: InverseLink | None
    ) -> dict[str, float]:
        """Choose the threshold on the logit with the best Dice on validation."""
        if not self.binary:
            return {}
        truth, counted = self._truth(target), (target != IGNORED).unsqueeze(1)
        dice = [
            overlap.mean_of_classes(self._dice((prediction > logit) & counted, truth))
            for logit in THRESHOLDS
        ]
        return {"threshold": THRESHOLDS[first_best(torch.stack(dice))]}

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
        return log_odds(prediction, standard_link(inverse_link))[:, 1:]

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
