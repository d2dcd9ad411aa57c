"""Distances between embeddings, and sums over the pairs and triplets of a batch.

Rows are anchors: ``distance[a, i]`` is the distance of sample i from anchor a.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.losses.base import full_precision
from losslab.losses.functional.points import euclidean_norm, fold_vmap, power_of_two

# number of triplets per chunk when every triplet is visited
TRIPLET_CHUNK = 2**22


def normalized(embeddings: Tensor) -> Tensor:
    """Scale embeddings to length 1, float32 at least; a zero embedding stays zero."""
    (embeddings,) = full_precision(embeddings)
    # relative to the largest component, so that squares of tiny embeddings do not underflow
    largest = embeddings.detach().abs().amax(dim=-1, keepdim=True)
    embeddings = embeddings / torch.where(largest > 0, largest, 1)
    length = torch.linalg.vector_norm(embeddings, dim=-1, keepdim=True)
    return embeddings / torch.where(length > 0, length, 1)


def pairwise_distance(embeddings: Tensor) -> Tensor:
    """Compute Euclidean distances ``(N, N)``, accurate for near pairs, with gradient 0 at 0."""
    (embeddings,) = full_precision(embeddings)
    # relative to a power of two near the largest coordinate: squares neither underflow nor overflow
    unit = power_of_two(embeddings.detach().abs().amax())
    embeddings = embeddings / unit
    if embeddings.dtype == torch.float32 and embeddings.device.type == "cpu":
        distance: Tensor = _Distances.apply(embeddings)
    else:
        distance = _from_differences(embeddings)
    return distance * unit


def _from_differences(x: Tensor) -> Tensor:
    """Compute distances from differences, which is accurate but slower than a matrix product."""
    distance: Tensor = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    return distance


class _Distances(torch.autograd.Function):
    """Distances of float32 rows, with float64 matrix products forward and backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        distance: Tensor = distances_by_product(x)
        return distance

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        x, distance = ctx.saved_tensors
        # sum_j s_ij (x_i - x_j): in float64 the difference of the sums is accurate to float32
        pull = (slope + slope.mT) / distance.masked_fill(distance == 0, math.inf)
        pull, x = pull.double(), x.double()
        total: Tensor = pull.sum(dim=-1, keepdim=True) * x - pull @ x
        return total.to(slope.dtype)


# Squared distances below this fraction of the largest squared norm are recomputed from differences;
# for the others, float64 products leave a relative error below 1e-7.
NEAR = 2.0**-24


# A custom operator, since torch.compile and vmap cannot trace the search for near pairs.
@torch.library.custom_op("losslab::distances_by_product", mutates_args=())
def distances_by_product(x: Tensor) -> Tensor:
    """Compute distances ``(N, N)`` of float32 CPU rows by ``|x|^2 - 2 xy + |y|^2`` in float64.

    The distances of near pairs, which cancel in this form, are recomputed from differences.
    """
    wide = x.double()
    wide -= wide.mean(dim=0)
    norms = wide.square().sum(dim=1)
    squares = torch.addmm(norms[:, None] + norms, wide, wide.T, alpha=-2).fill_diagonal_(math.inf)
    first, second = (squares < NEAR * norms.amax()).nonzero(as_tuple=True)
    if len(first) > squares.numel() / 16:
        return _from_differences(x)
    distance = squares.fill_diagonal_(0).float().sqrt_()
    distance[first, second] = (wide[first] - wide[second]).norm(dim=1).float()
    return distance


@distances_by_product.register_fake
def _(x: Tensor) -> Tensor:
    return x.new_empty(len(x), len(x))


@distances_by_product.register_vmap
def _(info: object, in_dims: tuple[int], x: Tensor) -> tuple[Tensor, int]:
    return torch.stack([distances_by_product(rows) for rows in x.movedim(in_dims[0], 0)]), 0


def gram(rows: Tensor) -> Tensor:
    """Compute the inner products of all rows, ``(N, N)``, in full precision even under autocast."""
    product: Tensor = _Gram.apply(rows)
    return product


class _Gram(torch.autograd.Function):
    """``x x'`` with autocast disabled in the forward and the backward product."""

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
    """Return masks ``(N, N)`` of the pairs of the same class and of different classes."""
    same = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return same & ~itself, ~same


def triplet_hinge_sums(
    distance: Tensor, positive: Tensor, negative: Tensor, margin: float
) -> tuple[Tensor, Tensor]:
    r"""Compute :math:`\sum_{p,n} \max(0, d_{ap} - d_{an} + m)` for each anchor with one sort.

    It takes ``N^2 log N`` time and ``N^2`` memory. Sort the negatives' :math:`d_{an}` and the
    positives' :math:`d_{ap} + m` together, :math:`v_1 \le v_2 \le \dots`: a triplet is active if
    its negative comes before its positive, and its loss is the sum of the gaps between them. So the
    sum is :math:`\sum_k (v_{k+1} - v_k)\, N_k\, P_k` with :math:`N_k` negatives up to k and
    :math:`P_k` positives after it. Nothing cancels, since no term is negative. The gradient counts
    the active triplets of each pair, which is exact.

    Args:
        distance: ``(N, N)``.
        positive: mask ``(N, N)`` of the positives of each anchor.
        negative: mask ``(N, N)`` of the negatives of each anchor.
        margin: m.

    Returns:
        The sums ``(N,)`` and the numbers of active triplets ``(N,)``, in the dtype of ``distance``.
    """
    ends = torch.where(negative, distance.detach(), distance.detach() + margin)
    order = ascending(ends, negative)
    kinds = positive.to(ends.dtype) - negative.to(ends.dtype)
    kinds = kinds.gather(1, order)  # 1 for a positive, -1 for a negative, 0 for the anchor itself
    before = kinds.clamp(max=0).neg().cumsum(dim=1)
    after = positive.sum(dim=1, keepdim=True) - kinds.relu().cumsum(dim=1)
    value = (ends.gather(1, order).diff(dim=1) * before[:, :-1] * after[:, :-1]).sum(dim=1)

    of_positive, of_negative = before * (kinds > 0), after * (kinds < 0)
    counts = torch.zeros_like(ends).scatter(1, order, of_positive - of_negative)
    slope = (counts * distance).sum(dim=1)
    return value + (slope - slope.detach()), of_positive.sum(dim=1)


# A custom operator, since NumPy sorts float32 twenty times as fast as torch.
@torch.library.custom_op("losslab::ascending", mutates_args=())
def ascending(values: Tensor, last: Tensor) -> Tensor:
    """Return the indices that sort each row of ``(N, M)``, with ties broken by the mask ``last``.

    The values must not be negative.
    """
    if values.dtype != torch.float32 or values.device.type != "cpu":
        first = last.byte().argsort(dim=1, stable=True)
        return first.gather(1, values.gather(1, first).argsort(dim=1, stable=True))
    # the bits of non-negative floats sort like the numbers: pack value, mask and index together
    keys = values.contiguous().view(torch.int32).long() << 32
    keys |= (last.long() << 31) + torch.arange(values.shape[1])
    keys.numpy().sort(axis=1)
    return keys & (2**31 - 1)


@ascending.register_fake
def _(values: Tensor, last: Tensor) -> Tensor:
    return torch.empty_like(values, dtype=torch.int64, memory_format=torch.contiguous_format)


@ascending.register_vmap
def _(info: object, in_dims: tuple[int | None, ...], *rows: Tensor) -> tuple[Tensor, int]:
    folded = fold_vmap(info.batch_size, in_dims, *rows)  # type: ignore[attr-defined]
    return ascending(*folded).unflatten(0, (info.batch_size, -1)), 0  # type: ignore[attr-defined]


def triplet_softplus_sums(distance: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    r"""Compute :math:`\sum_{p,n} \log(1 + e^{d_{ap} - d_{an}})` for each anchor, ``(N,)``.

    Every triplet is visited, in chunks of anchors: ``N^3`` time and ``N^2`` memory. The gradient is
    accumulated in the forward pass, so there is no second derivative.
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


def hardest(
    embeddings: Tensor, positive: Tensor, negative: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the distances of each anchor's farthest positive and nearest negative.

    Only the two selected distances are differentiated, so memory for the gradient is linear.

    Returns:
        Both distances, ``(N,)``, 0 for anchors without either, and the mask of the anchors that
        have both.
    """
    distance = pairwise_distance(embeddings.detach())
    both = positive.any(dim=1) & negative.any(dim=1)
    far = distance.masked_fill(~positive, -math.inf).argmax(dim=1)
    near = distance.masked_fill(~negative, math.inf).argmin(dim=1)
    (embeddings,) = full_precision(embeddings)
    to_far, to_near = (euclidean_norm(embeddings - embeddings[index]) for index in (far, near))
    return torch.where(both, to_far, 0), torch.where(both, to_near, 0), both


def semi_hard_negative(distance: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Return, per positive pair, the distance of the nearest negative beyond it: ``(N, N)``.

    If every negative is nearer than the positive, the distance of the farthest one; 0 for pairs
    that are not positive or whose anchor has no negative.
    """
    candidates = distance.detach().masked_fill(~negative, math.inf)
    order = ascending(candidates, negative)
    from_here = distance.detach().masked_fill(~positive, -math.inf)  # others are not looked up
    position = torch.searchsorted(candidates.gather(1, order), from_here, right=True)
    last = negative.sum(dim=1, keepdim=True) - 1
    index = order.gather(1, torch.minimum(position, last).clamp(min=0))
    there = positive & negative.any(dim=1, keepdim=True)
    return torch.where(there, distance.gather(1, index), 0)


def angular_pairs(embeddings: Tensor, labels: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    r"""Compute the angular loss of each positive pair: values ``(N, N)`` and the mask of the pairs.

    It is :math:`\log(1 + \sum_n \exp(4 \tan^2\alpha\,(x_a + x_p)^T x_n
    - 2 (1 + \tan^2\alpha)\, x_a^T x_p))`, with normalised embeddings. Since
    :math:`e^{u_{an} + u_{pn}} = e^{u_{an}} e^{u_{pn}}`, the sum over n is a matrix product, which
    holds in float32 up to 65 degrees.
    """
    x = normalized(embeddings)
    positive, negative = same_label(labels)
    similarity = gram(x)
    tangent = math.tan(math.radians(angle)) ** 2
    exponent = (4 * tangent * similarity).masked_fill(~negative, -math.inf)
    # the largest exponent of each anchor, not differentiated; 0 for anchors without a negative
    largest = exponent.detach().amax(dim=1, keepdim=True)
    largest = largest.masked_fill(largest == -math.inf, 0)
    total = gram((exponent - largest).exp())
    there = positive & negative.any(dim=1, keepdim=True)
    log_total = torch.where(there, total, 1).log() + largest + largest.mT
    loss = F.softplus(log_total - 2 * (1 + tangent) * similarity)
    return torch.where(there, loss, 0), positive
