"""The loss of a detector: one of classes and one of boxes."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from losslab.losses.base import Loss, TargetFormat, divide, full_precision, require_elements, sum_of
from losslab.losses.compound import SumLoss, Weight
from losslab.losses.links import InverseLink
from losslab.losses.totals import Totals, TotalsOfOther, has_reduction, with_reduction

BACKGROUND, UNDECIDED = -1, -2
"""Classes of places without an object, and of those that are too near to one to count as such."""
TAKES: dict[str, tuple[TargetFormat, ...]] = {
    "classification": (
        TargetFormat.BINARY_TARGETS,
        TargetFormat.CLASS_INDICES,
        TargetFormat.CLASS_PROBABILITIES,
    ),
    "box": (TargetFormat.BOXES, TargetFormat.VALUES),
}
"""Formats that each of the losses may get, in order of preference."""
SUCH_AS = {"classification": "focal, bce or cross_entropy", "box": "giou or smooth_l1"}


class DetectionLoss(SumLoss):
    r"""Loss of a detector: a loss of classes at all places, and one of boxes at those of objects.

    .. math:: L = \frac{1}{\max(1, N_+)} \Big( w_c \sum_i \ell_c(z_i, c_i)
        + w_b \sum_{i:\, c_i \geq 0} \ell_b(b_i, t_i) \Big)

    Both sums are divided by the number :math:`N_+` of places with an object, not by that of all
    places, most of which have none.

    A loss of classes that accepts binary targets gets each class one-vs-rest, 0 for the background.
    One of class indices or probabilities gets the background as the first class, whose logit is
    0. A loss of boxes gets corners; one of values, such as smooth L1, sums over the four of them.

    Args:
        of: the losses ``classification`` and ``box``.
        weights: weight of each, or a schedule of it; see :class:`SumLoss`.

    Shape:
        prediction: C logits, then the corners x1, y1, x2, y2 of a box at each of P places,
        ``(N, P, C + 4)``. target: the class, then the corners, ``(N, P, 5)``; the class is -1 for
        the background, and -2 for a place that does not count. The loss is one number.

    Raises:
        ValueError: if there are other losses, one has no terms per place or accepts other targets,
            the shapes do not fit, or there are no places.

    Source:
        Lin et al., "Focal Loss for Dense Object Detection", 2017.

    Example:
        >>> from losslab.losses import FocalLoss, GIoULoss
        >>> loss = DetectionLoss({"classification": FocalLoss(), "box": GIoULoss()}, {"box": 2})
        >>> prediction = torch.tensor([[[0.0, 0, 0, 4, 1], [-9.0, 0, 0, 9, 9]]])
        >>> target = torch.tensor([[[0.0, 1, 0, 4, 1], [-1.0, 0, 0, 0, 0]]])
        >>> {name: round(value.item(), 3) for name, value in loss.components(prediction, target).items()}
        {'classification': 0.173, 'box': 0.5}
    """  # noqa: E501 (the example)

    accepts: ClassVar[tuple[TargetFormat, ...]] = (TargetFormat.CLASSIFIED_BOXES,)
    minimum = 0.0
    counts_classes = False

    def __init__(
        self, of: Mapping[str, nn.Module], weights: Mapping[str, Weight] | None = None
    ) -> None:
        super().__init__(of, weights)
        if self.reduction != "mean":
            raise ValueError("reduction of the losses of a detector must be 'mean'")
        self._totals = {name: _totals_of(name, loss) for name, loss in self.of.items()}

    def _set_formats(self) -> None:
        if set(self.of) != set(TAKES):
            raise ValueError(f"of must have classification and box, got {', '.join(self.of)}")
        for name, loss in self.of.items():
            if isinstance(loss, Loss) and not set(loss.accepts) & set(TAKES[name]):
                accepted = " or ".join(each.value for each in loss.accepts)
                raise ValueError(
                    f"the loss of {name} must be one such as {SUCH_AS[name]}, got one that accepts "
                    f"{accepted}"
                )

    def use_totals(self, name: str, totals: Totals) -> None:
        """Keep the totals, which here leave out places."""

    def format_for(self, name: str, target_format: TargetFormat) -> TargetFormat:
        """Return the target format in which one of the losses gets the targets."""
        loss, taken = self.of[name], TAKES[name]
        accepted = loss.accepts if isinstance(loss, Loss) else taken
        return next(each for each in taken if each in accepted)

    def shape_for(self, name: str, shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return the shape of what one of the losses gets at a place.

        Args:
            name: name of the loss.
            shape: (C,), with the number of classes.
        """
        if name == "box":
            return (4,)
        one_vs_rest = self.format_for(name, self.accepts[0]) is TargetFormat.BINARY_TARGETS
        return shape if shape is None or one_vs_rest else (shape[0] + 1,)

    def link_for(self, target_format: TargetFormat) -> InverseLink | None:
        """Return the inverse link that the loss of classes declares."""
        loss = self.of["classification"]
        given = self.format_for("classification", target_format)
        return loss.link_for(given) if isinstance(loss, Loss) else None

    def components(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Compute the weighted losses, by name."""
        require_elements(prediction)
        totals, count = self._sums(prediction, target)
        return {name: divide(total, count) for name, total in totals.items()}

    def total(
        self, prediction: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the weighted sum of all terms, and the number of places with an object."""
        totals, count = self._sums(prediction, target, weights)
        return sum_of(totals), count

    def _sums(
        self, prediction: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Compute the weighted sum of the terms of each loss, and the number they divide by."""
        _require_classified_boxes(prediction, target)
        (prediction,) = full_precision(prediction)
        target = target.to(prediction.dtype)
        classes = prediction.shape[-1] - 4
        logits, boxes = prediction.reshape(-1, classes + 4).split([classes, 4], dim=1)
        labels, true = target.reshape(-1, 5)[:, 0], target.reshape(-1, 5)[:, 1:]
        counted, objects = (each.to(logits) for each in (labels != UNDECIDED, labels >= 0))
        if weights is not None:
            _require_weights(weights, prediction)
            of_place = weights.to(logits).repeat_interleave(prediction.shape[1])
            counted, objects = counted * of_place, objects * of_place
        # elsewhere both boxes are the same: a term whose weight is 0 must not be 0 times NaN
        boxes = boxes.where(objects.unsqueeze(1) > 0, true)
        pairs = {
            "classification": (*self._classes(logits, labels.long()), counted),
            "box": (boxes, true, objects),
        }
        totals = {name: self._totals[name].total(*pairs[name])[0] for name in self.of}
        return self.weighted(totals), objects.sum()

    def _classes(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and labels as the loss of classes takes them."""
        given = self.format_for("classification", self.accepts[0])
        classes = torch.arange(-1, logits.shape[1], device=labels.device)
        with_background = (labels.unsqueeze(1) == classes).to(logits)  # one_hot cannot be mapped
        if given is TargetFormat.BINARY_TARGETS:
            return logits, with_background[:, 1:]
        logits = torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)
        if given is TargetFormat.CLASS_INDICES:
            return logits, (labels + 1).clamp(min=0)
        return logits, with_background

    def diagnostics(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the mean number of places with an object per image, and weights that change."""
        values = {f"weight_{name}": self.weight(name) for name in self._schedules}
        changing = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        return changing | {"places_per_image": (target[..., 0] >= 0).sum() / target.shape[0]}


def _totals_of(name: str, loss: nn.Module) -> Totals:
    """Return what sums a loss over some of the places.

    Raises:
        ValueError: if it is not a mean of terms, or its terms are not known.
    """
    if isinstance(loss, Loss) and type(loss).from_total is not Loss.from_total:
        raise ValueError(f"the loss of {name} must be a mean of terms, got {type(loss).__name__}")
    if isinstance(loss, Loss) and type(loss).terms is not Loss.terms:
        return loss
    if not has_reduction(loss):
        raise ValueError(
            f"the loss of {name} must have an attribute reduction, so that places without an "
            f"object can be left out, got {type(loss).__name__}"
        )
    return TotalsOfOther(loss, sample_loss=with_reduction(loss, "none"))


def _require_classified_boxes(prediction: Tensor, target: Tensor) -> None:
    """Raise ``ValueError`` unless these are logits and boxes with classes and boxes."""
    if prediction.dim() != 3 or prediction.shape[-1] < 5:
        raise ValueError(
            "prediction must hold logits and four corners at each place, (N, P, C + 4), got shape "
            f"{tuple(prediction.shape)}"
        )
    if target.shape != (*prediction.shape[:2], 5):
        raise ValueError(
            f"target must hold a class and four corners at each place, "
            f"{(*prediction.shape[:2], 5)}, got shape {tuple(target.shape)}"
        )


def _require_weights(weights: Tensor, prediction: Tensor) -> None:
    if weights.shape != prediction.shape[:1]:
        raise ValueError(
            f"weights must hold one number per sample, shape ({len(prediction)},), got "
            f"{tuple(weights.shape)}"
        )
