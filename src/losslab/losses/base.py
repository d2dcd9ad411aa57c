"""Base class of the losses, and the argument checks that they share."""

import copy
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from losslab.losses.formats import TargetFormat as TargetFormat  # noqa: PLC0414 (exported)
from losslab.losses.links import InverseLink

Reduction = Literal["mean", "sum", "none"]
REDUCTIONS = ("mean", "sum", "none")
HALF = (torch.float16, torch.bfloat16)


class Loss(nn.Module):
    """Base class of the losses, called as ``loss(prediction, target)``.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``; each loss documents what its mean is over.

    Raises:
        ValueError: if the reduction is not one of these.
    """

    accepts: ClassVar[tuple[TargetFormat, ...]]
    """The target formats that this loss accepts."""
    inverse_link: ClassVar[InverseLink | None] = None
    """The map from class logits to probabilities; see :meth:`link_for`.

    ``None`` if the loss does not define probabilities, as for the hinge loss.
    """
    minimum: ClassVar[float | None] = None
    """The smallest value of the loss, or ``None`` if it has no lower bound."""
    per_class: ClassVar[tuple[str, ...]] = ()
    """Options that hold one number per class, or one for all of them."""
    per_class_only: ClassVar[tuple[str, ...]] = ()
    """Options that hold one number per class if the targets are class indices."""

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        require_choice("reduction", reduction, REDUCTIONS)
        self.reduction = reduction

    def link_for(self, target_format: TargetFormat) -> InverseLink | None:
        """Return the inverse link for a target format.

        A softmax of single logits with binary targets is the sigmoid. A loss whose link depends on
        its options overrides this.
        """
        if self.inverse_link == "softmax" and target_format is TargetFormat.BINARY_TARGETS:
            return "sigmoid"
        return self.inverse_link

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute the terms of the sum, and what each adds to the divisor of the mean.

        By default these are the values for ``reduction="none"``, each of which adds 1 (``None``).
        A loss whose mean divides by something else, such as the weights of classes, overrides it.

        Returns:
            Tensors with the samples along the first dimension.
        """
        unreduced = copy.copy(self)
        unreduced.reduction = "none"
        return unreduced(prediction, target), None

    def total(
        self, prediction: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        r"""Compute the sum of a batch's terms, and the count that their mean divides by.

        .. math:: \text{total} = \sum_i w_i \ell_i, \qquad \text{count} = \sum_i w_i c_i

        Totals and counts of several batches add up to those of their union, if no term depends on
        several samples; :meth:`from_total` divides once.

        Args:
            prediction: as in a call of the loss.
            target: as in a call of the loss.
            weights: sample weights ``(N,)``, at least 0. A whole number counts a sample that
                often.

        Raises:
            ValueError: if the loss has no terms per sample, but weights are given.

        Example:
            >>> from losslab.losses import CrossEntropyLoss
            >>> loss = CrossEntropyLoss(weight=[1.0, 3.0])
            >>> logits, labels = torch.zeros(4, 2), torch.tensor([0, 1, 1, 1])
            >>> total, count = loss.total(logits, labels)
            >>> count.item()  # the sum of the class weights
            10.0
            >>> torch.isclose(loss.from_total(total, count), loss(logits, labels)).item()
            True
        """
        return sum_terms(*self.terms(prediction, target), weights)

    def from_total(self, total: Tensor, count: Tensor) -> Tensor:
        """Compute the loss from a total and its count; 0 with zero gradient if the count is 0."""
        return total if self.reduction == "sum" else divide(total, count)

    def reduce(self, elements: Tensor) -> Tensor:
        """Apply the reduction to element-wise values."""
        if self.reduction == "none":
            return elements
        if self.reduction == "sum":
            return elements.sum()
        require_elements(elements)
        return elements.mean()

    def divisor(self, elements: Tensor) -> int:
        """Return what the reduction divides the sum of these elements by."""
        return elements.numel() if self.reduction == "mean" else 1

    def reduce_counted(self, terms: Tensor, counts: Tensor | None) -> Tensor:
        """Apply the reduction to :meth:`terms`; the mean is 0 if the counts are."""
        if self.reduction == "none" or counts is None:
            return self.reduce(terms)
        self.require_reducible(terms)
        return self.from_total(terms.sum(), counts.sum())

    def require_reducible(self, elements: Tensor) -> None:
        """Raise ``ValueError`` for the mean of an empty batch."""
        if self.reduction == "mean":
            require_elements(elements)

    def components(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Compute the weighted components that sum to the loss; by default only ``loss``."""
        return {"loss": self(prediction, target)}

    def diagnostics(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Compute detached values to log beside the loss; by default none."""
        return {}

    def extra_repr(self) -> str:
        """Return the options for ``print(loss)``."""
        options = {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_") and name != "training"
        }
        return ", ".join(f"{name}={value!r}" for name, value in options.items())


def sum_terms(
    terms: Tensor, counts: Tensor | None, weights: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Sum terms and counts over a batch; for the arguments see :meth:`Loss.total`."""
    if counts is None:
        counts = terms.detach().new_ones(()).expand(terms.shape)
    counts = counts.to(terms.dtype)
    if weights is None:
        return terms.sum(), counts.sum()
    require_sample_weights(weights, terms)
    weights = weights.to(terms.dtype)
    total, count = ((weights * _sum_samples(each)).sum() for each in (terms, counts))
    return total, count


def _sum_samples(values: Tensor) -> Tensor:
    return values.flatten(1).sum(dim=1) if values.dim() > 1 else values


def sum_of(components: Mapping[str, Tensor]) -> Tensor:
    """Sum the components in their order."""
    total, *others = components.values()
    for component in others:
        total = total + component
    return total


def divide(total: Tensor, count: Tensor) -> Tensor:
    """Divide the total by the count; if the count is 0, return the total, which is then 0."""
    return total / count.where(count > 0, 1)


def full_precision(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Convert half-precision tensors to float32 and return the others unchanged."""
    return tuple(tensor.float() if tensor.dtype in HALF else tensor for tensor in tensors)


def not_negative(value: Tensor) -> Tensor:
    """Raise values that are below 0 by rounding to 0, with the same gradient."""
    return value - value.detach().clamp(max=0)


def require_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raise ``ValueError`` unless the option is one of the choices."""
    if value not in choices:
        expected = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {expected}, got {value!r}")


def require_at_least(name: str, value: float, bound: float, *, strict: bool = False) -> None:
    """Raise ``ValueError`` if the option is below the bound, or equal to it when ``strict``."""
    if not (value > bound if strict else value >= bound):
        raise ValueError(f"{name} must be {'>' if strict else '>='} {bound:g}, got {value!r}")


def require_between(name: str, value: float, low: float, high: float) -> None:
    """Raise ``ValueError`` if the option is outside the closed interval."""
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low:g} and {high:g}, got {value!r}")


def require_same_shape(prediction: Tensor, target: Tensor) -> None:
    """Raise ``ValueError`` if the shapes differ; torch would broadcast them."""
    if prediction.shape != target.shape:
        raise ValueError(
            "target must have the shape of prediction, "
            f"{tuple(prediction.shape)}, got {tuple(target.shape)}"
        )


def require_sample_weights(weights: Tensor, terms: Tensor) -> None:
    """Raise ``ValueError`` unless there is one weight per sample."""
    if terms.dim() == 0:
        raise ValueError("sample weights need a loss with one value per sample, got one number")
    if weights.shape != terms.shape[:1]:
        raise ValueError(
            f"weights must hold one number per sample, shape ({len(terms)},), got "
            f"{tuple(weights.shape)}"
        )


def require_elements(elements: Tensor) -> None:
    """Raise ``ValueError`` if the batch is empty, since its mean is undefined."""
    if elements.numel() == 0:
        raise ValueError(
            "prediction must hold at least one element for reduction='mean', "
            f"got shape {tuple(elements.shape)}; reduction='sum' gives 0 for an empty batch"
        )
