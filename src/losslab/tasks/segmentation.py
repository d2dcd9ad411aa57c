"""Segmentation: which pixels belong to what."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from losslab.losses.base import InverseLink, TargetFormat
from losslab.metrics import overlap
from losslab.tasks.base import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData

BINARY = (TargetFormat.BINARY_TARGETS,)
CLASSES = (TargetFormat.CLASS_MASKS, TargetFormat.CLASS_INDICES, TargetFormat.CLASS_PROBABILITIES)
THRESHOLDS = sorted(torch.linspace(-8, 8, 65).tolist(), key=abs)
"""Logits to choose from, those near 0 (a probability of 0.5) first."""


class Segmentation(Task):
    """Foreground or background (one logit map, (N, 1, H, W)), or one of C classes (C maps).

    Metrics, means over images: iou, dice, precision, recall at a probability of 0.5 (binary) or of
    the best class, averaged over the classes but the background; average_precision over all
    pixels, which needs no threshold and no probability; after :meth:`choose` dice_best_threshold,
    at the threshold with the best Dice on validation (binary). What an empty mask gives is in
    :mod:`losslab.metrics.overlap`.

    Raises:
        ValueError: if the data have no masks.
    """

    provides: tuple[TargetFormat, ...] = (*BINARY, *CLASSES)
    standard_inverse_link: ClassVar[InverseLink | None] = "sigmoid"

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        if data.target_kind != "masks":
            raise ValueError(f"task=segmentation expects masks, got {data.target_kind}")
        self.binary = data.outputs == 1
        self.provides = BINARY if self.binary else CLASSES

    def target(self, target: Tensor, form: TargetFormat) -> Tensor:
        """0/1 masks (N, 1, H, W), class indices (N, H, W) or one-hot masks (N, C, H, W)."""
        if form is TargetFormat.BINARY_TARGETS:
            return target.unsqueeze(1).to(torch.get_default_dtype())
        if form is TargetFormat.CLASS_PROBABILITIES:
            return one_hot(target, self.outputs).movedim(-1, 1).to(torch.get_default_dtype())
        return target

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """See the class."""
        truth = self._truth(target)
        values = overlap.per_image(self._guess(prediction), truth)
        values["average_precision"] = overlap.average_precision(
            self._scores(prediction, inverse_link), truth
        )
        if "threshold" in chosen:
            guess = prediction > chosen["threshold"]
            values["dice_best_threshold"] = overlap.per_image(guess, truth)["dice"]
        return values

    def choose(
        self, prediction: Tensor, target: Tensor, inverse_link: InverseLink | None
    ) -> dict[str, float]:
        """The logit above which the masks have the best Dice on validation."""
        if not self.binary:
            return {}
        truth = self._truth(target)
        dice = [overlap.per_image(prediction > logit, truth)["dice"] for logit in THRESHOLDS]
        return {"threshold": THRESHOLDS[int(torch.stack(dice).argmax())]}

    def _truth(self, target: Tensor) -> Tensor:
        """Boolean masks of the foreground classes."""
        if self.binary:
            return target.unsqueeze(1) > 0
        return one_hot(target, self.outputs).movedim(-1, 1)[:, 1:] > 0

    def _guess(self, prediction: Tensor) -> Tensor:
        """The same of what was predicted."""
        return prediction > 0 if self.binary else self._truth(prediction.argmax(dim=1))

    def _scores(self, prediction: Tensor, inverse_link: InverseLink | None) -> Tensor:
        """What orders the pixels of each foreground class as its probability does."""
        if self.binary:
            return prediction
        if inverse_link == "sigmoid":
            return prediction[:, 1:]
        # the log-odds of a class: its lead over all the others together
        leads = []
        for label in range(1, self.outputs):
            others = torch.cat([prediction[:, :label], prediction[:, label + 1 :]], dim=1)
            leads.append(prediction[:, label] - others.logsumexp(dim=1))
        return torch.stack(leads, dim=1)

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "Mapping[str, Figure | FigureData]":
        """Images, true masks and predicted masks in rows; for one foreground its PR curve."""
        from losslab.tasks import drawing  # noqa: PLC0415 (matplotlib: only where it is drawn)

        last = max(1, self.outputs - 1)
        shown = prediction[:, 0].sigmoid() if self.binary else prediction.argmax(dim=1) / last
        given = {"image": drawing.stretched(inputs.mean(dim=1)), "true mask": target / last}
        made = {"probability" if self.binary else "predicted": shown}
        figures: dict[str, Figure | FigureData] = {
            "masks": drawing.rows(given, made, "Images with their masks")
        }
        if self.binary and bool(target.any()):
            figures["precision_recall"] = drawing.precision_recall(
                overlap.between(prediction), self._truth(target)
            )
        return figures
