"""Formulas of the classification losses, from logits, classes in dimension 1."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.losses.base import full_precision
from losslab.losses.functional.fused import Formula, row_sums


def sparse_softmax_cross_entropy(
    logits: Tensor,
    indices: Tensor,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
    *,
    reduction: Literal["none", "sum"] = "none",
) -> Tensor:
    """``-w_t log softmax(z)_t`` for class indices t, 0 for an ignored one.

    ``(N, C, *)`` with ``(N, *)`` gives ``(N, *)``, or its sum, which is faster than summing later.
    """
    (logits,) = full_precision(logits)
    return F.cross_entropy(
        logits,
        indices,
        weight=weight,
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def sparse_softmax_cross_entropy_total(
    logits: Tensor,
    indices: Tensor,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
) -> tuple[Tensor, Tensor]:
    """The sum of :func:`sparse_softmax_cross_entropy`, and of the weights it counts."""
    (logits,) = full_precision(logits)
    # its kernel adds up the weights as well, which takes as long as the loss of a small batch
    if logits.dim() == 2 and label_smoothing == 0 and not logits.is_mps:
        total, count = torch.ops.aten.nll_loss_forward.default(
            logits.log_softmax(dim=1), indices, weight, _SUM, ignore_index
        )
        return total, count
    total = sparse_softmax_cross_entropy(
        logits, indices, weight, label_smoothing, ignore_index, reduction="sum"
    )
    counted = indices != ignore_index
    if weight is None:
        return total, counted.sum(dtype=total.dtype)
    return total, (weight[indices.where(counted, 0)] * counted).sum()


_SUM = 2  # torch's number of reduction="sum"


def softmax_cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """``-sum_c w_c t_c log softmax(z)_c``: ``(N, C, *)`` twice gives ``(N, *)``."""
    (logits,) = full_precision(logits)
    target = target.to(logits.dtype)
    if label_smoothing > 0:
        target = target.lerp(torch.full_like(target, 1 / logits.shape[1]), label_smoothing)
    log_p = logits.log_softmax(dim=1)
    # a class ruled out by a logit of -inf costs nothing where the target rules it out too
    log_p = log_p.masked_fill((target == 0) & (log_p == -math.inf), 0)
    terms = target * log_p
    if weight is not None:
        terms = terms * along_classes(weight, logits.dim())
    return -terms.sum(dim=1)


def binary_cross_entropy(
    logits: Tensor, target: Tensor, pos_weight: Tensor | None = None
) -> Tensor:
    """Element-wise ``w t softplus(-z) + (1 - t) softplus(z)``.

    Each term is computed by itself: ``z - z t + softplus(-z)`` cancels for confident logits.
    """
    return binary_focal(logits, target, gamma=0.0, positive=pos_weight)


def binary_focal(
    logits: Tensor,
    target: Tensor,
    gamma: float,
    positive: Tensor | None = None,
    negative: Tensor | None = None,
) -> Tensor:
    """Element-wise ``a t f(z) + b (1 - t) f(-z)`` with ``f(s) = sigmoid(-s)**gamma softplus(-s)``.

    Args:
        logits: any shape.
        target: 0, 1 or between, of the same shape.
        gamma: of the focus; 0 is binary cross-entropy.
        positive: weight a of the positive class, broadcast to the logits.
        negative: weight b of the negative class.
    """
    (logits,) = full_precision(logits)
    target = target.to(logits.dtype)
    for_positive = target * _focal(logits, gamma)
    for_negative = (1 - target) * _focal(-logits, gamma)
    if positive is not None:
        for_positive = positive * for_positive
    if negative is not None:
        for_negative = negative * for_negative
    return for_positive + for_negative


def binary_focal_sums(
    logits: Tensor,
    target: Tensor,
    gamma: float,
    positive: Tensor | None = None,
    negative: Tensor | None = None,
) -> Tensor:
    """:func:`binary_focal` summed over each row of ``(R, P)``, fused where there is much: ``(R,)``.

    The weights are numbers without dimension, or ``(R, P)``; a negative one needs a positive one.
    """
    weights = [weight for weight in (positive, negative) if weight is not None]
    return row_sums(FOCAL, logits, target, *weights, options=(gamma,)).squeeze(1)


def binary_hinge_sums(scores: Tensor, target: Tensor, margin: float, squared: bool) -> Tensor:
    """:func:`binary_hinge`, or its square, summed over each row of ``(R, P)``: ``(R,)``."""
    return row_sums(HINGE, scores, target, options=(margin, squared)).squeeze(1)


def softmax_focal(
    logits: Tensor, indices: Tensor, gamma: float, weight: Tensor | None = None
) -> Tensor:
    """``-w_t (1 - p_t)**gamma log p_t`` for class indices t, with p the softmax.

    ``(N, C, *)`` with ``(N, *)`` gives ``(N, *)``.
    """
    (logits,) = full_precision(logits)
    own, others = _split_scores(logits, indices)
    # softmax(z)_t is the sigmoid of the lead over all other classes together; the smallest number
    # stands for -inf, since logsumexp has no gradient where all others are ruled out
    rivals = others.clamp(min=torch.finfo(others.dtype).min).logsumexp(dim=1)
    elements = _focal(own - rivals, gamma)
    return elements if weight is None else weight[indices] * elements


def binary_hinge(scores: Tensor, target: Tensor, margin: float = 1.0) -> Tensor:
    """Element-wise ``max(0, margin - y s)`` with y = +1 where the target is positive, else -1."""
    (scores,) = full_precision(scores)
    return F.relu(margin - torch.where(target > 0, scores, -scores))


def crammer_singer_hinge(scores: Tensor, indices: Tensor, margin: float = 1.0) -> Tensor:
    """``max(0, margin + max_{j != t} s_j - s_t)`` for class indices t.

    ``(N, C, *)`` with ``(N, *)`` gives ``(N, *)``.
    """
    (scores,) = full_precision(scores)
    own, others = _split_scores(scores, indices)
    return F.relu(margin + (others.amax(dim=1) - own))


def weston_watkins_hinge(scores: Tensor, indices: Tensor, margin: float = 1.0) -> Tensor:
    """``max(0, margin + s_j - s_t)`` for each class j, 0 for j = t, to be summed over j.

    ``(N, C, *)`` with ``(N, *)`` gives ``(N, C, *)``.
    """
    (scores,) = full_precision(scores)
    own, others = _split_scores(scores, indices)
    return F.relu(margin + (others - own.unsqueeze(1)))


def along_classes(weight: Tensor, dims: int) -> Tensor:
    """A weight a class, ``(C,)``, shaped to multiply ``(N, C, *)``; a single number as it is."""
    return weight if weight.dim() == 0 else weight.view(-1, *[1] * (dims - 2))


def _focal(signed_logit: Tensor, gamma: float) -> Tensor:
    """``sigmoid(-s)**gamma softplus(-s)``, in log space.

    A power of ``1 - p`` has no gradient where p rounds to 1, and for gamma < 1 an infinite one.
    """
    surprise = -F.logsigmoid(signed_logit)  # exact in float64 too, where F.softplus cuts at 20
    return surprise if gamma == 0 else torch.exp(gamma * F.logsigmoid(-signed_logit)) * surprise


def _split_scores(scores: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """The score of the right class, ``(N, *)``, and all scores with that one at -inf."""
    indices = indices.unsqueeze(1)
    own = scores.gather(1, indices).squeeze(1)
    return own, scores.scatter(1, indices, -math.inf)


def sigmoid_and_complement(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``sigmoid(z)``, ``sigmoid(-z)`` and ``exp(-|z|)``, each exact where it is small."""
    small = torch.exp(-logits.abs())
    if not torch.compiler.is_compiling():  # a compiled exponential takes longer than a choice
        return logits.sigmoid(), (-logits).sigmoid(), small
    large_side = 1 / (1 + small)
    positive = logits > 0
    other_side = small * large_side
    return (
        torch.where(positive, large_side, other_side),
        torch.where(positive, other_side, large_side),
        small,
    )


def _focal_elements(
    gamma: float, logits: Tensor, target: Tensor, *weights: Tensor
) -> tuple[Tensor, ...]:
    return (binary_focal(logits, target, gamma, *weights),)


def _focal_fast(
    _: None,
    gamma: float,
    logits: Tensor,
    target: Tensor,
    positive: Tensor | None = None,
    negative: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    (z,) = full_precision(logits)
    share = target.to(z.dtype)
    other = 1 - share
    if positive is not None:
        share = positive * share
    if negative is not None:
        other = negative * other
    p, q, small = sigmoid_and_complement(z)
    log1p = 2 * torch.atanh(small / (small + 2))  # the kernel of log1p takes ten times as long
    miss, alarm = torch.relu(-z) + log1p, torch.relu(z) + log1p  # -log p and -log q
    if gamma == 0:
        return _row(share * miss + other * alarm), (other * p - share * q).to(logits.dtype)
    share, other = share * _power(q, alarm, gamma), other * _power(p, miss, gamma)
    slope = other * (gamma * alarm * q + p) - share * (gamma * miss * p + q)
    return _row(share * miss + other * alarm), slope.to(logits.dtype)


def _power(probability: Tensor, surprise: Tensor, gamma: float) -> Tensor:
    """``probability**gamma``, with its negative logarithm at hand."""
    if gamma == 1:
        return probability
    return probability.square() if gamma == 2 else torch.exp(-gamma * surprise)


def _hinge_elements(
    margin: float, squared: bool, scores: Tensor, target: Tensor
) -> tuple[Tensor, ...]:
    hinge = binary_hinge(scores, target, margin)
    return (hinge.square() if squared else hinge,)


def _hinge_fast(
    _: None, margin: float, squared: bool, scores: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    (s,) = full_precision(scores)
    sign = 2 * (target > 0).to(s.dtype) - 1
    hinge = torch.relu(margin - sign * s)
    if squared:
        return _row(hinge.square()), (-2 * sign * hinge).to(scores.dtype)
    return _row(hinge), (-sign * (hinge > 0)).to(scores.dtype)


def _row(elements: Tensor) -> Tensor:
    return elements.sum(dim=-1, keepdim=True)


FOCAL = Formula(_focal_elements, _focal_fast)
HINGE = Formula(_hinge_elements, _hinge_fast)
