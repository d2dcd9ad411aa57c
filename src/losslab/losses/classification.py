"""Classification losses: cross-entropies, focal and hinge."""

from abc import abstractmethod
from typing import ClassVar, Literal

from torch import Tensor

from losslab.losses import functional
from losslab.losses.base import (
    Loss,
    Reduction,
    TargetFormat,
    divide,
    require_at_least,
    require_between,
    require_choice,
    require_same_shape,
)
from losslab.losses.class_targets import (
    Weights,
    class_weights,
    computing,
    is_binary_target,
    known_targets,
    require_class_indices,
    require_classes,
    weights,
)
from losslab.losses.functional.classification import (
    along_classes,
    index_weights,
    sparse_softmax_cross_entropy_mean,
    sparse_softmax_cross_entropy_total,
)
from losslab.losses.functional.fused import (
    FOCAL,
    HINGE,
    ClassFocalKernel,
    ElementKernel,
    Kernel,
    fused,
)
from losslab.losses.linear_head import LinearHead
from losslab.losses.links import FocalLink, InverseLink, SmoothedLink
from losslab.losses.metric import require_labelled_embeddings

# with more, torch vectorizes its sums over the classes and is faster than the kernel
MOST_CLASSES = 16
# with fewer logits, torch's operators are faster than a call of the kernel from Python, and a run
# has the bits of one with torch's loss
CROSS_ENTROPY_KERNEL_FROM = 2**11


class CrossEntropyLoss(Loss):
    r"""Softmax cross-entropy with class indices (sparse categorical cross-entropy).

    .. math:: \ell = \operatorname{reduce}_i\, -w_{t_i} \log \operatorname{softmax}(z_i)_{t_i}

    With ``embedding_size``, a linear map from embeddings to logits is a parameter of the loss.

    Args:
        weight: one number per class.
        label_smoothing: fraction of the target that is spread evenly over all classes.
        ignore_index: target value that is ignored.
        reduction: ``"mean"`` (over the targets that are not ignored, weighted by their class),
            ``"sum"`` or ``"none"``.
        num_classes: number of classes C, for embeddings.
        embedding_size: dimensions D of an embedding.

    Shape:
        prediction: logits ``(N, C, *)``, or embeddings ``(N, D)``. target: int64 indices
        ``(N, *)``. The loss is in nats, ``(N, *)`` for ``reduction="none"``, 0 for ignored
        targets. If all targets are ignored, the mean is 0 with zero gradient; ``diagnostics``
        counts the ignored targets.

    Raises:
        ValueError: if an option is out of range, the target has another shape or dtype, the number
            of weights is not C, or the mean is over an empty batch.

    Source:
        Good, "Rational Decisions", 1952; label smoothing: Szegedy et al., "Rethinking the
        Inception Architecture for Computer Vision", 2016; as the baseline of metric learning:
        Musgrave, Belongie and Lim, "A Metric Learning Reality Check", 2020.

    Example:
        A uniform prediction over four classes costs log 4, two bits.

        >>> import torch
        >>> nats = CrossEntropyLoss()(torch.zeros(3, 4), torch.tensor([0, 1, 3]))
        >>> f"{nats / torch.tensor(2.0).log():.4f}"
        '2.0000'
    """

    accepts: ClassVar[tuple[TargetFormat, ...]] = (
        TargetFormat.CLASS_INDICES,
        TargetFormat.LABELLED_EMBEDDINGS,
    )
    per_class = ("weight",)
    inverse_link = "softmax"
    minimum = 0.0
    weight: Tensor | None

    def __init__(
        self,
        weight: Weights = None,
        label_smoothing: float = 0.0,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        *,
        num_classes: int | None = None,
        embedding_size: int | None = None,
    ) -> None:
        super().__init__(reduction)
        require_between("label_smoothing", label_smoothing, 0, 1)
        if (num_classes is None) != (embedding_size is None):
            raise ValueError("num_classes and embedding_size must be given together")
        self.head: LinearHead | None = None
        if num_classes is not None and embedding_size is not None:
            self.head = LinearHead(embedding_size, num_classes)
        self.register_buffer("weight", weights("weight", weight))
        self.label_smoothing = label_smoothing
        self.ignore_index = ignore_index

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        if self.head is not None:
            prediction = self._logits(prediction, target)
        weight = self._buffers["weight"]  # nn.Module looks for attributes first, at 3 % of the time
        plain = weight is None and not self.label_smoothing and self.reduction == "mean"
        small = prediction.numel() < CROSS_ENTROPY_KERNEL_FROM
        if small and plain:  # before the checks, which take 2 % of the time
            value = sparse_softmax_cross_entropy_mean(prediction, target, self.ignore_index)
            if value is not None:
                return value
        require_class_indices(prediction, target)
        weight = None if weight is None else class_weights("weight", weight, prediction)
        if self.reduction == "none":
            return functional.sparse_softmax_cross_entropy(
                prediction, target, weight, self.label_smoothing, self.ignore_index
            )
        if small:
            return self._sum_or_mean(prediction, target, weight)

        def definition(prediction: Tensor, target: Tensor) -> tuple[Tensor]:
            value = None
            if plain:
                value = sparse_softmax_cross_entropy_mean(prediction, target, self.ignore_index)
            return (self._sum_or_mean(prediction, target, weight) if value is None else value,)

        if self.label_smoothing > 0 or prediction.shape[1] > MOST_CLASSES:
            return definition(prediction, target)[0]
        mean = self.reduction == "mean"
        kernel = ClassFocalKernel(0, weight, mean, self.ignore_index, weighted=True)
        return fused(kernel, definition, prediction, target)[0]

    def _sum_or_mean(self, prediction: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        self.require_reducible(prediction)
        options = weight, self.label_smoothing, self.ignore_index
        if self.reduction == "sum":
            return functional.sparse_softmax_cross_entropy(
                prediction, target, *options, reduction="sum"
            )
        total, count = sparse_softmax_cross_entropy_total(prediction, target, *options)
        return total / count.clamp(min=1) if weight is None else divide(total, count)

    def link_for(self, target_format: TargetFormat) -> InverseLink | None:
        """Return the softmax, or its correction for label smoothing."""
        return _smoothed(self.label_smoothing)

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the terms; each adds the weight of its class, and ignored ones add 0."""
        prediction = self._logits(prediction, target)
        weight = class_weights("weight", self.weight, prediction)
        terms = functional.sparse_softmax_cross_entropy(
            prediction, target, weight, self.label_smoothing, self.ignore_index
        )
        return terms, index_weights(target, weight, self.ignore_index)

    def _logits(self, prediction: Tensor, target: Tensor) -> Tensor:
        if self.head is not None:
            require_labelled_embeddings(prediction, target)
            prediction = self.head(prediction)
        require_class_indices(prediction, target)
        return prediction

    def diagnostics(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Count the ignored targets, ``ignored``."""
        return {"ignored": (target == self.ignore_index).sum()}


class LogitAdjustedLoss(CrossEntropyLoss):
    r"""Cross-entropy of logits plus the logarithm of the class frequencies, for rare classes.

    .. math:: \ell = \operatorname{reduce}_i\,
        -\log \operatorname{softmax}(z_i + \tau \log \pi)_{t_i},
        \qquad \pi_c = n_c / \textstyle\sum_k n_k

    The frequencies are added in training only. What the logits learn is the rest: for
    :math:`\tau = 1`, their softmax estimates the probabilities that the classes would have if they
    were equally frequent, and the largest logit minimises the mean error over the classes.

    Args:
        class_counts: n, the number of training samples per class, or numbers proportional to
            it; ``None`` for equal ones, which give :class:`CrossEntropyLoss`. A run takes
            those of its training split.
        tau: strength of the adjustment; 0 is :class:`CrossEntropyLoss`.
        ignore_index: target value that is ignored.
        reduction: ``"mean"`` (over the targets that are not ignored), ``"sum"`` or ``"none"``.

    Shape:
        prediction: logits ``(N, C, *)``. target: int64 indices ``(N, *)``. The loss is in nats,
        ``(N, *)`` for ``reduction="none"``, 0 for ignored targets.

    Raises:
        ValueError: if an option is out of range, a class has no samples, the number of counts is
            not C, the target has another shape or dtype, or the mean is over an empty batch.

    Source:
        Menon et al., "Long-tail learning via logit adjustment", 2021, equation 10.

    Example:
        Equal logits already give the rare class its share of the training samples.

        >>> import torch
        >>> loss = LogitAdjustedLoss(class_counts=[90, 10], reduction="none")
        >>> loss(torch.zeros(2, 2), torch.tensor([0, 1])).neg().exp()
        tensor([0.9000, 0.1000])
    """

    accepts = (TargetFormat.CLASS_INDICES,)
    per_class = ("class_counts",)
    inverse_link = "softmax"
    minimum = 0.0
    class_counts: Tensor | None

    def __init__(
        self,
        class_counts: Weights = None,
        tau: float = 1.0,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(ignore_index=ignore_index, reduction=reduction)
        require_at_least("tau", tau, 0)
        self.tau = tau
        self.register_buffer("class_counts", weights("class_counts", class_counts))
        if self.class_counts is not None and not (self.class_counts > 0).all():
            raise ValueError(
                f"class_counts must be > 0 for each class, got {self.class_counts.tolist()}"
            )

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        return super().forward(self._adjusted(prediction, target), target)

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the terms; each adds 1, and ignored ones add 0."""
        return super().terms(self._adjusted(prediction, target), target)

    def _adjusted(self, prediction: Tensor, target: Tensor) -> Tensor:
        require_class_indices(prediction, target)
        counts = class_weights("class_counts", self.class_counts, prediction)
        if counts is None:
            return prediction
        adjustment = self.tau * (counts / counts.sum()).log()
        return prediction + along_classes(adjustment, prediction.dim())


class CategoricalCrossEntropyLoss(Loss):
    r"""Softmax cross-entropy with one-hot or soft targets.

    .. math:: \ell = \operatorname{reduce}_i\, -\sum_c w_c t_{ic} \log \operatorname{softmax}(z_i)_c

    For one-hot targets it equals :class:`CrossEntropyLoss` of their indices, including class
    weights and label smoothing.

    Args:
        weight: one number per class.
        label_smoothing: fraction of the target that is spread evenly over all classes.
        ignore_index: a target that has this number for some class is ignored; ``None`` for none.
        reduction: ``"mean"`` (over the targets that are not ignored, weighted by their classes),
            ``"sum"`` or ``"none"``.

    Shape:
        prediction: logits ``(N, C, *)``. target: probabilities ``(N, C, *)`` that sum to 1 over
        C. The loss is in nats, ``(N, *)`` for ``reduction="none"``.

    Raises:
        ValueError: if an option is out of range, the shapes differ, C is below 2, the number of
            weights is not C, or the mean is over an empty batch.

    Source:
        Good, "Rational Decisions", 1952.

    Example:
        >>> import torch
        >>> logits, indices = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), torch.tensor([0, 2])
        >>> one_hot = torch.nn.functional.one_hot(indices, 3)
        >>> weight = [1.0, 2.0, 5.0]
        >>> value = CategoricalCrossEntropyLoss(weight)(logits, one_hot)
        >>> torch.isclose(value, CrossEntropyLoss(weight)(logits, indices))
        tensor(True)
    """

    accepts = (TargetFormat.CLASS_PROBABILITIES,)
    per_class = ("weight",)
    inverse_link = "softmax"
    minimum = 0.0
    weight: Tensor | None

    def __init__(
        self,
        weight: Weights = None,
        label_smoothing: float = 0.0,
        ignore_index: int | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        require_between("label_smoothing", label_smoothing, 0, 1)
        self.register_buffer("weight", weights("weight", weight))
        self.label_smoothing = label_smoothing
        self.ignore_index = ignore_index

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        return self.reduce_counted(*self.terms(prediction, target))

    def link_for(self, target_format: TargetFormat) -> InverseLink | None:
        """Return the softmax, or its correction for label smoothing."""
        return _smoothed(self.label_smoothing)

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute the terms; each adds the weights of its classes, and ignored ones add 0."""
        require_classes(prediction)
        require_same_shape(prediction, target)
        weight = class_weights("weight", self.weight, prediction)
        target, known = known_targets(target, self.ignore_index)
        counts = None
        if weight is not None:
            counts = target * along_classes(weight, target.dim())
        terms = functional.softmax_cross_entropy(prediction, target, weight, self.label_smoothing)
        if known is None:
            return terms, counts
        counted = known.all(dim=1)
        if counts is not None:
            counts = counts * counted.unsqueeze(1)
        return terms.where(counted, 0), counted if counts is None else counts

    def diagnostics(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Count the ignored targets, ``ignored``, if there is an ``ignore_index``."""
        if self.ignore_index is None:
            return {}
        return {"ignored": (target == self.ignore_index).any(dim=1).sum()}


def _smoothed(smoothing: float) -> InverseLink | None:
    """Return the inverse link of cross-entropy; none if nothing but the even spread is left."""
    if smoothing == 0:
        return "softmax"
    return SmoothedLink(smoothing) if smoothing < 1 else None


class IgnoringLoss(Loss):
    """Base class of the losses with one value per target, which may ignore some targets."""

    ignore_index: int | None

    @abstractmethod
    def elements(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of each target, none of which is ignored."""

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute the terms; ignored ones add 0."""
        target, counted = known_targets(target, self.ignore_index)
        terms = self.elements(prediction, target)
        return (terms if counted is None else terms.where(counted, 0)), counted

    def reduce_by(self, kernel: Kernel, prediction: Tensor, target: Tensor) -> Tensor:
        """Reduce the elements, by the kernel where it applies."""
        if not prediction.numel():  # a call takes 1 % of the time of a small batch
            self.require_reducible(prediction)
        return fused(kernel, self._definition, prediction, target)[0]

    def _definition(self, prediction: Tensor, target: Tensor) -> tuple[Tensor]:
        return (self.reduce(self.elements(prediction, target)),)

    def diagnostics(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Count the ignored targets, ``ignored``, if there is an ``ignore_index``."""
        return {} if self.ignore_index is None else {"ignored": (target == self.ignore_index).sum()}


class BCELoss(IgnoringLoss):
    r"""Binary cross-entropy; one-vs-rest for several classes.

    .. math::

        \ell = \operatorname{reduce}_i\,
        w\, t_i \operatorname{softplus}(-z_i) + (1 - t_i) \operatorname{softplus}(z_i)

    Both terms are accurate by themselves, so a confident and correct logit keeps its small loss: at
    z = -15, t = 0 it is 3.06e-7.

    Args:
        pos_weight: w, the weight of the positive class: one number, or one per class (dimension 1).
        ignore_index: value of elements to ignore; ``None`` for none.
        reduction: ``"mean"`` (over all elements that are not ignored, classes included), ``"sum"``
            or ``"none"``.

    Shape:
        prediction: logits ``(N, *)`` or ``(N, C, *)``. target: from 0 to 1, of the same shape. The
        loss is in nats, of the same shape for ``reduction="none"``.

    Raises:
        ValueError: if pos_weight is out of range or not one per class, the shapes differ, or the
            mean is over an empty batch.

    Source:
        Good, "Rational Decisions", 1952.

    Example:
        >>> import torch
        >>> value = BCELoss()(torch.tensor([-15.0]), torch.tensor([0.0]))
        >>> f"{value:.3g}"
        '3.06e-07'
    """

    accepts = (TargetFormat.BINARY_TARGETS, TargetFormat.CLASS_PROBABILITIES)
    per_class = ("pos_weight",)
    inverse_link = "sigmoid"
    minimum = 0.0
    pos_weight: Tensor | None

    def __init__(
        self,
        pos_weight: Weights = None,
        ignore_index: int | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("pos_weight", weights("pos_weight", pos_weight))
        self.ignore_index = ignore_index

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        if self.ignore_index is not None:
            return self.reduce_counted(*self.terms(prediction, target))
        weight = self._buffers["pos_weight"]
        if self.reduction == "none" or (weight is not None and weight.numel() > 1):
            return self.reduce(self.elements(prediction, target))
        require_same_shape(prediction, target)
        positive = 1.0 if weight is None else weight
        kernel = ElementKernel(FOCAL, self.divisor(prediction), 0.0, positive)
        return self.reduce_by(kernel, prediction, target)

    def elements(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of each element."""
        require_same_shape(prediction, target)
        return functional.binary_cross_entropy(prediction, target, self._weight_of(prediction))

    def _weight_of(self, prediction: Tensor) -> Tensor | None:
        """Shape the weight of the positive class to multiply the logits."""
        if self.pos_weight is None or self.pos_weight.numel() == 1:
            weight = self.pos_weight
            return None if weight is None else computing(weight.squeeze(), prediction)
        require_classes(prediction)
        weight = class_weights("pos_weight", self.pos_weight, prediction)
        return None if weight is None else along_classes(weight, prediction.dim())


class HingeLoss(IgnoringLoss):
    r"""Hinge loss: zero for predictions beyond a margin.

    For binary targets, with y = +1 for positive targets and -1 otherwise:

    .. math:: \ell = \operatorname{reduce}_i\, \max(0, m - y_i s_i)

    For several classes, over the classes j other than t:

    .. math::

        \ell_i = \max(0, m + \max_j s_{ij} - s_{it_i}) \quad\text{(Crammer, Singer)}
        \qquad
        \ell_i = \sum_j \max(0, m + s_{ij} - s_{it_i}) \quad\text{(Weston, Watkins)}

    The scores do not define probabilities, unless the maxima are squared.

    Args:
        margin: m, in the unit of the scores; a sample beyond it has zero loss.
        multiclass: ``"crammer_singer"`` or ``"weston_watkins"``.
        squared: whether to square each maximum.
        ignore_index: value of targets to ignore; ``None`` for none.
        reduction: ``"mean"`` (over the targets that are not ignored), ``"sum"`` or ``"none"``.

    Shape:
        prediction: scores ``(N, *)`` with targets 0/1 or -1/+1 of the same shape; or scores
        ``(N, C, *)`` with int64 class indices ``(N, *)``. ``(N, *)`` for ``reduction="none"``.

    Raises:
        ValueError: if an option is out of range, the target has another shape or dtype, or the
            mean is over an empty batch.

    Source:
        Cortes, Vapnik, "Support-Vector Networks", 1995; Crammer, Singer, "On the Algorithmic
        Implementation of Multiclass Kernel-based Vector Machines", 2001; Weston, Watkins,
        "Support Vector Machines for Multi-Class Pattern Recognition", 1999.

    Example:
        A score beyond the margin has zero loss; targets may be 0/1 or -1/+1.

        >>> import torch
        >>> scores = torch.tensor([1.0, -1.0, 0.5])
        >>> HingeLoss(reduction="none")(scores, torch.tensor([1, 0, 1]))
        tensor([0.0000, 0.0000, 0.5000])
        >>> HingeLoss(reduction="none")(scores, torch.tensor([1, -1, 1]))
        tensor([0.0000, 0.0000, 0.5000])
    """

    accepts = (TargetFormat.BINARY_TARGETS, TargetFormat.CLASS_INDICES)
    inverse_link = None
    minimum = 0.0

    def __init__(
        self,
        margin: float = 1.0,
        multiclass: Literal["crammer_singer", "weston_watkins"] = "crammer_singer",
        squared: bool = False,
        ignore_index: int | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        require_at_least("margin", margin, 0, strict=True)
        require_choice("multiclass", multiclass, ("crammer_singer", "weston_watkins"))
        self.margin = margin
        self.multiclass = multiclass
        self.squared = squared
        self.ignore_index = ignore_index

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        if self.ignore_index is not None:
            return self.reduce_counted(*self.terms(prediction, target))
        if not is_binary_target(prediction, target) or self.reduction == "none":
            return self.reduce(self.elements(prediction, target))
        kernel = ElementKernel(HINGE, self.divisor(prediction), self.margin, self.squared)
        return self.reduce_by(kernel, prediction, target)

    def elements(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of each target."""
        if is_binary_target(prediction, target):
            return self._power(functional.binary_hinge(prediction, target, self.margin))
        if self.multiclass == "crammer_singer":
            return self._power(functional.crammer_singer_hinge(prediction, target, self.margin))
        hinges = functional.weston_watkins_hinge(prediction, target, self.margin)
        return self._power(hinges).sum(dim=1)

    def _power(self, hinge: Tensor) -> Tensor:
        return hinge.square() if self.squared else hinge


class FocalLoss(IgnoringLoss):
    r"""Focal loss: cross-entropy that down-weights well-classified samples.

    .. math:: \ell = \operatorname{reduce}_i\, -\alpha_{t_i} (1 - p_{t_i})^\gamma \log p_{t_i}

    with p the sigmoid of binary logits, or the softmax over several classes. A soft binary target
    gives the mixture of the losses of both classes.

    Args:
        gamma: strength of the down-weighting of confident and correct samples; 0 is cross-entropy.
        alpha: weights of the classes, one number per class. For binary targets, one number is the
            weight of the positive class, and 1 - alpha that of the negative class.
        ignore_index: value of targets to ignore; ``None`` for none.
        reduction: ``"mean"`` (over the targets that are not ignored, not divided by their
            weights), ``"sum"`` or ``"none"``.

    Shape:
        prediction: logits ``(N, *)`` with targets from 0 to 1 of the same shape; or logits
        ``(N, C, *)`` with int64 class indices ``(N, *)``. ``(N, *)`` for ``reduction="none"``.

    Raises:
        ValueError: if an option is out of range, the number of weights is not the number of
            classes, the target has another shape or dtype, or the mean is over an empty batch.

    Source:
        Lin et al., "Focal Loss for Dense Object Detection", 2017.

    Example:
        For gamma = 0 it is cross-entropy.

        >>> import torch
        >>> logits, indices = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), torch.tensor([0, 2])
        >>> value = torch.nn.functional.cross_entropy(logits, indices)
        >>> torch.isclose(FocalLoss(gamma=0.0)(logits, indices), value)
        tensor(True)
    """

    accepts = (TargetFormat.BINARY_TARGETS, TargetFormat.CLASS_INDICES)
    per_class_only = ("alpha",)
    inverse_link = "softmax"
    minimum = 0.0
    alpha: Tensor | None

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: Weights = None,
        ignore_index: int | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        require_at_least("gamma", gamma, 0)
        self.gamma = gamma
        self.ignore_index = ignore_index
        self.register_buffer("alpha", weights("alpha", alpha))
        if self.alpha is not None and self.alpha.dim() == 0:
            require_between("alpha", float(self.alpha), 0, 1)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        if self.ignore_index is not None:
            return self.reduce_counted(*self.terms(prediction, target))
        if self.reduction == "none":
            return self.elements(prediction, target)
        if is_binary_target(prediction, target):
            both = [1.0 if each is None else each for each in self._binary_weights(prediction)]
            kernel: Kernel = ElementKernel(FOCAL, self.divisor(prediction), self.gamma, *both)
        else:
            weight = self._class_weights(prediction)
            kernel = ClassFocalKernel(self.gamma, weight, self.reduction == "mean")
        return self.reduce_by(kernel, prediction, target)

    def link_for(self, target_format: TargetFormat) -> InverseLink | None:
        """Return the map from logits to the probabilities at which the loss is least."""
        binary = target_format is TargetFormat.BINARY_TARGETS
        if self.gamma == 0:
            return "sigmoid" if binary else "softmax"
        return FocalLink(self.gamma, binary)

    def elements(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of each target."""
        if is_binary_target(prediction, target):
            options = self.gamma, *self._binary_weights(prediction)
            return functional.binary_focal(prediction, target, *options)
        weight = self._class_weights(prediction)
        return functional.softmax_focal(prediction, target, self.gamma, weight)

    def _binary_weights(self, prediction: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the weights of the positive and of the negative class."""
        if self.alpha is None:
            return None, None
        alpha = computing(self.alpha, prediction)
        if alpha.dim() == 0:
            return alpha, 1 - alpha
        if len(alpha) != 2:
            raise ValueError(
                "alpha must hold one number for binary targets, or two for the negative and the "
                f"positive class, got {len(alpha)}"
            )
        return alpha[1], alpha[0]

    def _class_weights(self, prediction: Tensor) -> Tensor | None:
        if self.alpha is not None and self.alpha.dim() == 0:
            raise ValueError(
                f"alpha must hold one number per class, {prediction.shape[1]} in total, for class "
                "indices; one number alone is the weight of the positive class of binary targets"
            )
        return class_weights("alpha", self.alpha, prediction)
