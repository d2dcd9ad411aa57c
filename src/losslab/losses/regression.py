"""Regression losses."""

from typing import Literal

import torch
from torch import Tensor

from losslab.losses import functional
from losslab.losses.base import (
    Loss,
    Reduction,
    TargetFormat,
    divide,
    require_at_least,
    require_choice,
    require_elements,
    require_same_shape,
)


class SSELoss(Loss):
    r"""Sum of squared errors.

    .. math:: \ell = \sum_i (\hat y_i - y_i)^2

    Its gradient grows with the batch, so a learning rate for SGD suits one batch size only.

    Args:
        reduction: ``"sum"`` or ``"none"``; for the mean, use :class:`MSELoss`.

    Shape:
        prediction and target: the same, ``(N, *)``, in the unit of the target; the loss is in
        that unit squared, ``(N, *)`` for ``reduction="none"``.

    Raises:
        ValueError: if the shapes differ.

    Source:
        Legendre, "Nouvelles méthodes pour la détermination des orbites des comètes", 1805.

    Example:
        >>> import torch
        >>> SSELoss()(torch.tensor([1.0, 4.0]), torch.tensor([0.0, 2.0])).item()
        5.0
    """

    accepts = (TargetFormat.VALUES,)
    minimum = 0.0

    def __init__(self, reduction: Literal["sum", "none"] = "sum") -> None:
        require_choice("reduction", reduction, ("sum", "none"))
        super().__init__(reduction)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        require_same_shape(prediction, target)
        self.require_reducible(prediction)
        return functional.squared_error(prediction, target, reduction=self.reduction)


class MSELoss(Loss):
    r"""Mean squared error; the best constant prediction is the mean of the targets.

    .. math:: \ell = \operatorname{reduce}_i\, (\hat y_i - y_i)^2

    Args:
        reduction: ``"mean"`` (over all elements), ``"sum"`` or ``"none"``.

    Shape:
        prediction and target: the same, ``(N, *)``, in the unit of the target; the loss is in
        that unit squared, ``(N, *)`` for ``reduction="none"``.

    Raises:
        ValueError: if the shapes differ, or the mean is over an empty batch.

    Source:
        Gauss, "Theoria combinationis observationum erroribus minimis obnoxiae", 1823.

    Example:
        >>> import torch
        >>> MSELoss()(torch.tensor([1.0, 4.0]), torch.tensor([0.0, 2.0])).item()
        2.5
    """

    accepts = (TargetFormat.VALUES,)
    minimum = 0.0

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        require_same_shape(prediction, target)
        self.require_reducible(prediction)
        return functional.squared_error(prediction, target, reduction=self.reduction)


class RMSELoss(Loss):
    r"""Root mean squared error, in the unit of the target.

    .. math:: \ell = \sqrt{\frac{1}{N} \sum_i (\hat y_i - y_i)^2}

    Accurate from 1e-30 to 1e30 in float32; the gradient at a perfect prediction is 0. It is not
    additive over batches: for a whole data set, average the squared errors and take the root once.

    Args:
        reduction: only ``"mean"`` (over all elements), since a root of a mean has no elements.

    Shape:
        prediction and target: the same, ``(N, *)``; the loss is one number.

    Raises:
        ValueError: if the shapes differ or the batch is empty.

    Example:
        The gradient at a perfect prediction is 0; that of ``sqrt(mse)`` is NaN.

        >>> import torch
        >>> prediction = torch.ones(3, requires_grad=True)
        >>> RMSELoss()(prediction, torch.ones(3)).backward()
        >>> prediction.grad
        tensor([0., 0., 0.])
    """

    accepts = (TargetFormat.VALUES,)
    minimum = 0.0

    def __init__(self, reduction: Literal["mean"] = "mean") -> None:
        require_choice("reduction", reduction, ("mean",))
        super().__init__(reduction)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        require_same_shape(prediction, target)
        require_elements(prediction)
        return functional.root_mean_squared_error(prediction, target)

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, None]:
        """Compute the squared errors, of which :meth:`from_total` takes the root once."""
        require_same_shape(prediction, target)
        return functional.squared_error(prediction, target), None

    def from_total(self, total: Tensor, count: Tensor) -> Tensor:
        """Compute the root of the mean; 0 with zero gradient if the total is 0."""
        mean = divide(total, count)
        return torch.where(mean > 0, mean.where(mean > 0, 1).sqrt(), 0 * mean)


class MAELoss(Loss):
    r"""Mean absolute error; the best constant prediction is the median of the targets.

    .. math:: \ell = \operatorname{reduce}_i\, |\hat y_i - y_i|

    Args:
        reduction: ``"mean"`` (over all elements), ``"sum"`` or ``"none"``.

    Shape:
        prediction and target: the same, ``(N, *)``; the loss is in their unit, ``(N, *)`` for
        ``reduction="none"``.

    Raises:
        ValueError: if the shapes differ, or the mean is over an empty batch.

    Source:
        Boscovich, 1757, and Laplace, 1793, for fitting a line.

    Example:
        >>> import torch
        >>> MAELoss()(torch.tensor([1.0, 4.0]), torch.tensor([0.0, 2.0])).item()
        1.5
    """

    accepts = (TargetFormat.VALUES,)
    minimum = 0.0

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        require_same_shape(prediction, target)
        self.require_reducible(prediction)
        return functional.absolute_error(prediction, target, reduction=self.reduction)


class HuberLoss(Loss):
    r"""Huber loss: squared for small errors, absolute for large ones.

    .. math::

        \ell = \operatorname{reduce}_i
        \begin{cases}
            d_i^2 / 2 & |d_i| \le \delta \\
            \delta (|d_i| - \delta / 2) & \text{else}
        \end{cases}
        \qquad d_i = \hat y_i - y_i

    Args:
        delta: error from which the loss is linear, in the unit of the target.
        reduction: ``"mean"`` (over all elements), ``"sum"`` or ``"none"``.

    Shape:
        prediction and target: the same, ``(N, *)``; the loss is in their unit squared,
        ``(N, *)`` for ``reduction="none"``.

    Raises:
        ValueError: if delta is not above 0, the shapes differ, or the mean is over an empty batch.

    Source:
        Huber, "Robust Estimation of a Location Parameter", 1964.

    Example:
        Without outliers it is half the squared error.

        >>> import torch
        >>> prediction, target = torch.tensor([1.0, 4.0]), torch.tensor([0.0, 2.0])
        >>> HuberLoss(delta=10.0)(prediction, target).item()
        1.25
    """

    accepts = (TargetFormat.VALUES,)
    minimum = 0.0

    def __init__(self, delta: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        require_at_least("delta", delta, 0, strict=True)
        self.delta = delta

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        require_same_shape(prediction, target)
        self.require_reducible(prediction)
        return functional.huber(prediction, target, self.delta, reduction=self.reduction)


class SmoothL1Loss(Loss):
    r"""Smooth L1 loss: absolute error with a rounded corner.

    .. math::

        \ell = \operatorname{reduce}_i
        \begin{cases}
            d_i^2 / (2 \beta) & |d_i| < \beta \\
            |d_i| - \beta / 2 & \text{else}
        \end{cases}
        \qquad d_i = \hat y_i - y_i

    This is the Huber loss with ``delta=beta``, divided by beta; the two are equal for beta = 1.

    Args:
        beta: error below which the loss is quadratic, in the unit of the target; 0 gives the
            absolute error.
        reduction: ``"mean"`` (over all elements), ``"sum"`` or ``"none"``.

    Shape:
        prediction and target: the same, ``(N, *)``; the loss is in their unit, ``(N, *)`` for
        ``reduction="none"``.

    Raises:
        ValueError: if beta is negative, the shapes differ, or the mean is over an empty batch.

    Source:
        Girshick, "Fast R-CNN", 2015, for beta = 1.

    Example:
        >>> import torch
        >>> prediction, target = torch.tensor([1.0, 4.0]), torch.tensor([0.0, 2.0])
        >>> SmoothL1Loss(beta=0.0)(prediction, target) == MAELoss()(prediction, target)
        tensor(True)
    """

    accepts = (TargetFormat.VALUES,)
    minimum = 0.0

    def __init__(self, beta: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        require_at_least("beta", beta, 0)
        self.beta = beta

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        require_same_shape(prediction, target)
        self.require_reducible(prediction)
        return functional.smooth_l1(prediction, target, self.beta, reduction=self.reduction)
