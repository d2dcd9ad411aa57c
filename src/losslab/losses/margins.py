"""Losses of the lead that the right class has: hinge and focal."""

from typing import Literal

from torch import Tensor

from losslab.losses import functional
from losslab.losses.base import (
    Loss,
    Reads,
    Reduction,
    require_at_least,
    require_between,
    require_choice,
)
from losslab.losses.class_targets import (
    Weights,
    class_weights,
    computing,
    reads_masks,
    weights,
)


class HingeLoss(Loss):
    r"""Hinge loss: nothing to gain beyond a margin.

    Binary, with y = +1 where the target is positive and -1 elsewhere:

    .. math:: \ell = \operatorname{reduce}_i\, \max(0, m - y_i s_i)

    Several classes, over the classes j other than t:

    .. math::

        \ell_i = \max(0, m + \max_j s_{ij} - s_{it_i}) \quad\text{(Crammer, Singer)}
        \qquad
        \ell_i = \sum_j \max(0, m + s_{ij} - s_{it_i}) \quad\text{(Weston, Watkins)}

    Its scores say nothing of probabilities.

    Args:
        margin: lead beyond which a sample costs nothing, in the unit of the scores.
        multiclass: ``"crammer_singer"`` or ``"weston_watkins"``.
        squared: square each maximum.
        reduction: ``"mean"`` (over the targets), ``"sum"`` or ``"none"``.

    Shape:
        prediction: scores ``(N, *)`` with target 0/1 or -1/+1 of the same shape; or scores
        ``(N, C, *)`` with int64 class indices ``(N, *)``. ``(N, *)`` for ``reduction="none"``.

    Raises:
        ValueError: if an option is out of range, the target is not as above, or for the mean of
            an empty batch.

    Source:
        Cortes, Vapnik, "Support-Vector Networks", 1995; Crammer, Singer, "On the Algorithmic
        Implementation of Multiclass Kernel-based Vector Machines", 2001; Weston, Watkins,
        "Support Vector Machines for Multi-Class Pattern Recognition", 1999.

    Example:
        A lead of the margin costs nothing; targets may be 0/1 or -1/+1.

        >>> import torch
        >>> scores = torch.tensor([1.0, -1.0, 0.5])
        >>> HingeLoss(reduction="none")(scores, torch.tensor([1, 0, 1]))
        tensor([0.0000, 0.0000, 0.5000])
        >>> HingeLoss(reduction="none")(scores, torch.tensor([1, -1, 1]))
        tensor([0.0000, 0.0000, 0.5000])
    """

    reads = (Reads.BINARY_MASKS, Reads.CLASS_INDICES)
    link = None
    minimum = 0.0

    def __init__(
        self,
        margin: float = 1.0,
        multiclass: Literal["crammer_singer", "weston_watkins"] = "crammer_singer",
        squared: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        require_at_least("margin", margin, 0, strict=True)
        require_choice("multiclass", multiclass, ("crammer_singer", "weston_watkins"))
        self.margin = margin
        self.multiclass = multiclass
        self.squared = squared

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        if reads_masks(prediction, target):
            if self.reduction == "none":
                return self._power(functional.binary_hinge(prediction, target, self.margin))
            sums = functional.binary_hinge_sums(prediction, target, self.margin, self.squared)
            return self.reduce_total(sums.sum(), prediction)
        if self.multiclass == "crammer_singer":
            hinge = functional.crammer_singer_hinge(prediction, target, self.margin)
            return self.reduce(self._power(hinge))
        hinges = functional.weston_watkins_hinge(prediction, target, self.margin)
        return self.reduce(self._power(hinges).sum(dim=1))

    def _power(self, hinge: Tensor) -> Tensor:
        return hinge.square() if self.squared else hinge


class FocalLoss(Loss):
    r"""Focal loss: cross-entropy with the well-classified samples turned down.

    .. math:: \ell = \operatorname{reduce}_i\, -\alpha_{t_i} (1 - p_{t_i})^\gamma \log p_{t_i}

    with p the sigmoid of binary logits, or the softmax of several classes. A soft binary target
    is the mixture of the losses of both classes.

    Args:
        gamma: how much a confident and right sample is turned down; 0 is cross-entropy.
        alpha: weights of the classes, one number a class; for binary masks one number weighs the
            positive class, and 1 - alpha the negative.
        reduction: ``"mean"`` (over the targets, whatever their weights), ``"sum"`` or ``"none"``.

    Shape:
        prediction: logits ``(N, *)`` with target 0, 1 or between of the same shape; or logits
        ``(N, C, *)`` with int64 class indices ``(N, *)``. ``(N, *)`` for ``reduction="none"``.

    Raises:
        ValueError: if an option is out of range, the number of weights is not that of the
            classes, the target is not as above, or for the mean of an empty batch.

    Source:
        Lin et al., "Focal Loss for Dense Object Detection", 2017.

    Example:
        With gamma = 0 it is cross-entropy.

        >>> import torch
        >>> logits, indices = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), torch.tensor([0, 2])
        >>> value = torch.nn.functional.cross_entropy(logits, indices)
        >>> torch.isclose(FocalLoss(gamma=0.0)(logits, indices), value)
        tensor(True)
    """

    reads = (Reads.BINARY_MASKS, Reads.CLASS_INDICES)
    link = "softmax"
    minimum = 0.0
    alpha: Tensor | None

    def __init__(
        self, gamma: float = 2.0, alpha: Weights = None, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        require_at_least("gamma", gamma, 0)
        self.gamma = gamma
        self.register_buffer("alpha", weights("alpha", alpha))
        if self.alpha is not None and self.alpha.dim() == 0:
            require_between("alpha", float(self.alpha), 0, 1)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        if reads_masks(prediction, target):
            positive, negative = self._binary_weights(prediction)
            if self.reduction == "none":
                return functional.binary_focal(prediction, target, self.gamma, positive, negative)
            options = self.gamma, positive, negative
            sums = functional.binary_focal_sums(prediction, target, *options)
            return self.reduce_total(sums.sum(), prediction)
        weight = self._class_weights(prediction)
        return self.reduce(functional.softmax_focal(prediction, target, self.gamma, weight))

    def _binary_weights(self, prediction: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The weights of the positive and of the negative class."""
        if self.alpha is None:
            return None, None
        alpha = computing(self.alpha, prediction)
        if alpha.dim() == 0:
            return alpha, 1 - alpha
        if len(alpha) != 2:
            raise ValueError(
                "alpha must hold one number for binary masks, or two for the negative and the "
                f"positive class, got {len(alpha)}"
            )
        return alpha[1], alpha[0]

    def _class_weights(self, prediction: Tensor) -> Tensor | None:
        if self.alpha is not None and self.alpha.dim() == 0:
            raise ValueError(
                f"alpha must hold one number a class, {prediction.shape[1]} in all, for class "
                "indices, got one number, which weighs the positive class of binary masks"
            )
        return class_weights("alpha", self.alpha, prediction)
