"""Ranking losses, which order the documents of a query."""

from abc import abstractmethod
from typing import NamedTuple

from torch import Tensor

from losslab.losses.base import (
    Loss,
    Reduction,
    TargetFormat,
    require_at_least,
    require_same_shape,
)
from losslab.losses.functional.ranking import (
    ordered_pairs,
    pairwise_hinge,
    pairwise_logistic,
)


class RelevanceTarget(NamedTuple):
    """Graded documents of queries with different numbers of them, for the losses below.

    Example:
        >>> import torch
        >>> grades, counted = torch.tensor([[1, -1, 7]]), torch.tensor([[True, True, False]])
        >>> scores = torch.tensor([[0.0, 2.0, 9.0]])
        >>> MarginRankingLoss(margin=1.0)(scores, RelevanceTarget(grades, counted)).item()
        3.0
    """

    grades: Tensor
    """``(Q, D)``, any numbers; those of the padding are ignored."""
    counted: Tensor
    """Boolean ``(Q, D)``, false for padding."""


Target = Tensor | RelevanceTarget


class PairwiseLoss(Loss):
    """Base class of losses of the pairs of documents of different grade.

    Pairs of equal grade are ignored. Memory is ``Q D^2``.

    Args:
        reduction: ``"mean"`` over the pairs of different grade of all queries (0 if there are
            none), ``"sum"`` over them, or ``"none"`` for the sum over each query, ``(Q,)``.
    """

    accepts = (TargetFormat.RELEVANCE,)
    minimum = 0.0

    @abstractmethod
    def pair_values(self, scores: Tensor, pairs: Tensor) -> Tensor:
        """Compute the loss of the pairs of a mask, else 0, each ``(Q, D, D)``."""

    def forward(self, prediction: Tensor, target: Target) -> Tensor:
        """Compute the loss of a batch."""
        pairs, values = self._pairs(prediction, target)
        self.require_reducible(prediction)
        if self.reduction == "mean":
            return values.sum() / pairs.sum().clamp(min=1)
        return values.sum() if self.reduction == "sum" else values.sum(dim=(1, 2))

    def terms(self, prediction: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        """Compute one term per query, which adds the number of its pairs."""
        pairs, values = self._pairs(prediction, target)
        return values.sum(dim=(1, 2)), pairs.sum(dim=(1, 2))

    def _pairs(self, prediction: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        grades, counted = target if isinstance(target, RelevanceTarget) else (target, None)
        for values in (grades, counted):
            if values is not None:
                require_same_shape(prediction, values)
        if prediction.dim() != 2:
            raise ValueError(
                "prediction must hold scores of shape (queries, documents), got "
                f"{tuple(prediction.shape)}"
            )
        pairs = ordered_pairs(grades, counted)
        return pairs, self.pair_values(prediction, pairs)


class MarginRankingLoss(PairwiseLoss):
    r"""Margin ranking loss: the better of two documents scores higher by a margin.

    .. math::
        \ell_{ij} = \max(0, m - (s_i - s_j)) \quad\text{for } \mathrm{rel}_i > \mathrm{rel}_j

    which is ``max(0, -y (s_1 - s_2) + m)`` with ``y = 1`` if the first document should rank
    higher. Pairs of equal grade are ignored. Memory is ``Q D^2``.

    Args:
        margin: m, in the unit of the scores. With 0, equal scores for all are a minimum.
        reduction: ``"mean"`` over the pairs of different grade of all queries (0 if there are
            none), ``"sum"`` over them, or ``"none"`` for the sum over each query, ``(Q,)``.

    Shape:
        prediction: scores ``(Q, D)``; target: grades ``(Q, D)``, or a :class:`RelevanceTarget` if
        some are padding.

    Raises:
        ValueError: if the shapes differ or are not ``(Q, D)``, or the margin is negative.

    Source:
        Herbrich, Graepel and Obermayer, "Large Margin Rank Boundaries for Ordinal Regression",
        2000; the formula is that of ``torch.nn.MarginRankingLoss``.

    Example:
        >>> import torch
        >>> scores, grades = torch.tensor([[2.0, 0.0]]), torch.tensor([[1, 0]])
        >>> MarginRankingLoss(margin=1.0)(scores, grades).item()
        0.0
        >>> MarginRankingLoss(margin=1.0)(-scores, grades).item()  # 1 - (-2 - 0)
        3.0
    """

    def __init__(self, margin: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        require_at_least("margin", margin, 0)
        self.margin = margin

    def pair_values(self, scores: Tensor, pairs: Tensor) -> Tensor:
        """Compute the hinge of the pairs of a mask, else 0, each ``(Q, D, D)``."""
        return pairwise_hinge(scores, pairs, self.margin)

    def diagnostics(self, prediction: Tensor, target: Target) -> dict[str, Tensor]:
        """Compute ``active_pairs``, the fraction of pairs with non-zero loss."""
        pairs, hinge = self._pairs(prediction.detach(), target)
        return {"active_pairs": (hinge > 0).sum() / pairs.sum().clamp(min=1)}


class BPRLoss(PairwiseLoss):
    r"""Bayesian personalized ranking (BPR): logistic regression of which of two items is better.

    .. math::
        \ell_{ij} = -\log \sigma(s_i - s_j) \quad\text{for } \mathrm{rel}_i > \mathrm{rel}_j

    Items that a user likes are pushed above those that were drawn for the user, without a margin to
    choose. For graded documents of a query this is the loss of RankNet. Pairs of equal grade are
    ignored. Memory is ``Q D^2``. The L2 penalty of the paper is ``regularizer=l2``.

    Args:
        reduction: ``"mean"`` over the pairs of different grade of all users or queries (0 if there
            are none), ``"sum"`` over them, or ``"none"`` for the sum over each user, ``(Q,)``.

    Shape:
        prediction: scores ``(Q, D)``, whose differences are logits; target: grades ``(Q, D)``, such
        as 1 for a liked item and 0 for another, or a :class:`RelevanceTarget` if some are padding.

    Raises:
        ValueError: if the shapes differ or are not ``(Q, D)``.

    Source:
        Rendle, Freudenthaler, Gantner and Schmidt-Thieme, "BPR: Bayesian Personalized Ranking from
        Implicit Feedback", 2009; Burges et al., "Learning to Rank using Gradient Descent", 2005,
        for grades.

    Example:
        >>> import torch
        >>> scores, liked = torch.tensor([[50.0, 0.0]]), torch.tensor([[1, 0]])
        >>> BPRLoss()(scores, liked).item() < 1e-20
        True
        >>> BPRLoss()(-scores, liked).item()  # linear in the wrong difference
        50.0
    """

    def pair_values(self, scores: Tensor, pairs: Tensor) -> Tensor:
        """Compute ``-log sigmoid`` of the pairs of a mask, else 0, each ``(Q, D, D)``."""
        return pairwise_logistic(scores, pairs)
