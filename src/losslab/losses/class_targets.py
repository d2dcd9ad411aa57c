"""What the classification losses share: class weights, and checks of the two target forms."""

from collections.abc import Iterable

import torch
from torch import Tensor

Weights = float | Iterable[float] | Tensor | None
"""A number, or one a class; ``None`` for no weights."""


def weights(name: str, value: Weights) -> Tensor | None:
    """The option as a tensor of no or one dimension, to be kept as a buffer.

    Raises:
        ValueError: if it is no number nor a flat list of numbers, or one is negative or infinite.
    """
    if value is None:
        return None
    if isinstance(value, str):
        raise ValueError(f"{name} must be None, a number or one number a class, got {value!r}")
    if isinstance(value, Tensor):
        tensor = value.detach().clone().to(torch.promote_types(value.dtype, torch.float32))
    elif isinstance(value, Iterable):
        tensor = torch.tensor([float(weight) for weight in value])
    else:
        tensor = torch.tensor(float(value))
    if tensor.dim() > 1 or tensor.numel() == 0:
        shape = tuple(tensor.shape)
        raise ValueError(f"{name} must be one number or one a class, got shape {shape}")
    if not (tensor.isfinite() & (tensor >= 0)).all():
        raise ValueError(f"{name} must be finite and >= 0, got {tensor.tolist()}")
    return tensor


def class_weights(name: str, weight: Tensor | None, prediction: Tensor) -> Tensor | None:
    """The kept weights as ``(C,)`` in the precision that the loss computes in.

    Raises:
        ValueError: if there are weights for another number of classes.
    """
    if weight is None:
        return None
    classes = prediction.shape[1]
    if weight.dim() == 1 and len(weight) != classes:
        raise ValueError(
            f"{name} must hold one number a class, {classes} in all, got {len(weight)}"
        )
    return computing(weight, prediction).expand(classes)


def computing(weight: Tensor, prediction: Tensor) -> Tensor:
    """The weight where a loss of this prediction computes, and in its precision."""
    return weight.to(prediction.device, torch.promote_types(prediction.dtype, torch.float32))


def require_classes(prediction: Tensor) -> None:
    """Raise ``ValueError`` unless dimension 1 holds two classes or more."""
    if prediction.dim() < 2 or prediction.shape[1] < 2:
        raise ValueError(
            "prediction must have shape (N, C, *) with at least 2 classes, "
            f"got {tuple(prediction.shape)}"
        )


def require_class_indices(prediction: Tensor, target: Tensor) -> None:
    """Raise ``ValueError`` unless the target holds one int64 index for each set of logits."""
    require_classes(prediction)
    if not _are_class_indices(prediction, target):
        raise ValueError(
            f"target must hold int64 class indices of shape {_shape_of_indices(prediction)}, "
            f"got {target.dtype} of shape {tuple(target.shape)}"
        )


def accepts_masks(prediction: Tensor, target: Tensor) -> bool:
    """Whether the target is a binary mask rather than class indices.

    Raises:
        ValueError: if it is neither.
    """
    if target.shape == prediction.shape:
        return True
    if _are_class_indices(prediction, target):
        require_classes(prediction)
        return False
    raise ValueError(
        f"target must hold a binary mask of the shape of prediction, {tuple(prediction.shape)}, "
        f"or int64 class indices of shape {_shape_of_indices(prediction)}, "
        f"got {target.dtype} of shape {tuple(target.shape)}"
    )


def _are_class_indices(prediction: Tensor, target: Tensor) -> bool:
    if prediction.dim() < 2 or target.dtype != torch.int64:
        return False
    return tuple(target.shape) == _shape_of_indices(prediction)


def _shape_of_indices(prediction: Tensor) -> tuple[int, ...]:
    return tuple(prediction.shape[:1] + prediction.shape[2:])
