"""What every loss says of itself, and the checks that every loss makes."""

from enum import Enum
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

Reduction = Literal["mean", "sum", "none"]
InverseLink = Literal["softmax", "sigmoid", "identity"]
REDUCTIONS = ("mean", "sum", "none")


class TargetFormat(Enum):
    """The form of prediction and target that a loss takes; the value is how messages name it."""

    VALUES = "values"  # (N, *) with (N, *), real numbers in the same unit
    CLASS_INDICES = "class indices"  # logits (N, C, *) with int64 indices (N, *)
    CLASS_PROBABILITIES = "class probabilities"  # logits (N, C, *) with one-hot or soft (N, C, *)
    CLASS_MASKS = "class masks"  # logits (N, C, H, W) with int64 indices (N, H, W)
    BINARY_MASKS = "binary masks"  # logits (N, *) with 0/1 or soft targets of the same shape
    SEQUENCES = "sequences with lengths"  # logits (N, T, C) with a SequenceTarget
    POINT_SETS = "point sets"  # (N, P, D) with (N, Q, D)
    LABELLED_EMBEDDINGS = "embeddings with labels"  # (N, D) with int64 labels (N,)
    RELEVANCE = "scores with relevance"  # (Q, D) with grades (Q, D); a negative grade is padding
    ADVANTAGES = "log-probabilities with advantages"  # (B,) with a PolicyTarget
    ACTION_VALUES = "Q-values with actions and returns"  # (B, A) with a TransitionTarget
    DISCRIMINATOR = "discriminator logits"  # real (N,) with generated (N,)


class Loss(nn.Module):
    """A loss ``loss(prediction, target)`` that reduces its elements and says what it reads.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``; a loss says what its mean divides by.

    Raises:
        ValueError: if the reduction is another word.
    """

    accepts: ClassVar[tuple[TargetFormat, ...]]
    """The forms this loss takes."""
    inverse_link: ClassVar[InverseLink | None] = None
    """How class logits become probabilities; a single logit becomes one by the sigmoid.

    ``None`` where the loss defines no probability, as for the hinge.
    """
    minimum: ClassVar[float | None] = None
    """The smallest value the loss can take, where it has one."""

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        require_choice("reduction", reduction, REDUCTIONS)
        self.reduction = reduction

    def reduce(self, elements: Tensor) -> Tensor:
        """Reduce element-wise values as the option says."""
        if self.reduction == "none":
            return elements
        if self.reduction == "sum":
            return elements.sum()
        require_elements(elements)
        return elements.mean()

    def reduce_total(self, total: Tensor, elements: Tensor) -> Tensor:
        """Reduce the sum of a loss with one value for each of these elements."""
        self.require_reducible(elements)
        return total if self.reduction == "sum" else total / elements.numel()

    def require_reducible(self, elements: Tensor) -> None:
        """Raise ``ValueError`` for the mean of an empty batch."""
        if self.reduction == "mean":
            require_elements(elements)

    def components(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The weighted parts that sum to the loss; a loss of one part has one, named ``loss``."""
        return {"loss": self(prediction, target)}

    def diagnostics(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Detached tensors worth watching beside the loss; none by default."""
        return {}

    def extra_repr(self) -> str:
        """The options, as ``print(loss)`` shows them."""
        options = {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_") and name != "training"
        }
        return ", ".join(f"{name}={value!r}" for name, value in options.items())


def full_precision(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Half-precision tensors as float32, others as they are."""
    half = (torch.float16, torch.bfloat16)
    return tuple(tensor.float() if tensor.dtype in half else tensor for tensor in tensors)


def require_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raise ``ValueError`` unless the option is one of the choices."""
    if value not in choices:
        expected = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {expected}, got {value!r}")


def require_at_least(name: str, value: float, bound: float, *, strict: bool = False) -> None:
    """Raise ``ValueError`` unless the option reaches the bound (or, strictly, exceeds it)."""
    if not (value > bound if strict else value >= bound):
        raise ValueError(f"{name} must be {'>' if strict else '>='} {bound:g}, got {value!r}")


def require_between(name: str, value: float, low: float, high: float) -> None:
    """Raise ``ValueError`` unless the option lies in the closed range."""
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low:g} and {high:g}, got {value!r}")


def require_same_shape(prediction: Tensor, target: Tensor) -> None:
    """Raise ``ValueError`` unless both shapes agree; torch would broadcast them."""
    if prediction.shape != target.shape:
        raise ValueError(
            "target must have the shape of prediction, "
            f"{tuple(prediction.shape)}, got {tuple(target.shape)}"
        )


def require_elements(elements: Tensor) -> None:
    """Raise ``ValueError`` for an empty batch, whose mean is not defined."""
    if elements.numel() == 0:
        raise ValueError(
            "prediction must hold at least one element for reduction='mean', "
            f"got shape {tuple(elements.shape)}; reduction='sum' gives 0 for an empty batch"
        )
