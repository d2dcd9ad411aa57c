"""Formulas of the regression losses, with ``d = prediction - target``."""

import math
from typing import Any

import torch
from torch import Tensor

from losslab.losses.base import HALF, Reduction
from losslab.losses.functional.fused import ABSOLUTE, HUBER, SQUARED, ElementKernel, fused

# elements of float32 from which a kernel, which Python calls, is faster than two or three of torch
KERNEL_FROM = 2**16

# the operators behind torch.nn.functional, without its checks, which take as long as a small batch
_torch = torch._C._nn
_CODES = {"none": 0, "mean": 1, "sum": 2}


def squared_error(prediction: Tensor, target: Tensor, reduction: Reduction = "none") -> Tensor:
    """Compute ``d**2``, element-wise, or its mean or sum, which is faster than reducing later."""
    return _by_kernel_or_torch(SQUARED, (), _torch.mse_loss, prediction, target, reduction)


def absolute_error(prediction: Tensor, target: Tensor, reduction: Reduction = "none") -> Tensor:
    """Compute ``|d|``, element-wise; the gradient at 0 is 0."""
    return _by_kernel_or_torch(ABSOLUTE, (), _torch.l1_loss, prediction, target, reduction)


def huber(
    prediction: Tensor, target: Tensor, delta: float = 1.0, reduction: Reduction = "none"
) -> Tensor:
    """Compute ``d**2 / 2`` if ``|d| <= delta``, else ``delta * (|d| - delta / 2)``."""
    return _by_kernel_or_torch(HUBER, (delta,), _torch.huber_loss, prediction, target, reduction)


def smooth_l1(
    prediction: Tensor, target: Tensor, beta: float = 1.0, reduction: Reduction = "none"
) -> Tensor:
    """Compute ``huber(delta=beta) / beta``, or ``|d|`` for ``beta=0``, element-wise."""
    if beta == 0:
        return absolute_error(prediction, target, reduction)
    by_torch = _torch.smooth_l1_loss
    return _by_kernel_or_torch(HUBER, (beta,), by_torch, prediction, target, reduction, unit=beta)


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


def _by_kernel_or_torch(
    loss: int,
    option: tuple[float, ...],
    by_torch: Any,
    prediction: Tensor,
    target: Tensor,
    reduction: Reduction,
    unit: float = 1.0,
) -> Tensor:
    """Compute a loss in units of ``unit``, by torch if that is faster than its kernel.

    In half precision the kernel needs no copies in float32.
    """
    code = _CODES[reduction]
    if reduction == "none" or (prediction.numel() < KERNEL_FROM and prediction.dtype not in HALF):
        prediction, target = _comparable(prediction, target)
        value: Tensor = by_torch(prediction, target, code, *option)
        return value

    def definition(prediction: Tensor, target: Tensor) -> tuple[Tensor]:
        return (by_torch(*_comparable(prediction, target), code, *option),)

    divisor = unit * (prediction.numel() if reduction == "mean" else 1)
    return fused(ElementKernel(loss, divisor, *option), definition, prediction, target)[0]


def _comparable(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Convert both to the prediction's precision, float32 at least (half overflows at 256**2)."""
    if prediction.dtype in HALF:
        prediction = prediction.float()
    if target.dtype != prediction.dtype:
        target = target.to(prediction.dtype)
    return prediction, target
