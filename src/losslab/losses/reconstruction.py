"""Reconstruction loss of an autoencoder."""

from typing import Literal

from torch import Tensor

from losslab.losses.base import (
    Loss,
    Reduction,
    TargetFormat,
    require_choice,
    require_same_shape,
)
from losslab.losses.functional.regression import absolute_error, squared_error


class ReconstructionLoss(Loss):
    r"""Distance between a reconstruction and its original, per element or per sample.

    .. math:: \ell = \operatorname{mean}_n \operatorname{agg}_i |\hat x_{n,i} - x_{n,i}|^p

    where agg is the mean over the elements of a sample (``per="element"``) or their sum
    (``per="sample"``, the scale needed beside a prior, as in a variational autoencoder). The best
    constant prediction is the median for p = 1 and the mean for p = 2.

    Args:
        p: 1 or 2.
        per: ``"element"`` or ``"sample"``.
        reduction: ``"mean"`` over elements or samples, ``"sum"``, or ``"none"``: the shape of the
            prediction, or ``(N,)`` for ``per="sample"``.

    Shape:
        prediction and target: the same, ``(N, *)``, in the unit of the target.

    Raises:
        ValueError: if an option is not one of its choices or the shapes differ.

    Source:
        Rumelhart, Hinton, Williams, "Learning internal representations by error propagation", 1986.

    Example:
        >>> import torch
        >>> image, copy = torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.5)
        >>> ReconstructionLoss(p=2)(copy, image), ReconstructionLoss(p=2, per="sample")(copy, image)
        (tensor(0.2500), tensor(4.))
    """

    accepts = (TargetFormat.VALUES,)
    inverse_link = "identity"
    minimum = 0.0

    def __init__(
        self,
        p: int = 2,
        per: Literal["element", "sample"] = "element",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        require_choice("p", p, (1, 2))
        require_choice("per", per, ("element", "sample"))
        self.p = p
        self.per = per

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        require_same_shape(prediction, target)
        error = absolute_error if self.p == 1 else squared_error
        elements = error(prediction, target)
        if self.per == "sample":
            elements = elements.unsqueeze(-1).flatten(1).sum(dim=1)
        return self.reduce(elements)
