"""Weighted sums of losses."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from losslab.losses.adapters import one_hot_targets
from losslab.losses.base import (
    Loss,
    Reduction,
    require_at_least,
    sum_of,
)
from losslab.losses.formats import INDICES, TargetFormat, common_formats
from losslab.losses.links import InverseLink
from losslab.losses.schedule import WeightSchedule
from losslab.losses.totals import Totals, totals_of

Weight = float | WeightSchedule


class SumLoss(Loss):
    r"""Weighted sum of losses.

    .. math:: L = \sum_k w_k L_k

    Args:
        of: losses by name, each called as ``loss(prediction, target)``.
        weights: weight of each loss, at least 0, or a schedule of it, see
            :class:`~losslab.losses.schedule.WeightSchedule`; 1 if left out. Schedules need
            :meth:`set_epoch` at the start of each epoch.

    Shape:
        prediction, target: as all of the losses take them. The loss is one number.

    Raises:
        ValueError: if there are no losses, a weight is below 0 or belongs to none of them, or they
            have no target format in common.

    Example:
        >>> from losslab.losses import BCELoss, DiceLoss
        >>> loss = SumLoss({"bce": BCELoss(), "dice": DiceLoss()}, weights={"dice": 0.5})
        >>> logits, masks = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
        >>> {name: round(value.item(), 4) for name, value in loss.components(logits, masks).items()}
        {'bce': 0.6931, 'dice': 0.1667}
    """

    counts_classes: ClassVar[bool] = True
    """Whether the counts of the training split are those of the classes that its losses get."""

    def __init__(
        self, of: Mapping[str, nn.Module], weights: Mapping[str, Weight] | None = None
    ) -> None:
        super().__init__(_reduction(of))
        if not of:
            raise ValueError("of must have at least one loss, such as loss.of.dice=1")
        self.of = nn.ModuleDict(of)
        self._set_formats()
        self._totals = {name: totals_of(loss) for name, loss in of.items()}
        self._weights: dict[str, float] = {}
        self._schedules: dict[str, WeightSchedule] = {}
        self._set_weights(dict(weights or {}))

    def _set_formats(self) -> None:
        formats = common_formats({name: _accepts(loss) for name, loss in self.of.items()})
        self.accepts = tuple(TargetFormat) if formats is None else formats  # type: ignore[misc]

    def _set_weights(self, weights: dict[str, Weight]) -> None:
        for name in self.of:
            weight = weights.pop(name, 1.0)
            if isinstance(weight, WeightSchedule):
                self._schedules[name] = weight
                # a tensor that is changed in place, so that a captured graph reads it
                self.register_buffer(f"_weight_of_{name}", torch.tensor(float(weight.at(0))), False)
            else:
                require_at_least(f"weight of {name}", weight, 0)
                self._weights[name] = float(weight)
        if weights:
            raise ValueError(f"weights must be of {', '.join(self.of)}, got {', '.join(weights)}")

    def use_totals(self, name: str, totals: Totals) -> None:
        """Set how totals and counts of a loss of another library are computed."""
        self._totals[name] = totals

    def weight(self, name: str) -> float | Tensor:
        """Return the weight of a loss; in evaluation mode it is the last one of a schedule."""
        if name not in self._schedules:
            return self._weights[name]
        if not self.training:
            return self._schedules[name].last
        current: Tensor = getattr(self, f"_weight_of_{name}")
        return current

    def extra_repr(self) -> str:
        """Return the weights for ``print(loss)``."""
        weights = {**self._weights, **self._schedules}
        return ", ".join(f"{name}={weights[name]}" for name in self.of)

    def set_epoch(self, epoch: int) -> None:
        """Set the weights that have a schedule to those of an epoch, counted from 0."""
        for loss in self.modules():
            if isinstance(loss, SumLoss):
                for name, schedule in loss._schedules.items():
                    getattr(loss, f"_weight_of_{name}").fill_(schedule.at(epoch))

    @property
    def changes(self) -> bool:
        """Whether the weights change during training."""
        return bool(self._schedules)

    def format_for(self, name: str, target_format: TargetFormat) -> TargetFormat:
        """Return the target format in which a loss gets the targets of a format."""
        loss = self.of[name]
        if not isinstance(loss, Loss) or target_format in loss.accepts:
            return target_format
        own = (
            TargetFormat.CLASS_INDICES,
            TargetFormat.CLASS_PROBABILITIES,
            TargetFormat.VALUES,
        )
        return next((each for each in own if each in loss.accepts), target_format)

    def shape_for(self, name: str, shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return the shape of one sample of the predictions that a loss gets.

        Args:
            name: name of the loss.
            shape: shape of one sample of the predictions, ``None`` if it is not known.
        """
        return shape

    def link_for(self, target_format: TargetFormat) -> InverseLink | None:
        """Return the inverse link that all of the losses declare, or ``None``."""
        links = [
            loss.link_for(self.format_for(name, target_format)) if isinstance(loss, Loss) else None
            for name, loss in self.of.items()
        ]
        return links[0] if all(link == links[0] for link in links) else None

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        return sum_of(self.components(prediction, target))

    def components(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Compute the weighted losses, by name."""
        return self.weighted(
            {
                name: loss(prediction, _target_for(loss, prediction, target))
                for name, loss in self.of.items()
            }
        )

    def weighted(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weight the values of the losses."""
        return {name: self.weight(name) * value for name, value in values.items()}

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Raise ``ValueError``: the losses may have terms of different kinds."""
        raise ValueError(
            f"{type(self).__name__} has no terms, since those of its losses may differ"
        )

    def total(
        self, prediction: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the weighted sum of the losses of a batch, times the count of the first.

        If the counts of the losses are not proportional, one batch is exact, but not the union of
        several.

        Raises:
            ValueError: if some losses average and others sum, or if one has no value per sample,
                but weights are given.
        """
        if self.reduction != "sum" and any(map(_sums, self.of.values())):
            raise ValueError("a sum of losses that sum and losses that average has no total")
        values, counts = {}, []
        for name, loss in self.of.items():
            totals, own = self._totals[name], _target_for(loss, prediction, target)
            total, count = totals.total(prediction, own, weights)
            values[name] = totals.from_total(total, count)
            counts.append(count)
        objective = sum_of(self.weighted(values))
        return (objective if self.reduction == "sum" else objective * counts[0]), counts[0]

    def diagnostics(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the diagnostics of the losses, and the weights that change."""
        values = {f"weight_{name}": self.weight(name) for name in self._schedules}
        found = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        for name, loss in self.of.items():
            if isinstance(loss, Loss):
                own = loss.diagnostics(prediction, _target_for(loss, prediction, target))
                found |= {f"{name}_{key}": value for key, value in own.items()}
        return found


def _target_for(loss: nn.Module, prediction: Tensor, target: Any) -> Any:
    """Return the target as a loss takes it: one-hot if it does not take class indices."""
    if not isinstance(loss, Loss) or TargetFormat.CLASS_PROBABILITIES not in loss.accepts:
        return target
    if not isinstance(target, Tensor) or target.is_floating_point():
        return target
    if target.shape == prediction.shape or set(INDICES) & set(loss.accepts):
        return target
    return one_hot_targets(target, prediction)


def _accepts(loss: nn.Module) -> tuple[TargetFormat, ...] | None:
    return loss.accepts if isinstance(loss, Loss) else None


def _sums(loss: nn.Module) -> bool:
    return getattr(loss, "reduction", "mean") == "sum"


def _reduction(of: Mapping[str, nn.Module]) -> Reduction:
    found = {getattr(loss, "reduction", "mean") for loss in of.values()}
    return "sum" if found == {"sum"} else "none" if found == {"none"} else "mean"


class UncertaintySumLoss(SumLoss):
    r"""Sum of losses whose weights are learned.

    .. math:: L = \sum_k e^{-s_k} L_k + s_k / 2

    The parameters s_k are logarithms of variances; a loss that stays large gets a small weight.
    Their learning rate is ``optimizer.loss_lr``.

    Args:
        of: losses by name; see :class:`SumLoss`.
        weights: initial weight :math:`e^{-s_k}` of each loss, above 0; 1 if left out.

    Shape:
        As :class:`SumLoss`.

    Raises:
        ValueError: if a weight is not above 0 or has a schedule, if no loss averages, or as
            :class:`SumLoss`.

    Source:
        Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene
        Geometry and Semantics", 2018, equation 10 (of classification).

    Example:
        >>> from losslab.losses import BCELoss, DiceLoss
        >>> loss = UncertaintySumLoss({"bce": BCELoss(), "dice": DiceLoss()}, weights={"dice": 0.5})
        >>> round(loss.weight("dice").item(), 4)
        0.5
    """

    def _set_weights(self, weights: dict[str, Weight]) -> None:
        super()._set_weights(dict(weights))
        if self.reduction != "mean":
            raise ValueError("learned weights need losses that average, with reduction='mean'")
        for name, weight in weights.items():
            if isinstance(weight, WeightSchedule):
                raise ValueError(f"weight of {name} is learned: remove its schedule")
            require_at_least(f"weight of {name}", weight, 0, strict=True)
        initial = torch.tensor([self._weights[name] for name in self.of])
        self.log_variances = nn.Parameter(-initial.log())

    @property
    def changes(self) -> bool:
        """Whether the weights change during training."""
        return True

    def weight(self, name: str) -> Tensor:
        """Return the current weight of a loss."""
        place = list(self.of).index(name)
        return self.log_variances[place].neg().exp()

    def weighted(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weight the values of the losses, and add the terms that keep the weights from 0."""
        variances = self.log_variances.to(next(iter(values.values())).dtype)
        return {
            name: (-log_variance).exp() * value + log_variance / 2
            for (name, value), log_variance in zip(values.items(), variances, strict=True)
        }

    def diagnostics(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the diagnostics of the losses, and the weights."""
        weights = {f"weight_{name}": self.weight(name).detach() for name in self.of}
        return weights | super().diagnostics(prediction, target)
