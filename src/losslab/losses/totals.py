"""Totals and counts of any loss, by which batches are added up; see :meth:`Loss.total`."""

import copy
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from losslab.losses.adapters import Adapter
from losslab.losses.base import Loss, Reduction, divide, require_sample_weights, sum_terms


class Totals(Protocol):
    """What computes totals and counts of a loss, as :class:`Loss` does."""

    def total(
        self, prediction: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute total and count of a batch; see :meth:`Loss.total`."""
        ...

    def from_total(self, total: Tensor, count: Tensor) -> Tensor:
        """Compute the loss from totals and counts; see :meth:`Loss.from_total`."""
        ...


class TotalsOfOther:
    r"""Totals and counts of a loss of another library.

    The count is what its mean divides by, sum / mean, such as the sum of class weights or the
    number of targets that are not ignored. Without such a sum, its mean counts the samples.

    Args:
        loss: called as ``loss(prediction, target)``.
        sums: whether the loss is a sum, which nothing divides.
        sum_loss: the same loss with ``reduction="sum"``, if its
            totals and counts add up over batches.
        sample_loss: the same loss with ``reduction="none"``, for sample weights.

    Example:
        >>> loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]))
        >>> totals = TotalsOfOther(loss, sum_loss=with_reduction(loss, "sum"))
        >>> total, count = totals.total(torch.zeros(4, 2), torch.tensor([0, 1, 1, 1]))
        >>> round(count.item(), 4)
        10.0
    """

    def __init__(
        self,
        loss: nn.Module,
        *,
        sums: bool = False,
        sum_loss: nn.Module | None = None,
        sample_loss: nn.Module | None = None,
    ) -> None:
        self.loss = loss
        self.sums = sums
        self.sum_loss = sum_loss
        self.sample_loss = sample_loss

    def total(
        self, prediction: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute total and count of a batch.

        Raises:
            ValueError: if there are weights, but no values per sample.
        """
        if weights is not None and self.sample_loss is not None:
            return sum_terms(self.sample_loss(prediction, target), None, weights)
        value: Tensor = self.loss(prediction, target)
        if weights is not None:
            require_sample_weights(weights, value)
        samples = value.detach().new_full((), len(prediction))
        if self.sums:
            return value, samples
        if self.sum_loss is None:
            return value * samples, samples
        total: Tensor = self.sum_loss(prediction, target)
        return total, self._divisor(self.sum_loss, total, value, prediction, target)

    def _divisor(
        self, sum_loss: nn.Module, total: Tensor, mean: Tensor, prediction: Tensor, target: Tensor
    ) -> Tensor:
        """Divide a sum by the mean; 0 if nothing was averaged.

        If both are 0, as those of a hinge loss may be, they are computed for predictions that are
        wrong where these are right: the divisor depends on the targets alone.
        """
        with torch.no_grad():
            wrong = 1 - prediction
            divisor = sum_loss(wrong, target) / self.loss(wrong, target)
            usual = total / mean
            return usual.where(usual.isfinite(), divisor).nan_to_num(0, 0, 0)

    def from_total(self, total: Tensor, count: Tensor) -> Tensor:
        """Compute the loss from totals and counts; 0 with zero gradient if the count is 0."""
        return total if self.sums else divide(total, count)


def totals_of(loss: nn.Module) -> Totals:
    """Return what computes totals and counts of a loss of which nothing else is known."""
    own: Any = loss
    return own if has_totals(loss) else TotalsOfOther(loss)


def has_totals(loss: nn.Module) -> bool:
    """Return whether a loss computes totals itself, as ours do, also in adapters of their input."""
    if isinstance(loss, Adapter) and type(loss).forward is Adapter.forward:
        return has_totals(loss.loss)
    return isinstance(loss, Loss)


def has_reduction(loss: nn.Module) -> bool:
    """Return whether :func:`with_reduction` changes a loss."""
    return any("reduction" in vars(module) for module in loss.modules())


def with_reduction(loss: nn.Module, reduction: Reduction) -> nn.Module:
    """Copy a loss, and the losses in it, with another reduction; parameters and buffers are shared.

    Modules without an attribute ``reduction`` keep theirs.
    """
    copied = copy.copy(loss)
    if "reduction" in vars(loss):
        vars(copied)["reduction"] = reduction
    copied._modules = {
        name: child if child is None else with_reduction(child, reduction)
        for name, child in loss._modules.items()
    }
    return copied
