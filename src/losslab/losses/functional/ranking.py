"""Formulas of the ranking losses: scores and grades of the documents of a query, in rows."""

import torch
from torch import Tensor

from losslab.losses.base import full_precision


def ordered_pairs(relevance: Tensor) -> Tensor:
    """Mask ``(Q, D, D)``: [q, i, j] is true where i is graded higher than j; no padding."""
    there = relevance >= 0
    higher = relevance[:, :, None] > relevance[:, None, :]
    return higher & there[:, None, :]


def pairwise_hinge(scores: Tensor, pairs: Tensor, margin: float) -> Tensor:
    """``max(0, m - (s_i - s_j))`` for the pairs of the mask, else 0: ``(Q, D, D)``."""
    (scores,) = full_precision(scores)
    # a document without a pair may be padding, whose score may be anything
    used = pairs.any(dim=2) | pairs.any(dim=1)
    scores = torch.where(used, scores, 0)
    hinge = (margin - (scores[:, :, None] - scores[:, None, :])).relu()
    return torch.where(pairs, hinge, 0)
