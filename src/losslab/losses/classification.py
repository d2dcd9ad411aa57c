"""Cross-entropies: losses that are the surprise at the right class."""

import torch
from torch import Tensor

from losslab.losses import functional
from losslab.losses.base import (
    Loss,
    Reads,
    Reduction,
    require_between,
    require_elements,
    require_same_shape,
)
from losslab.losses.class_targets import (
    Weights,
    class_weights,
    computing,
    require_class_indices,
    require_classes,
    weights,
)
from losslab.losses.functional.classification import (
    along_classes,
    sparse_softmax_cross_entropy_total,
)
from losslab.losses.functional.fused import is_compiled


class CrossEntropyLoss(Loss):
    r"""Softmax cross-entropy with class indices (sparse categorical cross-entropy).

    .. math:: \ell = \operatorname{reduce}_i\, -w_{t_i} \log \operatorname{softmax}(z_i)_{t_i}

    Args:
        weight: one number a class.
        label_smoothing: share of the target that is spread evenly over all classes.
        ignore_index: target that counts as no target.
        reduction: ``"mean"`` (over the targets not ignored, each counted with the weight of its
            class), ``"sum"`` or ``"none"``.

    Shape:
        prediction: logits ``(N, C, *)``. target: int64 indices ``(N, *)``. The loss is in nats,
        ``(N, *)`` for ``reduction="none"``, 0 where ignored. Where all are ignored the mean is 0
        with zero gradient; ``facts`` counts them.

    Raises:
        ValueError: if an option is out of range, the target is not as above, the number of
            weights is not C, or for the mean of an empty batch.

    Source:
        Good, "Rational Decisions", 1952; label smoothing: Szegedy et al., "Rethinking the
        Inception Architecture for Computer Vision", 2016.

    Example:
        Knowing nothing of four classes costs log 4, two bits.

        >>> nats = CrossEntropyLoss()(torch.zeros(3, 4), torch.tensor([0, 1, 3]))
        >>> f"{nats / torch.tensor(2.0).log():.4f}"
        '2.0000'
    """

    reads = (Reads.CLASS_INDICES,)
    link = "softmax"
    minimum = 0.0
    weight: Tensor | None

    def __init__(
        self,
        weight: Weights = None,
        label_smoothing: float = 0.0,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        require_between("label_smoothing", label_smoothing, 0, 1)
        self.register_buffer("weight", weights("weight", weight))
        self.label_smoothing = label_smoothing
        self.ignore_index = ignore_index

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        require_class_indices(prediction, target)
        weight = class_weights("weight", self.weight, prediction)
        options = weight, self.label_smoothing, self.ignore_index
        if self.reduction != "mean":
            return functional.sparse_softmax_cross_entropy(
                prediction, target, *options, reduction=self.reduction
            )
        require_elements(prediction)
        total, count = sparse_softmax_cross_entropy_total(prediction, target, *options)
        return total / count.clamp(min=1) if weight is None else _per_count(total, count)

    def facts(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The number of targets ignored, ``ignored``."""
        return {"ignored": (target == self.ignore_index).sum()}


class CategoricalCrossEntropyLoss(Loss):
    r"""Softmax cross-entropy with one-hot or soft targets.

    .. math:: \ell = \operatorname{reduce}_i\, -\sum_c w_c t_{ic} \log \operatorname{softmax}(z_i)_c

    With one-hot targets it equals :class:`CrossEntropyLoss` of their indices, with class weights
    and label smoothing too.

    Args:
        weight: one number a class.
        label_smoothing: share of the target that is spread evenly over all classes.
        reduction: ``"mean"`` (over the targets, each counted with the weight of its classes),
            ``"sum"`` or ``"none"``.

    Shape:
        prediction: logits ``(N, C, *)``. target: probabilities ``(N, C, *)`` that sum to 1 over
        C. The loss is in nats, ``(N, *)`` for ``reduction="none"``.

    Raises:
        ValueError: if an option is out of range, the shapes differ, C is below 2, the number of
            weights is not C, or for the mean of an empty batch.

    Source:
        Good, "Rational Decisions", 1952.

    Example:
        >>> logits, indices = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), torch.tensor([0, 2])
        >>> one_hot = torch.nn.functional.one_hot(indices, 3)
        >>> weight = [1.0, 2.0, 5.0]
        >>> value = CategoricalCrossEntropyLoss(weight)(logits, one_hot)
        >>> torch.isclose(value, CrossEntropyLoss(weight)(logits, indices))
        tensor(True)
    """

    reads = (Reads.CLASS_PROBABILITIES,)
    link = "softmax"
    minimum = 0.0
    weight: Tensor | None

    def __init__(
        self, weight: Weights = None, label_smoothing: float = 0.0, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        require_between("label_smoothing", label_smoothing, 0, 1)
        self.register_buffer("weight", weights("weight", weight))
        self.label_smoothing = label_smoothing

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        require_classes(prediction)
        require_same_shape(prediction, target)
        weight = class_weights("weight", self.weight, prediction)
        elements = functional.softmax_cross_entropy(
            prediction, target, weight, self.label_smoothing
        )
        if self.reduction != "mean" or weight is None:
            return self.reduce(elements)
        require_elements(elements)
        return _per_count(elements.sum(), (target * along_classes(weight, target.dim())).sum())


class BCELoss(Loss):
    r"""Binary cross-entropy, for several classes one against all.

    .. math::

        \ell = \operatorname{reduce}_i\,
        w\, t_i \operatorname{softplus}(-z_i) + (1 - t_i) \operatorname{softplus}(z_i)

    Both terms are accurate by themselves, so that a confident and right logit keeps its small
    loss: at z = -15, t = 0 it is 3.06e-7.

    Args:
        pos_weight: of the positive class, a number, or one a class (dimension 1).
        reduction: ``"mean"`` (over all elements, classes included), ``"sum"`` or ``"none"``.

    Shape:
        prediction: logits ``(N, *)`` or ``(N, C, *)``. target: 0, 1 or between, of the same
        shape. The loss is in nats, of that shape too for ``reduction="none"``.

    Raises:
        ValueError: if pos_weight is out of range or not one a class, the shapes differ, or for
            the mean of an empty batch.

    Source:
        Good, "Rational Decisions", 1952.

    Example:
        >>> value = BCELoss()(torch.tensor([-15.0]), torch.tensor([0.0]))
        >>> f"{value:.3g}"
        '3.06e-07'
    """

    reads = (Reads.BINARY_MASKS, Reads.CLASS_PROBABILITIES)
    link = "sigmoid"
    minimum = 0.0
    pos_weight: Tensor | None

    def __init__(self, pos_weight: Weights = None, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("pos_weight", weights("pos_weight", pos_weight))

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        require_same_shape(prediction, target)
        pos_weight = self._weight_of(prediction)
        per_class = pos_weight is not None and pos_weight.dim() > 0
        if self.reduction == "none" or per_class or not is_compiled(prediction):
            return self.reduce(functional.binary_cross_entropy(prediction, target, pos_weight))
        total = functional.binary_focal_sums(prediction, target, 0.0, pos_weight).sum()
        return self.reduce_total(total, prediction)

    def _weight_of(self, prediction: Tensor) -> Tensor | None:
        """The weight of the positive class, shaped to multiply the logits."""
        if self.pos_weight is None or self.pos_weight.numel() == 1:
            weight = self.pos_weight
            return None if weight is None else computing(weight.squeeze(), prediction)
        require_classes(prediction)
        weight = class_weights("pos_weight", self.pos_weight, prediction)
        return None if weight is None else along_classes(weight, prediction.dim())


def _per_count(total: Tensor, count: Tensor) -> Tensor:
    """The total by the count; the total, which is 0, where nothing counts."""
    return total / count.where(count > 0, torch.ones_like(count))
