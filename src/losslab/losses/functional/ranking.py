"""Formulas of the ranking losses; rows are queries, columns their documents."""

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.losses.base import full_precision


def ordered_pairs(grades: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return the mask ``(Q, D, D)`` that is true at [q, i, j] if document i is graded above j.

    Args:
        grades: ``(Q, D)``.
        counted: which documents count, boolean ``(Q, D)``; all by default.
    """
    higher = grades[:, :, None] > grades[:, None, :]
    return higher if counted is None else higher & counted[:, :, None] & counted[:, None, :]


def pairwise_hinge(scores: Tensor, pairs: Tensor, margin: float) -> Tensor:
    """Compute ``max(0, m - (s_i - s_j))`` for the pairs of the mask, else 0: ``(Q, D, D)``."""
    return torch.where(pairs, (margin - _differences(scores, pairs)).relu(), 0)


def pairwise_logistic(scores: Tensor, pairs: Tensor) -> Tensor:
    """Compute ``-log sigmoid(s_i - s_j)`` for the pairs of the mask, else 0: ``(Q, D, D)``."""
    # exact in float64 too, where softplus cuts off at 20
    return torch.where(pairs, -F.logsigmoid(_differences(scores, pairs)), 0)


def _differences(scores: Tensor, pairs: Tensor) -> Tensor:
    """Compute ``s_i - s_j``, ``(Q, D, D)``, finite for documents that are in no pair."""
    (scores,) = full_precision(scores)
    # a document without a pair may be padding with a score that is not finite
    used = pairs.any(dim=2) | pairs.any(dim=1)
    scores = torch.where(used, scores, 0)
    return scores[:, :, None] - scores[:, None, :]
