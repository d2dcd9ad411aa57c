"""Losses of bounding boxes by their overlap."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from losslab.losses import functional
from losslab.losses.base import Loss, TargetFormat, require_same_shape


class BoxLoss(Loss):
    """Base class of the losses between a predicted and a true box.

    Args:
        reduction: ``"mean"`` over the boxes, ``"sum"``, or ``"none"`` for one value per box.
    """

    accepts = (TargetFormat.BOXES,)
    minimum = 0.0
    formula: ClassVar[Callable[..., Tensor]]
    """Function of prediction and target that returns one value per pair of boxes."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        require_boxes(prediction, target)
        return self.reduce(self.formula(prediction, target))


class IoULoss(BoxLoss):
    r"""IoU loss: one minus the intersection over union of two boxes P and T.

    .. math:: \ell = 1 - \frac{|P \cap T|}{|P \cup T|}

    Boxes that do not overlap have loss 1 and no gradient. The loss does not depend on the unit of
    the coordinates, and is exact for small boxes. The two corners of a box may come in any order.

    Args:
        reduction: ``"mean"`` over the boxes, ``"sum"``, or ``"none"`` for one value per box.

    Shape:
        prediction and target: corners x1, y1, x2, y2 of boxes, the same ``(N, *, 4)``; ``(N, *)``
        for ``reduction="none"``.

    Raises:
        ValueError: if the shapes differ or are others, or the mean is over an empty batch.

    Source:
        Rezatofighi et al., "Generalized Intersection over Union", 2019.

    Example:
        >>> import torch
        >>> target = torch.tensor([[0.0, 0.0, 4.0, 1.0]])
        >>> IoULoss()(torch.tensor([[3.0, 0.0, 0.0, 1.0]]), target).item()  # x1 and x2 swapped
        0.25
    """

    formula = staticmethod(functional.iou)


class GIoULoss(BoxLoss):
    r"""Generalized IoU loss, which has a gradient for boxes that do not overlap, too.

    .. math:: \ell = 1 - \frac{|P \cap T|}{|P \cup T|} + \frac{|C \setminus (P \cup T)|}{|C|}

    C is the smallest box that encloses both. The loss is between 0 and 2. It is the IoU loss if
    one box is inside the other, or above or beside it at the same width or height.

    Args:
        reduction: ``"mean"`` over the boxes, ``"sum"``, or ``"none"`` for one value per box.

    Shape:
        prediction and target: corners x1, y1, x2, y2 of boxes, the same ``(N, *, 4)``; ``(N, *)``
        for ``reduction="none"``.

    Raises:
        ValueError: if the shapes differ or are others, or the mean is over an empty batch.

    Source:
        Rezatofighi et al., "Generalized Intersection over Union", 2019.

    Example:
        Boxes that do not overlap: the farther, the larger.

        >>> import torch
        >>> target = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        >>> GIoULoss()(target + 1, target).item(), GIoULoss()(target + 3, target).item()
        (1.5, 1.875)
    """

    formula = staticmethod(functional.giou)


class DIoULoss(BoxLoss):
    r"""Distance IoU loss: the IoU loss plus the relative distance of the centres.

    .. math:: \ell = 1 - \frac{|P \cap T|}{|P \cup T|} + \frac{\rho^2}{c^2}

    :math:`\rho` is the distance of the centres, c the diagonal of the smallest box that encloses
    both. The loss is between 0 and 2.

    Args:
        reduction: ``"mean"`` over the boxes, ``"sum"``, or ``"none"`` for one value per box.

    Shape:
        prediction and target: corners x1, y1, x2, y2 of boxes, the same ``(N, *, 4)``; ``(N, *)``
        for ``reduction="none"``.

    Raises:
        ValueError: if the shapes differ or are others, or the mean is over an empty batch.

    Source:
        Zheng et al., "Distance-IoU Loss", 2020.

    Example:
        A box inside the target has the smallest loss in its centre.

        >>> import torch
        >>> target = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
        >>> DIoULoss()(torch.tensor([[1.0, 1.0, 3.0, 3.0]]), target).item()
        0.75
        >>> DIoULoss()(torch.tensor([[0.0, 1.0, 2.0, 3.0]]), target).item()
        0.78125
    """

    formula = staticmethod(functional.diou)


class CIoULoss(BoxLoss):
    r"""Complete IoU loss: the distance IoU loss plus the difference of the aspect ratios.

    .. math::

        \ell = 1 - \frac{|P \cap T|}{|P \cup T|} + \frac{\rho^2}{c^2} + \alpha v, \qquad
        v = \frac{4}{\pi^2}
            \left(\operatorname{atan} \frac{w_t}{h_t} - \operatorname{atan} \frac{w_p}{h_p}\right)^2

    with :math:`\alpha = v / (1 - \mathrm{IoU} + v)`, which is a constant for the gradient: the
    gradient is not that of the value. It grows as 1 / size for boxes that become a point, which
    counts as a square.

    Args:
        reduction: ``"mean"`` over the boxes, ``"sum"``, or ``"none"`` for one value per box.

    Shape:
        prediction and target: corners x1, y1, x2, y2 of boxes, the same ``(N, *, 4)``; ``(N, *)``
        for ``reduction="none"``.

    Raises:
        ValueError: if the shapes differ or are others, or the mean is over an empty batch.

    Source:
        Zheng et al., "Distance-IoU Loss", 2020.

    Example:
        A box without height has a gradient.

        >>> import torch
        >>> prediction = torch.tensor([[0.0, 1.0, 2.0, 1.0]], requires_grad=True)
        >>> CIoULoss()(prediction, torch.tensor([[0.0, 0.0, 2.0, 2.0]])).backward()
        >>> prediction.grad.isfinite().all().item()
        True
    """

    formula = staticmethod(functional.ciou)


def require_boxes(prediction: Tensor, target: Tensor) -> None:
    """Raise ``ValueError`` unless both are boxes, four coordinates each."""
    require_same_shape(prediction, target)
    if prediction.dim() < 2 or prediction.shape[-1] != 4 or not prediction.is_floating_point():
        raise ValueError(
            "prediction must hold boxes, floating-point corners of shape (N, 4), got "
            f"{prediction.dtype} of shape {tuple(prediction.shape)}"
        )
