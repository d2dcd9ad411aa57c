"""Formulas of the classification losses, from logits with the classes in dimension 1."""

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.losses.base import HALF, full_precision
from losslab.losses.functional.fused import is_readable


def sparse_softmax_cross_entropy(
    logits: Tensor,
    indices: Tensor,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
    *,
    reduction: Literal["none", "sum"] = "none",
) -> Tensor:
    """Compute ``-w_t log softmax(z)_t`` for class indices t, 0 for ignored ones.

    Logits ``(N, C, *)`` and indices ``(N, *)`` give ``(N, *)``, or the sum, which is faster to
    compute here than afterwards.
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
    """Compute the sum of :func:`sparse_softmax_cross_entropy` and the sum of its weights."""
    (logits,) = full_precision(logits)
    # this kernel also sums the weights, which would take as long as the loss of a small batch
    if logits.dim() == 2 and label_smoothing == 0 and not logits.is_mps:
        total, count = torch.ops.aten.nll_loss_forward.default(
            logits.log_softmax(dim=1), indices, weight, _SUM, ignore_index
        )
        return total, count
    total = sparse_softmax_cross_entropy(
        logits, indices, weight, label_smoothing, ignore_index, reduction="sum"
    )
    return total, index_weights(indices, weight, ignore_index).sum(dtype=total.dtype)


def sparse_softmax_cross_entropy_mean(
    logits: Tensor, indices: Tensor, ignore_index: int = -100
) -> Tensor | None:
    """Compute the mean of :func:`sparse_softmax_cross_entropy` by torch's own operator.

    Returns:
        ``None`` if it is NaN, as for a batch of ignored targets, if that cannot be read, or if the
        inputs are wrong.
    """
    shape = logits.shape
    if indices.dtype is not torch.int64 or len(shape) < 2 or shape[1] < 2:
        return None  # torch accepts some of these, but no other wrong inputs
    if not is_readable(logits):
        return None
    if logits.dtype in HALF:
        logits = logits.float()
    try:
        mean: Tensor = _cross_entropy(logits, indices, None, _MEAN, ignore_index, 0.0)
    except (IndexError, RuntimeError, ValueError):
        return None
    return None if math.isnan(mean.item()) else mean


def index_weights(indices: Tensor, weight: Tensor | None, ignore_index: int) -> Tensor:
    """Return the weight of each target's class, 1 without weights, and 0 for ignored targets."""
    counted = indices != ignore_index
    return counted if weight is None else weight[indices.where(counted, 0)] * counted


_MEAN, _SUM = 1, 2  # torch's codes of the reductions
# what F.cross_entropy calls after checks that take as long as a small batch
_cross_entropy: Any = torch._C._nn.cross_entropy_loss


def softmax_cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Compute ``-sum_c w_c t_c log softmax(z)_c``, ``(N, *)`` from two tensors ``(N, C, *)``."""
    (logits,) = full_precision(logits)
    target = target.to(logits.dtype)
    if label_smoothing > 0:
        target = target.lerp(torch.full_like(target, 1 / logits.shape[1]), label_smoothing)
    log_p = logits.log_softmax(dim=1)
    # a class with logit -inf has zero loss if its target is 0
    log_p = log_p.masked_fill((target == 0) & (log_p == -math.inf), 0)
    terms = target * log_p
    if weight is not None:
        terms = terms * along_classes(weight, logits.dim())
    return -terms.sum(dim=1)


def binary_cross_entropy(
    logits: Tensor, target: Tensor, pos_weight: Tensor | None = None
) -> Tensor:
    """Compute ``w t softplus(-z) + (1 - t) softplus(z)``, element-wise.

    Unlike ``z - z t + softplus(-z)``, the forms used here do not cancel for confident logits.
    """
    if pos_weight is not None:
        return binary_focal(logits, target, gamma=0.0, positive=pos_weight)
    (logits,) = full_precision(logits)
    target = target.to(logits.dtype)
    # softplus(s z) - r z, with s = -1 if the target rounds to 1 and s = 1 otherwise, and r the
    # remainder of the target: the terms have the same sign, or their sum is half the larger one
    nearest = target.round()
    against = torch.rsub(nearest, 1, alpha=2) * logits
    nll = F.softplus(against, threshold=_LINEAR_FROM)
    elements = torch.addcmul(nll, target - nearest, logits, value=-1)
    # 0 * inf or inf - inf: an infinite logit that is right, or not compensated by the remainder
    return torch.where(elements.isnan(), nll, elements)


_LINEAR_FROM = 40  # softplus(z) equals z from here on, in float64 too


def binary_focal(
    logits: Tensor,
    target: Tensor,
    gamma: float,
    positive: Tensor | None = None,
    negative: Tensor | None = None,
) -> Tensor:
    """Compute ``a t f(z) + b (1 - t) f(-z)``, ``f(s) = sigmoid(-s)**gamma softplus(-s)``.

    Args:
        logits: any shape.
        target: from 0 to 1, of the same shape.
        gamma: focusing parameter; 0 is binary cross-entropy.
        positive: weight a of the positive class, broadcast to the logits.
        negative: weight b of the negative class.
    """
    if gamma == 0 and positive is None and negative is None:
        return binary_cross_entropy(logits, target)
    (logits,) = full_precision(logits)
    target = target.to(logits.dtype)
    for_positive = _shared(target, _focal(logits, gamma))
    for_negative = _shared(1 - target, _focal(-logits, gamma))
    if positive is not None:
        for_positive = positive * for_positive
    if negative is not None:
        for_negative = negative * for_negative
    return for_positive + for_negative


def softmax_focal(
    logits: Tensor, indices: Tensor, gamma: float, weight: Tensor | None = None
) -> Tensor:
    """Compute ``-w_t (1 - p_t)**gamma log p_t`` for class indices t, with p the softmax.

    Logits ``(N, C, *)`` and indices ``(N, *)`` give ``(N, *)``.
    """
    (logits,) = full_precision(logits)
    own, others = _split_scores(logits, indices)
    # softmax(z)_t is the sigmoid of z_t minus the logsumexp of the other logits; -inf is replaced
    # by the smallest number, since logsumexp has no gradient if all other logits are -inf
    rivals = others.clamp(min=torch.finfo(others.dtype).min).logsumexp(dim=1)
    elements = _focal(own - rivals, gamma)
    return elements if weight is None else weight[indices] * elements


def binary_hinge(scores: Tensor, target: Tensor, margin: float = 1.0) -> Tensor:
    """Compute ``max(0, margin - y s)``, element-wise; y is 1 for positive targets, else -1."""
    (scores,) = full_precision(scores)
    away = 1 - 2 * (target > 0).to(scores.dtype)  # -y
    return F.relu(margin + away * scores)


def crammer_singer_hinge(scores: Tensor, indices: Tensor, margin: float = 1.0) -> Tensor:
    """Compute ``max(0, margin + max_{j != t} s_j - s_t)`` for class indices t.

    Scores ``(N, C, *)`` and indices ``(N, *)`` give ``(N, *)``.
    """
    (scores,) = full_precision(scores)
    own, others = _split_scores(scores, indices)
    return F.relu(margin + (others.amax(dim=1) - own))


def weston_watkins_hinge(scores: Tensor, indices: Tensor, margin: float = 1.0) -> Tensor:
    """Compute ``max(0, margin + s_j - s_t)`` for each class j, 0 for j = t, to be summed over j.

    Scores ``(N, C, *)`` and indices ``(N, *)`` give ``(N, C, *)``.
    """
    (scores,) = full_precision(scores)
    own, others = _split_scores(scores, indices)
    return F.relu(margin + (others - own.unsqueeze(1)))


def along_classes(weight: Tensor, dims: int) -> Tensor:
    """Reshape one weight per class, ``(C,)``, to multiply ``(N, C, *)``; keep a single number."""
    return weight if weight.dim() == 0 else weight.view(-1, *[1] * (dims - 2))


def _focal(signed_logit: Tensor, gamma: float) -> Tensor:
    """Compute ``sigmoid(-s)**gamma softplus(-s)`` in log space.

    If p rounds to 1, a power of ``1 - p`` would have no gradient, or an infinite one for gamma < 1.
    """
    infinite = signed_logit.isinf()  # for which the product below has no gradient
    s = signed_logit.masked_fill(infinite, 0)
    nll = -F.logsigmoid(s)  # also exact in float64, where F.softplus cuts off at 20
    if gamma != 0:
        nll = torch.exp(gamma * F.logsigmoid(-s)) * nll
    return torch.where(infinite, F.relu(-signed_logit), nll)


def _shared(share: Tensor, values: Tensor) -> Tensor:
    """Multiply values by a share that is 0 for values that do not count, even infinite ones."""
    return torch.where((share == 0) & values.isinf(), share, share * values)


def _split_scores(scores: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Return the target class's score, ``(N, *)``, and all scores with that one set to -inf."""
    indices = indices.unsqueeze(1)
    own = scores.gather(1, indices).squeeze(1)
    return own, scores.scatter(1, indices, -math.inf)
