"""Formulas of the regression losses, with ``d = prediction - target``."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.losses.base import Reduction, full_precision


def squared_error(prediction: Tensor, target: Tensor, reduction: Reduction = "none") -> Tensor:
    """Element-wise ``d**2``, or its mean or sum, which is faster than reducing later."""
    return F.mse_loss(*_comparable(prediction, target), reduction=reduction)


def absolute_error(prediction: Tensor, target: Tensor, reduction: Reduction = "none") -> Tensor:
    """Element-wise ``|d|``; its gradient is the sign of d, and 0 where d is 0."""
    return F.l1_loss(*_comparable(prediction, target), reduction=reduction)


def huber(
    prediction: Tensor, target: Tensor, delta: float = 1.0, reduction: Reduction = "none"
) -> Tensor:
    """Element-wise ``d**2 / 2`` where ``|d| <= delta``, else ``delta * (|d| - delta / 2)``."""
    return F.huber_loss(*_comparable(prediction, target), reduction=reduction, delta=delta)


def smooth_l1(
    prediction: Tensor, target: Tensor, beta: float = 1.0, reduction: Reduction = "none"
) -> Tensor:
    """Element-wise ``huber(delta=beta) / beta``, and ``|d|`` for ``beta=0``."""
    return F.smooth_l1_loss(*_comparable(prediction, target), reduction=reduction, beta=beta)


def root_mean_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """``sqrt(mean d**2)`` over all elements, a single number.

    Exact wherever ``d`` can be held: neither squares nor their sum leave the range of the dtype.
    Its gradient is ``d / (N * rmse)``, and 0 where every ``d`` is 0.
    """
    prediction, target = _comparable(prediction, target)
    difference = (prediction - target).flatten()
    # squares underflow below 1e-19 and overflow above 1e19 in float32: measure in units of the
    # largest difference; a constant for the gradient, since it cancels
    largest = difference.detach().abs().amax()
    unit = torch.where(largest > 0, largest, 1)
    norm: Tensor = torch.linalg.vector_norm(difference / unit)
    return unit * (norm / math.sqrt(difference.numel()))


def _comparable(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the precision of the prediction, float32 at least (half squares overflow at 256)."""
    (prediction,) = full_precision(prediction)
    return prediction, target.to(prediction.dtype)
