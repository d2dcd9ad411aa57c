"""Distances between embeddings, and the sums over pairs and triplets of a batch.

Anchors are rows: ``distance[a, i]`` is the distance of sample i from anchor a.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.losses.base import full_precision
from losslab.losses.functional.points import power_of_two

# one chunk of triplets where they have to be looked at one by one
TRIPLET_CHUNK = 2**22


def normalized(embeddings: Tensor) -> Tensor:
    """Embeddings of length 1, float32 at least; a zero embedding stays zero."""
    (embeddings,) = full_precision(embeddings)
    # in units of the largest component, which leaves the direction: tiny embeddings count as well
    largest = embeddings.detach().abs().amax(dim=-1, keepdim=True)
    embeddings = embeddings / torch.where(largest > 0, largest, 1)
    length = torch.linalg.vector_norm(embeddings, dim=-1, keepdim=True)
    return embeddings / torch.where(length > 0, length, 1)


def pairwise_distance(embeddings: Tensor) -> Tensor:
    """Euclidean distances ``(N, N)`` from differences, float32 at least; gradient 0 at 0.

    The form with a matrix product is faster and loses the distance of near pairs to cancellation.
    """
    (embeddings,) = full_precision(embeddings)
    # in a unit near the largest coordinate, so that squares neither underflow nor overflow
    unit = power_of_two(embeddings.detach().abs().amax())
    embeddings = embeddings / unit
    distance = torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")
    return distance * unit


def gram(rows: Tensor) -> Tensor:
    """Inner products of all rows, ``(N, N)``, in full precision under autocast too."""
    product: Tensor = _Gram.apply(rows)
    return product


class _Gram(torch.autograd.Function):
    """``x x'``, whose two products autocast does not touch, wherever ``backward`` is called."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor) -> Tensor:
        with torch.autocast(rows.device.type, enabled=False):
            return rows @ rows.mT

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        with torch.autocast(rows.device.type, enabled=False):
            product: Tensor = (slope + slope.mT) @ rows
            return product


def same_label(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Masks ``(N, N)``: pairs of two samples of one class, and pairs of different classes."""
    same = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return same & ~itself, ~same


def triplet_hinge_sums(
    distance: Tensor, positive: Tensor, negative: Tensor, margin: float
) -> tuple[Tensor, Tensor]:
    r"""For each anchor, :math:`\sum_{p,n} \max(0, d_{ap} - d_{an} + m)` and its active triplets.

    By sorting and prefix sums, ``N^2 log N`` in time and ``N^2`` in memory. With the negatives
    sorted, the k nearer than :math:`t = d_{ap} + m` are active, and with :math:`d_k` the last of
    them their sum is :math:`k (t - d_k) + S_k`, where :math:`S_k = \sum_{j<k} j (d_{j+1} - d_j)`
    is a prefix sum. Nothing cancels, since no term is negative. The gradient counts the active
    triplets of each pair, which is exact.

    Args:
        distance: ``(N, N)``.
        positive: mask ``(N, N)``, the positives of each anchor.
        negative: mask ``(N, N)``, the negatives of each anchor.
        margin: m.

    Returns:
        sums ``(N,)`` and the number of active triplets ``(N,)``, in the dtype of ``distance``.
    """
    fixed = distance.detach()
    threshold = (fixed + margin).masked_fill(~positive, -math.inf)
    sorted_negatives = fixed.masked_fill(~negative, math.inf).sort(dim=1).values
    # active negatives of each positive, and active positives of each negative
    of_positive = torch.searchsorted(sorted_negatives, threshold)
    sorted_thresholds = threshold.sort(dim=1).values.contiguous()
    inactive = torch.searchsorted(sorted_thresholds, fixed.contiguous(), right=True)
    of_negative = (distance.shape[1] - inactive).masked_fill(~negative, 0)

    near = sorted_negatives.masked_fill(sorted_negatives == math.inf, 0)
    gaps = near.diff(dim=1).clamp(min=0)  # negative only at the step into the filled end
    ranks = torch.arange(1, near.shape[1], device=near.device)
    prefix = F.pad((gaps * ranks).cumsum(dim=1), (1, 0))
    last = (of_positive - 1).clamp(min=0)
    to_last = (threshold - near.gather(1, last)).masked_fill(of_positive == 0, 0)
    value = (of_positive * to_last + prefix.gather(1, last)).sum(dim=1)

    counts = of_positive.to(distance.dtype)
    slope = ((counts - of_negative) * distance).sum(dim=1)
    return value + (slope - slope.detach()), counts.sum(dim=1)


def triplet_softplus_sums(distance: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    r"""For each anchor, :math:`\sum_{p,n} \log(1 + e^{d_{ap} - d_{an}})`: ``(N,)``.

    Each triplet is looked at: ``N^3`` in time, in chunks of anchors; memory is ``N^2``. The
    gradient is summed on the way, so there is no second derivative.
    """
    fixed = distance.detach()
    rows = max(1, TRIPLET_CHUNK // max(1, fixed.shape[1] ** 2))
    sums, pulls = [fixed.new_empty(0)], [fixed.new_empty(0, fixed.shape[1])]
    for d, pos, neg in zip(
        *(torch.split(whole, rows) for whole in (fixed, positive, negative)), strict=True
    ):
        counts = pos[:, :, None] & neg[:, None, :]
        excess = d[:, :, None] - d[:, None, :]
        sums.append(F.softplus(excess).masked_fill(~counts, 0).sum(dim=(1, 2)))
        active = excess.sigmoid().masked_fill(~counts, 0)
        pulls.append(active.sum(dim=2) - active.sum(dim=1))
    slope = (torch.cat(pulls) * distance).sum(dim=1)
    return torch.cat(sums) + (slope - slope.detach())


def hardest(distance: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The farthest positive and the nearest negative of each anchor: two ``(N,)``, and a mask.

    The mask tells the anchors that have both; the distances of others are 0.
    """
    both = positive.any(dim=1) & negative.any(dim=1)
    far = distance.masked_fill(~positive, -math.inf).amax(dim=1)
    near = distance.masked_fill(~negative, math.inf).amin(dim=1)
    return torch.where(both, far, 0), torch.where(both, near, 0), both


def semi_hard_negative(distance: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """For each pair, the nearest negative that is farther than the positive: ``(N, N)``.

    Where every negative is nearer, the farthest of them; 0 where there is no such pair.
    """
    candidates = distance.masked_fill(~negative, math.inf).sort(dim=1)
    position = torch.searchsorted(
        candidates.values.detach(), distance.detach().contiguous(), right=True
    )
    last = negative.sum(dim=1, keepdim=True) - 1
    index = candidates.indices.gather(1, torch.minimum(position, last).clamp(min=0))
    there = positive & negative.any(dim=1, keepdim=True)
    return torch.where(there, distance.gather(1, index), 0)


def angular_pairs(embeddings: Tensor, labels: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    r"""The angular loss of each pair of one class: values ``(N, N)`` and the mask of the pairs.

    :math:`\log(1 + \sum_n \exp(4 \tan^2\alpha\,(x_a + x_p)^T x_n
    - 2 (1 + \tan^2\alpha)\, x_a^T x_p))`, with normalised embeddings. Since
    :math:`e^{u_{an} + u_{pn}} = e^{u_{an}} e^{u_{pn}}`, the sum over n is a matrix product, which
    holds in float32 up to 65 degrees.
    """
    x = normalized(embeddings)
    positive, negative = same_label(labels)
    similarity = gram(x)
    tangent = math.tan(math.radians(angle)) ** 2
    exponent = (4 * tangent * similarity).masked_fill(~negative, -math.inf)
    # the largest exponent of an anchor, a constant for the gradient; 0 where it has no negative
    largest = exponent.detach().amax(dim=1, keepdim=True)
    largest = largest.masked_fill(largest == -math.inf, 0)
    total = gram((exponent - largest).exp())
    there = positive & negative.any(dim=1, keepdim=True)
    log_total = torch.where(there, total, 1).log() + largest + largest.mT
    loss = F.softplus(log_total - 2 * (1 + tangent) * similarity)
    return torch.where(there, loss, 0), positive
