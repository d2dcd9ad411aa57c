"""Formulas of the regression losses, with ``d = prediction - target``."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.losses.base import Reduction, full_precision
from losslab.losses.functional.fused import Formula, is_compiled, row_sums


def squared_error(prediction: Tensor, target: Tensor, reduction: Reduction = "none") -> Tensor:
    """Compute ``d**2``, element-wise, or its mean or sum, which is faster than reducing later."""
    if reduction != "none" and _is_large_half(prediction):
        return _reduced(SQUARED, prediction, target, reduction)
    return F.mse_loss(*_comparable(prediction, target), reduction=reduction)


def absolute_error(prediction: Tensor, target: Tensor, reduction: Reduction = "none") -> Tensor:
    """Compute ``|d|``, element-wise; the gradient at 0 is 0."""
    if reduction != "none" and _is_large_half(prediction):
        return _reduced(ABSOLUTE, prediction, target, reduction)
    return F.l1_loss(*_comparable(prediction, target), reduction=reduction)


def huber(
    prediction: Tensor, target: Tensor, delta: float = 1.0, reduction: Reduction = "none"
) -> Tensor:
    """Compute ``d**2 / 2`` if ``|d| <= delta``, else ``delta * (|d| - delta / 2)``."""
    if reduction != "none" and _is_large_half(prediction):
        return _reduced(HUBER, prediction, target, reduction, delta)
    return F.huber_loss(*_comparable(prediction, target), reduction=reduction, delta=delta)


def smooth_l1(
    prediction: Tensor, target: Tensor, beta: float = 1.0, reduction: Reduction = "none"
) -> Tensor:
    """Compute ``huber(delta=beta) / beta``, or ``|d|`` for ``beta=0``, element-wise."""
    if beta > 0 and reduction != "none" and _is_large_half(prediction):
        return huber(prediction, target, beta, reduction) / beta
    return F.smooth_l1_loss(*_comparable(prediction, target), reduction=reduction, beta=beta)


def root_mean_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute ``sqrt(mean d**2)`` over all elements, a single number.

    Neither the squares nor their sum overflow or underflow. The gradient is ``d / (N * rmse)``,
    and 0 if every ``d`` is 0.
    """
    prediction, target = _comparable(prediction, target)
    difference = (prediction - target).flatten()
    # squares underflow below 1e-19 and overflow above 1e19 in float32: divide by the largest
    # difference, which need not be differentiated, since it cancels
    largest = difference.detach().abs().amax()
    unit = torch.where(largest > 0, largest, 1)
    norm: Tensor = torch.linalg.vector_norm(difference / unit)
    return unit * (norm / math.sqrt(difference.numel()))


def _comparable(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Convert both to the prediction's precision, float32 at least (half overflows at 256**2)."""
    (prediction,) = full_precision(prediction)
    return prediction, target.to(prediction.dtype)


# --- large half-precision batches: compiled, which avoids two float32 copies in memory


def _is_large_half(prediction: Tensor) -> bool:
    return prediction.dtype in (torch.float16, torch.bfloat16) and is_compiled(prediction)


def _reduced(
    formula: Formula, prediction: Tensor, target: Tensor, reduction: Reduction, *options: float
) -> Tensor:
    total = row_sums(formula, 1, prediction, target, options=options).sum()
    return total / prediction.numel() if reduction == "mean" else total


def _squared_fast(_: None, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    difference = prediction.float() - target.float()
    total = difference.square().sum(dim=-1, keepdim=True)
    return total, (2 * difference).to(prediction.dtype)


def _absolute_fast(_: None, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    difference = prediction.float() - target.float()
    return difference.abs().sum(dim=-1, keepdim=True), difference.sign().to(prediction.dtype)


def _huber_fast(_: None, delta: float, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    difference = prediction.float() - target.float()
    slope = difference.clamp(-delta, delta)
    elements = slope * (difference - slope / 2)
    return elements.sum(dim=-1, keepdim=True), slope.to(prediction.dtype)


SQUARED = Formula(lambda z, y: (squared_error(z, y),), _squared_fast)
ABSOLUTE = Formula(lambda z, y: (absolute_error(z, y),), _absolute_fast)
HUBER = Formula(lambda delta, z, y: (huber(z, y, delta),), _huber_fast)
