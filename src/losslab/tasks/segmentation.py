"""Segmentation: which pixels belong to what."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torchmetrics.functional import classification as tm

from losslab.losses.base import Link, Reads
from losslab.metrics import overlap
from losslab.metrics.probability import to_probability
from losslab.tasks.base import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THRESHOLDS = np.round(np.arange(0.02, 1.0, 0.02), 2)


class Segmentation(Task):
    """Foreground or background (one logit map, (N, 1, H, W)), or one of C classes (C maps).

    Metrics, means over images: iou, dice, precision, recall at a probability of 0.5 (binary) or of
    the most probable class, averaged over the classes but the background; average_precision over
    all pixels where the loss defines a probability; after :meth:`choose` dice_best_threshold, at
    the threshold with the best Dice on validation. What an empty mask gives is in
    :mod:`losslab.metrics.overlap`.
    """

    offers: tuple[Reads, ...] = (Reads.BINARY_MASKS, Reads.CLASS_MASKS, Reads.CLASS_INDICES)
    standard_link: ClassVar[Link | None] = "sigmoid"

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.binary = data.outputs == 1
        self.offers = self.offers[:1] if self.binary else self.offers[1:]

    def target(self, target: Tensor, form: Reads) -> Tensor:
        """0/1 masks (N, 1, H, W), or class indices (N, H, W)."""
        if form is Reads.BINARY_MASKS:
            return target.unsqueeze(1).to(torch.get_default_dtype())
        return target

    def metrics(
        self, prediction: Tensor, target: Tensor, link: Link | None, chosen: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """See the class."""
        guess, truth = self._masks(prediction, target, 0.0)
        values = {name: value for name, value in overlap.per_image(guess, truth).items()}
        if self.binary:
            # a rank metric: the logits order the pixels as any link does
            values["average_precision"] = tm.binary_average_precision(
                prediction.flatten().sigmoid(), target.flatten(), validate_args=False
            )
        elif link is not None:
            probability = to_probability(prediction, link)
            values["average_precision"] = tm.multiclass_average_precision(
                probability, target, self.outputs, validate_args=False
            )
        if "threshold" in chosen:
            best, _ = self._masks(prediction, target, chosen["threshold"])
            values["dice_best_threshold"] = overlap.per_image(best, truth)["dice"]
        return values

    def choose(self, prediction: Tensor, target: Tensor, link: Link | None) -> dict[str, float]:
        """The logit at which the masks have the best Dice on validation."""
        if not self.binary:
            return {}
        best, threshold = -1.0, 0.0
        for logit in torch.logit(torch.as_tensor(THRESHOLDS)).tolist():
            guess, truth = self._masks(prediction, target, logit)
            dice = float(overlap.per_image(guess, truth)["dice"])
            if dice > best:
                best, threshold = dice, logit
        return {"threshold": threshold}

    def _masks(self, prediction: Tensor, target: Tensor, logit: float) -> tuple[Tensor, Tensor]:
        """Boolean masks (N, C, H, W) of what was predicted and of what is true, no background."""
        if self.binary:
            return prediction > logit, target.unsqueeze(1) > 0
        guess = one_hot(prediction.argmax(dim=1), self.outputs)
        truth = one_hot(target, self.outputs)
        return guess.movedim(-1, 1)[:, 1:] > 0, truth.movedim(-1, 1)[:, 1:] > 0

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "dict[str, Figure]":
        """Images, true masks and predicted masks in rows."""
        from losslab.tasks import pictures  # noqa: PLC0415 (matplotlib: only where it is drawn)

        if self.binary:
            shown = prediction[:, 0].sigmoid()
        else:
            shown = prediction.argmax(dim=1) / (self.outputs - 1)
            target = target / (self.outputs - 1)
        rows = {"image": inputs[:, 0], "true mask": target, "predicted": shown}
        return {"masks": pictures.rows(rows, "Masks")}
