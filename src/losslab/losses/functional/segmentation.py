"""Formulas of the overlap losses, from sums over regions of pixels.

Pixels come as ``(N, K, *)`` for K classes; a region is a class of an image or of the whole batch.
Probability p and complement enter by products with the target t that are exact where ``1 - p``
would round to 0 or 1; an ignored pixel adds nothing.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.losses.base import full_precision
from losslab.losses.functional.classification import sigmoid_and_complement
from losslab.losses.functional.fused import Formula, row_sums


class Region(NamedTuple):
    """Sums over the pixels of each region: ``(N, K)`` or ``(K,)``."""

    counted: Tensor
    """the number of pixels not ignored"""
    hits: Tensor
    """sum p t"""
    false_alarms: Tensor
    """sum p (1 - t)"""
    misses: Tensor
    """sum (1 - p) t"""
    errors: Tensor
    """sum p**k + t**k - 2 p t"""
    level: Tensor
    """sum p**k"""


def mask_regions(
    logits: Tensor,
    masks: Tensor,
    counted: Tensor | None,
    power: int = 1,
    *,
    per_image: bool = True,
) -> Region:
    """Sums over each independent mask, all arguments ``(N, K, *)``: ``(N, K)``, or ``(K,)``.

    ``counted`` tells the pixels that are not ignored; ``None`` where none is.
    """
    kept = logits.shape[:2]
    tensors = (masks,) if counted is None else (masks, counted)
    sums = row_sums(MASKS, kept.numel(), logits, *tensors, options=(power,))
    sums = sums.view(*kept, sums.shape[1])
    if counted is None:
        counts = sums.new_full(kept, logits.shape[2:].numel())
    else:
        counts = counted.flatten(2).sum(dim=-1, dtype=sums.dtype)
    if not per_image:
        sums, counts = sums.sum(dim=0), counts.sum(dim=0)
    return Region(counts, *sums.unbind(-1))


def class_regions(
    logits: Tensor,
    indices: Tensor,
    counted: Tensor | None,
    power: int = 1,
    *,
    per_image: bool = True,
) -> Region:
    """Sums over each class: ``(N, C)`` or ``(C,)``, of logits ``(N, C, *)``, indices ``(N, *)``.

    ``counted``, ``(N, *)``, tells the pixels that are not ignored; ``None`` where none is. p is the
    softmax.
    """
    (logits,) = full_precision(logits)
    logits, indices = logits.unsqueeze(-1).flatten(2), indices.unsqueeze(-1).flatten(1)
    if counted is not None:
        counted = counted.unsqueeze(-1).flatten(1)
        indices = torch.where(counted, indices, 0)
    index = indices.unsqueeze(1)
    probability = logits.softmax(dim=1)
    others = probability.scatter(1, index, 0)
    # 1 - p of the target's class as a sum, since the difference would be 0 for a confident pixel;
    # p itself with the slope of that sum, since its own would be p times the difference
    rest = others.sum(dim=1, keepdim=True)
    own = probability.detach().gather(1, index) + (rest.detach() - rest)
    if counted is not None:
        others, rest, own = (
            torch.where(counted.unsqueeze(1), each, 0) for each in (others, rest, own)
        )
    target = one_hot(indices, logits.shape[1]).to(logits.dtype)

    def of_targets(values: Tensor) -> Tensor:
        return (target * values).sum(dim=-1)

    hits, false_alarms, misses = of_targets(own), others.sum(dim=-1), of_targets(rest)
    if power == 1:
        errors, level = false_alarms + misses, hits + false_alarms
    else:
        squares = others.square().sum(dim=-1)
        errors, level = (squares + of_targets(each.square()) for each in (rest, own))
    if counted is None:
        counts = hits.new_full(hits.shape, indices.shape[1])
    else:
        counts = counted.sum(dim=-1, keepdim=True, dtype=hits.dtype).expand_as(hits)
    sums = counts, hits, false_alarms, misses, errors, level
    return Region(*(each if per_image else each.sum(dim=0) for each in sums))


def one_hot(indices: Tensor, classes: int) -> Tensor:
    """Class indices ``(N, *)`` as a boolean ``(N, classes, *)``; an index out of range raises."""
    shape = (indices.shape[0], classes, *indices.shape[1:])
    empty = torch.zeros(shape, dtype=torch.bool, device=indices.device)
    return empty.scatter(1, indices.unsqueeze(1), True)


def dice(region: Region, smooth: float = 0.0) -> Tensor:
    r"""``1 - (2 sum p t + s) / (sum p**k + sum t**k + s)`` of each region.

    Computed as ``E / (2 sum p t + E + s)`` with the errors ``E = sum p**k + sum t**k - 2 sum p t``,
    summed without subtraction so that a good mask keeps its digits. Finite without target.
    """
    return _share(region.errors, 2 * region.hits, smooth, region)


def tversky(
    region: Region, fp_weight: float = 0.5, fn_weight: float = 0.5, smooth: float = 0.0
) -> Tensor:
    """``1 - (TP + s) / (TP + fp_weight FP + fn_weight FN + s)`` of each; finite without target."""
    errors = fp_weight * region.false_alarms + fn_weight * region.misses
    return _share(errors, region.hits, smooth, region)


def foreground_level(region: Region) -> Tensor:
    """Mean of ``p**k`` over the counted pixels of each region: the loss of an empty target."""
    return region.level / region.counted.clamp(min=1)


def empty_target(region: Region) -> Tensor:
    """Regions whose target has no foreground."""
    return (region.hits == 0) & (region.misses == 0)  # they sum to that of the target


def has_pixels(region: Region) -> Tensor:
    """Regions that are not ignored altogether."""
    return region.counted > 0


def power_from_zero(values: Tensor, exponent: float) -> Tensor:
    """``values**exponent`` for values >= 0, with gradient 0 at 0, where the slope may be infinite.

    Subnormal values count as 0: their slope need not fit the dtype.
    """
    positive = values >= torch.finfo(values.dtype).tiny
    return torch.where(positive, torch.where(positive, values, 1).pow(exponent), 0)


def _share(errors: Tensor, overlap: Tensor, smooth: float, region: Region) -> Tensor:
    """``errors / (overlap + errors + s)``; without target, where all may be 0, some number."""
    whole = overlap + errors + empty_target(region)
    return errors / (whole + smooth if smooth else whole)


def _mask_elements(
    power: int, logits: Tensor, masks: Tensor, counted: Tensor | None = None
) -> tuple[Tensor, ...]:
    """What each pixel adds to the five sums, p the sigmoid."""
    (z,) = full_precision(logits)
    target, background = _sides(masks, z.dtype, counted)
    # sigmoid's own gradient p (1 - p) is 0 where p rounds to 1; this form keeps it
    p, q = F.logsigmoid(z).exp(), F.logsigmoid(-z).exp()
    hit, false_alarm, miss = p * target, p * background, q * target
    if power == 1:
        errors, level = false_alarm + miss, hit + false_alarm
    else:
        errors, level = (false_alarm - miss).square(), (hit + false_alarm).square()
    return hit, false_alarm, miss, errors, level


def _mask_fast(
    _: None, power: int, logits: Tensor, masks: Tensor, counted: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The five sums; kept is ``p (1 - p)``, the slope of p."""
    (z,) = full_precision(logits)
    target, background = _sides(masks, z.dtype, counted)
    p, q = sigmoid_and_complement(z)
    hit, false_alarm, miss = p * target, p * background, q * target
    sums = [values.sum(dim=-1) for values in (hit, false_alarm, miss)]
    if power == 1:
        sums += [sums[1] + sums[2], sums[0] + sums[1]]
    else:
        sums += [false_alarm.sub(miss).square().sum(-1), hit.add(false_alarm).square().sum(-1)]
    return torch.stack(sums, dim=-1), (p * q).to(logits.dtype)


def _mask_pull(
    weights: Tensor,
    power: int,
    slope_of_p: Tensor,
    logits: Tensor,
    masks: Tensor,
    counted: Tensor | None = None,
) -> tuple[None, Tensor]:
    hit, false_alarm, miss, errors, level = weights.unsqueeze(1).unbind(-1)
    if power == 1:  # errors and level are sums of the others
        false_alarm, miss, hit = false_alarm + errors + level, miss + errors, hit + level
    target = masks.to(weights.dtype)
    by_p = torch.addcmul(false_alarm, target, hit - miss - false_alarm)
    if power == 2:
        p, q = sigmoid_and_complement(logits.to(weights.dtype))
        by_p += 2 * (errors * (p * (1 - target) - q * target) + level * p)
    if counted is not None:
        by_p = torch.where(counted, by_p, 0)
    return None, by_p.mul_(slope_of_p).to(logits.dtype)


def _sides(masks: Tensor, dtype: torch.dtype, counted: Tensor | None) -> tuple[Tensor, Tensor]:
    """``t`` and ``1 - t``, both 0 for an ignored pixel."""
    target = masks.to(dtype)
    background = 1 - target
    if counted is None:
        return target, background
    return torch.where(counted, target, 0), torch.where(counted, background, 0)


MASKS = Formula(_mask_elements, _mask_fast, _mask_pull)
