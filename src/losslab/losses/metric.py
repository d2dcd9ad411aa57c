"""Metric learning losses: embeddings of one class close together, of different classes apart."""

from abc import abstractmethod
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.losses.base import (
    Loss,
    Reduction,
    TargetFormat,
    require_at_least,
    require_between,
    require_choice,
)
from losslab.losses.functional import metric

MeanOver = Literal["all", "active"]


class Sums(NamedTuple):
    """Summed losses of a batch, with the numbers of its active and of all pairs or triplets."""

    loss: Tensor
    active: Tensor
    all: Tensor


class EmbeddingLoss(Loss):
    """Base class of the losses on labelled embeddings.

    A batch without any pair or triplet (one class, or one sample) gives 0 with zero gradient.
    """

    accepts = (TargetFormat.LABELLED_EMBEDDINGS,)
    counted: str
    """What the mean is over, ``"pairs"`` or ``"triplets"``; part of the diagnostic's name."""

    def __init__(self, mean_over: MeanOver, reduction: Reduction) -> None:
        super().__init__(reduction)
        require_choice("mean_over", mean_over, ("all", "active"))
        self.mean_over = mean_over

    @abstractmethod
    def sums(self, embeddings: Tensor, labels: Tensor) -> Sums:
        """Compute losses and counts of a batch of two or more samples."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of a batch."""
        require_labelled_embeddings(prediction, target)
        self.require_reducible(prediction)
        return self.reduce_counted(*self.terms(prediction, target))

    def terms(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the values for ``reduction="none"``, and the number that the mean divides by."""
        require_labelled_embeddings(prediction, target)
        if len(prediction) < 2:
            return prediction.sum(dim=1) * 0, prediction.new_zeros(())
        sums = self.sums(prediction, target)
        return sums.loss, (sums.all if self.mean_over == "all" else sums.active).sum()

    def total(
        self, prediction: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the sum over a batch, and the count of its pairs or triplets.

        Raises:
            ValueError: if there are sample weights, since a term belongs to several samples.
        """
        if weights is not None:
            raise ValueError(
                f"{type(self).__name__} has no sample weights: its terms are {self.counted} of "
                "samples"
            )
        return super().total(prediction, target)

    def diagnostics(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Compute the fraction with non-zero loss, as ``active_pairs`` or ``active_triplets``."""
        require_labelled_embeddings(prediction, target)
        if len(prediction) < 2:
            return {f"active_{self.counted}": prediction.new_zeros(())}
        sums = self.sums(prediction.detach(), target)
        return {f"active_{self.counted}": sums.active.sum() / sums.all.sum().clamp(min=1)}


class ContrastiveLoss(EmbeddingLoss):
    r"""Contrastive loss: pulls pairs of one class together, pushes others at least a margin apart.

    .. math::
        \ell_{ij} = \tfrac12 D_{ij}^2 \text{ for the same class,} \qquad
        \ell_{ij} = \tfrac12 \max(0, m - D_{ij})^2 \text{ for different classes}

    Args:
        margin: m, in the unit of the distance (embeddings of length 1 are at most 2 apart).
        normalize: whether to scale embeddings to length 1 first, which the paper does not do;
            otherwise the network chooses the scale relative to the margin.
        mean_over: ``"all"`` pairs of the batch, or the ``"active"`` ones, whose loss is not zero.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` for one value per pair, in the order (0, 1),
            (0, 2), ... of the ``N (N - 1) / 2`` unordered pairs.

    Shape:
        prediction: embeddings ``(N, D)``; target: class labels, integers ``(N,)``.

    Raises:
        ValueError: if an option is out of range or the shapes do not fit.

    Source:
        Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping",
        2006.

    Example:
        >>> embeddings = torch.tensor([[0.0, 0.0], [0.6, 0.8]])
        >>> loss = ContrastiveLoss(margin=3.0, normalize=False)
        >>> loss(embeddings, torch.tensor([1, 1])).item()  # 1 / 2
        0.5
        >>> loss(embeddings, torch.tensor([1, 2])).item()  # (3 - 1)^2 / 2
        2.0
    """

    minimum = 0.0
    counted = "pairs"

    def __init__(
        self,
        margin: float = 1.0,
        normalize: bool = True,
        mean_over: MeanOver = "all",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(mean_over, reduction)
        require_at_least("margin", margin, 0, strict=True)
        self.margin = margin
        self.normalize = normalize

    def sums(self, embeddings: Tensor, labels: Tensor) -> Sums:
        """Compute one loss per pair."""
        if self.normalize:
            embeddings = metric.normalized(embeddings)
        first, second = torch.triu_indices(
            len(labels), len(labels), offset=1, device=labels.device
        ).unbind()
        distance = metric.pairwise_distance(embeddings)[first, second]
        apart = torch.where(labels[first] == labels[second], distance, self.margin - distance)
        active = apart > 0  # before squaring, which may underflow
        return Sums(apart.relu().square() / 2, active.sum(), torch.ones_like(active).sum())


class TripletLoss(EmbeddingLoss):
    r"""Triplet loss: positives closer to an anchor than negatives, by a margin.

    .. math::
        \ell_{apn} = \max(0, d_{ap} - d_{an} + m) \quad\text{or, with a soft margin,}\quad
        \log(1 + e^{d_{ap} - d_{an}})

    Triplets are formed within the batch, with every sample as an anchor:

    - ``"all"``: each positive with each negative. The hinge takes ``N^2 log N`` time; the soft
      margin visits each triplet, in chunks, takes ``N^3`` time and has no second derivative.
    - ``"hard"``: the farthest positive with the nearest negative, one triplet per anchor.
    - ``"semi_hard"``: each positive with the nearest of the negatives that are farther away than
      it, or with the farthest negative if there are none; one triplet per pair.

    Args:
        margin: m, in the unit of the distance; not used by the soft margin.
        mining: ``"all"``, ``"hard"`` or ``"semi_hard"``.
        distance: ``"euclidean"`` or its square, ``"squared"``.
        soft_margin: whether to use the soft margin instead of the hinge.
        normalize: whether to scale embeddings to length 1 first, as in Schroff et al.
        mean_over: ``"all"`` mined triplets, or the ``"active"`` ones, whose loss is not zero.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` for the sum over each anchor, ``(N,)``.

    Shape:
        prediction: embeddings ``(N, D)``; target: class labels, integers ``(N,)``.

    Raises:
        ValueError: if an option is out of range or the shapes do not fit.

    Source:
        Weinberger and Saul, "Distance Metric Learning for Large Margin Nearest Neighbor
        Classification", 2009; Schroff, Kalenichenko and Philbin, "FaceNet", 2015 (semi-hard);
        Hermans, Beyer and Leibe, "In Defense of the Triplet Loss", 2017 (hard, soft margin).

    Example:
        >>> embeddings = torch.tensor([[0.0], [1.0], [3.0]])
        >>> labels = torch.tensor([0, 0, 1])
        >>> loss = TripletLoss(margin=1.5, normalize=False, reduction="none")
        >>> loss(embeddings, labels)  # 1 - 3 + 1.5 and 1 - 2 + 1.5
        tensor([0.0000, 0.5000, 0.0000])
    """

    minimum = 0.0
    counted = "triplets"

    def __init__(
        self,
        margin: float = 0.2,
        mining: Literal["all", "hard", "semi_hard"] = "all",
        *,
        distance: Literal["euclidean", "squared"] = "euclidean",
        soft_margin: bool = False,
        normalize: bool = True,
        mean_over: MeanOver = "all",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(mean_over, reduction)
        require_at_least("margin", margin, 0)
        require_choice("mining", mining, ("all", "hard", "semi_hard"))
        require_choice("distance", distance, ("euclidean", "squared"))
        self.margin = margin
        self.mining = mining
        self.distance = distance
        self.soft_margin = soft_margin
        self.normalize = normalize

    def sums(self, embeddings: Tensor, labels: Tensor) -> Sums:
        """Compute one loss per anchor."""
        if self.normalize:
            embeddings = metric.normalized(embeddings)
        positive, negative = metric.same_label(labels)
        if self.mining == "hard":
            far, near, both = metric.hardest(embeddings, positive, negative)
            loss = self._of_triplets(self._power(far) - self._power(near), both)
            return Sums(loss, (loss > 0).sum(), both.sum())
        distance = self._power(metric.pairwise_distance(embeddings))
        if self.mining == "all":
            return self._of_all(distance, positive, negative)
        nearest = metric.semi_hard_negative(distance, positive, negative)
        valid = positive & negative.any(dim=1, keepdim=True)
        loss = self._of_triplets(distance - nearest, valid)
        return Sums(loss.sum(dim=1), (loss > 0).sum(), valid.sum())

    def _power(self, distance: Tensor) -> Tensor:
        return distance.square() if self.distance == "squared" else distance

    def _of_all(self, distance: Tensor, positive: Tensor, negative: Tensor) -> Sums:
        triplets = positive.sum(dim=1) * negative.sum(dim=1)
        if self.soft_margin:
            loss = metric.triplet_softplus_sums(distance, positive, negative)
            return Sums(loss, triplets, triplets)
        loss, active = metric.triplet_hinge_sums(distance, positive, negative, self.margin)
        return Sums(loss, active, triplets)

    def _of_triplets(self, excess: Tensor, valid: Tensor) -> Tensor:
        """Compute the loss from ``d_ap - d_an`` for valid triplets, and 0 for others."""
        loss = F.softplus(excess) if self.soft_margin else (excess + self.margin).relu()
        return torch.where(valid, loss, 0)


class AngularLoss(EmbeddingLoss):
    r"""Angular loss for embeddings: bounds the angle at the negative; scale-invariant.

    .. math::
        \ell_{ap} = \log\Bigl(1 + \sum_n \exp\bigl(4 \tan^2\alpha\,(x_a + x_p)^\top x_n
        - 2 (1 + \tan^2\alpha)\, x_a^\top x_p\bigr)\Bigr)

    over the ordered pairs (a, p) of one class, with n running over all samples of other classes.
    All embeddings, negatives included, are scaled to length 1 first.

    Args:
        angle: alpha in degrees, above 0 and at most 65 (beyond that the exponentials overflow
            float32; the paper uses 36 to 55).
        mean_over: ``"all"`` pairs, or the ``"active"`` ones: those with a negative in the batch.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` for the sum over each anchor, ``(N,)``.

    Shape:
        prediction: embeddings ``(N, D)``; target: class labels, integers ``(N,)``.

    Raises:
        ValueError: if an option is out of range or the shapes do not fit.

    Source:
        Wang, Zhou, Wen, Liu and Lin, "Deep Metric Learning with Angular Loss", 2017.

    Example:
        >>> embeddings = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 5.0]])
        >>> loss = AngularLoss(angle=45.0)
        >>> value = loss(embeddings, torch.tensor([0, 0, 1, 1]))
        >>> torch.allclose(value, torch.log1p(2 * torch.tensor(-4.0).exp()))
        True
    """

    counted = "pairs"

    def __init__(
        self, angle: float = 45.0, mean_over: MeanOver = "all", reduction: Reduction = "mean"
    ) -> None:
        super().__init__(mean_over, reduction)
        require_at_least("angle", angle, 0, strict=True)
        require_between("angle", angle, 0, 65)
        self.angle = angle

    def sums(self, embeddings: Tensor, labels: Tensor) -> Sums:
        """Compute one loss per anchor."""
        loss, pairs = metric.angular_pairs(embeddings, labels, self.angle)
        return Sums(loss.sum(dim=1), (loss > 0).sum(), pairs.sum())


def require_labelled_embeddings(prediction: Tensor, target: Tensor) -> None:
    """Raise ``ValueError`` unless these are embeddings ``(N, D)`` with integer labels ``(N,)``."""
    if prediction.dim() != 2 or prediction.shape[1] == 0 or not prediction.is_floating_point():
        raise ValueError(
            "prediction must hold floating-point embeddings of shape (N, D), got "
            f"{prediction.dtype} of shape {tuple(prediction.shape)}"
        )
    if target.shape != prediction.shape[:1]:
        raise ValueError(
            f"target must hold one label per embedding, shape ({len(prediction)},), got "
            f"{tuple(target.shape)}"
        )
    if target.is_floating_point() or target.dtype == torch.bool:
        raise ValueError(f"target must hold integer class labels, got {target.dtype}")
