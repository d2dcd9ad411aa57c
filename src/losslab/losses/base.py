"""Base class of the losses, and the argument checks that they share."""

from enum import Enum
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

Reduction = Literal["mean", "sum", "none"]
InverseLink = Literal["softmax", "sigmoid", "identity"]
REDUCTIONS = ("mean", "sum", "none")


class TargetFormat(Enum):
    """Format of the prediction and target that a loss accepts; error messages show the value."""

    VALUES = "values"  # (N, *) with (N, *), real numbers in the same unit
    CLASS_INDICES = "class indices"  # logits (N, C, *) with int64 indices (N, *)
    CLASS_PROBABILITIES = "class probabilities"  # logits (N, C, *) with one-hot or soft (N, C, *)
    CLASS_MASKS = "class masks"  # logits (N, C, H, W) with int64 indices (N, H, W)
    BINARY_TARGETS = "binary targets"  # logits (N, *) with 0/1 or soft targets of the same shape
    SEQUENCES = "sequences with lengths"  # logits (N, T, C) with a SequenceTarget
    POINT_SETS = "point sets"  # (N, P, D) with (N, Q, D)
    LABELLED_EMBEDDINGS = "embeddings with labels"  # (N, D) with int64 labels (N,)
    RELEVANCE = "scores with relevance"  # (Q, D) with grades (Q, D); a negative grade is padding
    ADVANTAGES = "log-probabilities with advantages"  # (B,) with a PolicyTarget
    ACTION_VALUES = "Q-values with actions and returns"  # (B, A) with a TransitionTarget
    DISCRIMINATOR = "discriminator logits"  # real (N,) with generated (N,)


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
    """The map from class logits to probabilities; a single logit always uses the sigmoid.

    ``None`` if the loss does not define probabilities, as for the hinge loss.
    """
    minimum: ClassVar[float | None] = None
    """The smallest value of the loss, or ``None`` if it has no lower bound."""

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        require_choice("reduction", reduction, REDUCTIONS)
        self.reduction = reduction

    def reduce(self, elements: Tensor) -> Tensor:
        """Apply the reduction to element-wise values."""
        if self.reduction == "none":
            return elements
        if self.reduction == "sum":
            return elements.sum()
        require_elements(elements)
        return elements.mean()

    def reduce_total(self, total: Tensor, elements: Tensor) -> Tensor:
        """Apply the reduction, sum or mean, to a total that was summed over the given elements."""
        self.require_reducible(elements)
        return total if self.reduction == "sum" else total / elements.numel()

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


def full_precision(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Convert half-precision tensors to float32 and return the others unchanged."""
    half = (torch.float16, torch.bfloat16)
    return tuple(tensor.float() if tensor.dtype in half else tensor for tensor in tensors)


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


def require_elements(elements: Tensor) -> None:
    """Raise ``ValueError`` if the batch is empty, since its mean is undefined."""
    if elements.numel() == 0:
        raise ValueError(
            "prediction must hold at least one element for reduction='mean', "
            f"got shape {tuple(elements.shape)}; reduction='sum' gives 0 for an empty batch"
        )
