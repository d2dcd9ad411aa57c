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

    Neither form here cancels for confident logits, as ``z - z t + softplus(-z)`` does.
    """
    if pos_weight is not None:
        return binary_focal(logits, target, gamma=0.0, positive=pos_weight)
    (logits,) = full_precision(logits)
    target = target.to(logits.dtype)
    # with s = -1 for the class nearest to the target, else 1, and r the rest of the target:
    # softplus(s z) - r z, whose terms have one sign or leave half of the larger
    nearest = target.round()
    against = torch.rsub(nearest, 1, alpha=2) * logits
    surprise = F.softplus(against, threshold=_LINEAR_FROM)
    return torch.addcmul(surprise, target - nearest, logits, value=-1)


_LINEAR_FROM = 40  # softplus(z) is z there, in float64 too


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
    if gamma == 0 and positive is None and negative is None:
        return binary_cross_entropy(logits, target)
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
    *,
    rows: int = 1,
) -> Tensor:
    """:func:`binary_focal` summed over each of some rows, fused where there is much: ``(R, 1)``.

    The weights are numbers without dimension, or of the shape of the logits; a negative one needs
    a positive one.
    """
    weights = [weight for weight in (positive, negative) if weight is not None]
    return row_sums(FOCAL, rows, logits, target, *weights, options=(gamma,))


def binary_hinge_sums(
    scores: Tensor, target: Tensor, margin: float, squared: bool, *, rows: int = 1
) -> Tensor:
    """:func:`binary_hinge`, or its square, summed over each of some rows: ``(R, 1)``."""
    return row_sums(HINGE, rows, scores, target, options=(margin, squared))


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
    away = 1 - 2 * (target > 0).to(scores.dtype)  # -y
    return F.relu(margin + away * scores)


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


def sigmoid_and_complement(logits: Tensor) -> tuple[Tensor, Tensor]:
    """``sigmoid(z)`` and ``sigmoid(-z)``, each exact where it is small."""
    if not torch.compiler.is_compiling():  # a compiled exponential takes longer than a choice
        return logits.sigmoid(), (-logits).sigmoid()
    small = torch.exp(-logits.abs())
    large_side = 1 / (1 + small)
    positive, other_side = logits > 0, small * large_side
    return (
        torch.where(positive, large_side, other_side),
        torch.where(positive, other_side, large_side),
    )


def log_of_larger(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithm of the larger of ``sigmoid(z)`` and ``sigmoid(-z)``, and ``exp(-|z|)``."""
    size = logits.abs()
    if not torch.compiler.is_compiling():  # the kernel keeps the exponential on the CPU
        log_larger, small = torch.ops.aten.log_sigmoid_forward.default(size)
        return log_larger, small
    small = torch.exp(-size)
    return -2 * torch.atanh(small / (small + 2)), small


def _focal_elements(
    gamma: float, logits: Tensor, target: Tensor, *weights: Tensor
) -> tuple[Tensor, ...]:
    return (binary_focal(logits, target, gamma, *weights),)


def _focal_fast(
    weights: None,
    gamma: float,
    logits: Tensor,
    target: Tensor,
    positive: Tensor | None = None,
    negative: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    (z,) = full_precision(logits)
    share = target.to(z.dtype)
    if gamma == 0 and positive is None:
        return _cross_entropy_fast(z, share, logits.dtype)
    other = 1 - share
    if positive is not None:
        share = positive * share
    if negative is not None:
        other = negative * other
    p, q = sigmoid_and_complement(z)
    log_larger = log_of_larger(z)[0]
    miss, alarm = (-z).relu_().sub_(log_larger), z.relu().sub_(log_larger)  # -log p and -log q
    if gamma == 0:
        return _row(share * miss + other * alarm), (other * p - share * q).to(logits.dtype)
    share, other = share * _power(q, alarm, gamma), other * _power(p, miss, gamma)
    of_negative = torch.addcmul(p, alarm, q, value=gamma).mul_(other)
    of_positive = torch.addcmul(q, miss, p, value=gamma).mul_(share)
    slope = of_negative.sub_(of_positive).to(logits.dtype)
    return _row(share.mul_(miss).addcmul_(other, alarm)), slope


def _cross_entropy_fast(z: Tensor, target: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy as ``|z| |h| - log max(p, q)``, with h the hard decision's error.

    h, the decision (0 or 1) minus the target, is exact where that is right.
    """
    log_larger, small = log_of_larger(z)
    decision = z.sign().clamp_(min=0)
    error = decision - target
    rest = small.div_(small + 1)  # the smaller of p and q
    loss = torch.addcmul(log_larger, z, error, value=-1)
    slope = error.add_(rest).addcmul_(decision, rest, value=-2)
    return -_row(loss), slope.to(dtype)


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
