"""Formulas of the regression losses, with ``d = prediction - target``."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.losses.base import Reduction, full_precision
from losslab.losses.functional.fused import Formula, is_compiled, row_sums


def squared_error(prediction: Tensor, target: Tensor, reduction: Reduction = "none") -> Tensor:
    """Element-wise ``d**2``, or its mean or sum, which is faster than reducing later."""
    if reduction != "none" and _is_large_half(prediction):
        return _reduced(SQUARED, prediction, target, reduction)
    return F.mse_loss(*_comparable(prediction, target), reduction=reduction)


def absolute_error(prediction: Tensor, target: Tensor, reduction: Reduction = "none") -> Tensor:
    """Element-wise ``|d|``; its gradient is the sign of d, and 0 where d is 0."""
    if reduction != "none" and _is_large_half(prediction):
        return _reduced(ABSOLUTE, prediction, target, reduction)
    return F.l1_loss(*_comparable(prediction, target), reduction=reduction)


def huber(
    prediction: Tensor, target: Tensor, delta: float = 1.0, reduction: Reduction = "none"
) -> Tensor:
    """Element-wise ``d**2 / 2`` where ``|d| <= delta``, else ``delta * (|d| - delta / 2)``."""
    if reduction != "none" and _is_large_half(prediction):
        return _reduced(HUBER, prediction, target, reduction, delta)
    return F.huber_loss(*_comparable(prediction, target), reduction=reduction, delta=delta)


def smooth_l1(
    prediction: Tensor, target: Tensor, beta: float = 1.0, reduction: Reduction = "none"
) -> Tensor:
    """Element-wise ``huber(delta=beta) / beta``, and ``|d|`` for ``beta=0``."""
    if beta > 0 and reduction != "none" and _is_large_half(prediction):
        return huber(prediction, target, beta, reduction) / beta
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


# --- large half-precision batches, compiled: otherwise two copies in float32 are written and read


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
