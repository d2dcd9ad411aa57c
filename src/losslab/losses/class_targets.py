"""Class weights and target checks of the classification losses."""

from collections.abc import Iterable

import torch
from torch import Tensor

Weights = float | Iterable[float] | Tensor | None
"""One number, or one per class; ``None`` for no weights."""


def weights(name: str, value: Weights) -> Tensor | None:
    """Convert the option to a tensor of zero or one dimensions, to be registered as a buffer.

    Raises:
        ValueError: if it is not a number or a flat list of numbers, or if any is negative or not
            finite.
    """
    if value is None:
        return None
    if isinstance(value, str):
        raise ValueError(f"{name} must be None, one number or one number per class, got {value!r}")
    if isinstance(value, Tensor):
        tensor = value.detach().clone().to(torch.promote_types(value.dtype, torch.float32))
    elif isinstance(value, Iterable):
        tensor = torch.tensor([float(weight) for weight in value])
    else:
        tensor = torch.tensor(float(value))
    if tensor.dim() > 1 or tensor.numel() == 0:
        shape = tuple(tensor.shape)
        raise ValueError(f"{name} must be one number or one per class, got shape {shape}")
    if not (tensor.isfinite() & (tensor >= 0)).all():
        raise ValueError(f"{name} must be finite and >= 0, got {tensor.tolist()}")
    return tensor


def class_weights(name: str, weight: Tensor | None, prediction: Tensor) -> Tensor | None:
    """Expand the weights to ``(C,)``, in the precision in which the loss is computed.

    Raises:
        ValueError: if the number of weights is not the number of classes.
    """
    if weight is None:
        return None
    classes = prediction.shape[1]
    if weight.dim() == 1 and len(weight) != classes:
        raise ValueError(
            f"{name} must hold one number per class, {classes} in total, got {len(weight)}"
        )
    return computing(weight, prediction).expand(classes)


def computing(weight: Tensor, prediction: Tensor) -> Tensor:
    """Move the weight to the prediction's device, and to its precision or float32 at least."""
    return weight.to(prediction.device, torch.promote_types(prediction.dtype, torch.float32))


def known_targets(target: Tensor, ignore_index: int | None) -> tuple[Tensor, Tensor | None]:
    """Replace ignored targets by 0.

    Returns:
        The targets, and a mask of those that are not ignored; ``None`` without ``ignore_index``.
    """
    if ignore_index is None:
        return target, None
    counted = target != ignore_index
    return target.where(counted, 0), counted


def require_classes(prediction: Tensor) -> None:
    """Raise ``ValueError`` if dimension 1 has fewer than two classes."""
    if prediction.dim() < 2 or prediction.shape[1] < 2:
        raise ValueError(
            "prediction must have shape (N, C, *) with at least 2 classes, "
            f"got {tuple(prediction.shape)}"
        )


def require_class_indices(prediction: Tensor, target: Tensor) -> None:
    """Raise ``ValueError`` unless the target holds one int64 class index per set of logits."""
    if (_classes(prediction, target) or 0) < 2:
        require_classes(prediction)
        raise ValueError(
            f"target must hold int64 class indices of shape {_shape_of_indices(prediction)}, "
            f"got {target.dtype} of shape {tuple(target.shape)}"
        )


def is_binary_target(prediction: Tensor, target: Tensor) -> bool:
    """Return whether the target is binary, of the prediction's shape, or holds class indices.

    Raises:
        ValueError: if it is neither.
    """
    if target.shape == prediction.shape:
        return True
    if _classes(prediction, target) is not None:
        require_classes(prediction)
        return False
    raise ValueError(
        f"target must be binary with the shape of prediction, {tuple(prediction.shape)}, "
        f"or hold int64 class indices of shape {_shape_of_indices(prediction)}, "
        f"got {target.dtype} of shape {tuple(target.shape)}"
    )


def _classes(prediction: Tensor, target: Tensor) -> int | None:
    """Return the number of classes if the target holds class indices."""
    own, given = prediction.shape, target.shape
    dims = len(own)
    if dims != len(given) + 1 or dims < 2 or target.dtype is not torch.int64:
        return None
    # slices of shapes take longer than the other checks together
    return own[1] if own[0] == given[0] and (dims == 2 or own[2:] == given[1:]) else None


def _shape_of_indices(prediction: Tensor) -> tuple[int, ...]:
    return tuple(prediction.shape[:1] + prediction.shape[2:])
