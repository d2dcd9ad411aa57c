"""Formulas of the region-based losses, from sums over regions of pixels.

Pixels have the shape ``(N, K, *)`` for K classes; a region is one class of an image or of the whole
batch. The probability p and its complement are computed separately, which is accurate even if
``1 - p`` would round to 0 or 1. Ignored pixels do not contribute.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.losses.base import full_precision


class Region(NamedTuple):
    """Sums over the pixels of each region: ``(N, K)`` or ``(K,)``."""

    counted: Tensor
    """Number of pixels that are not ignored."""
    true_positives: Tensor
    """``sum p t``."""
    false_positives: Tensor
    """``sum p (1 - t)``."""
    false_negatives: Tensor
    """``sum (1 - p) t``."""
    errors: Tensor
    """``sum p**k + t**k - 2 p t``."""
    level: Tensor
    """``sum p**k``."""


def mask_regions(
    logits: Tensor,
    masks: Tensor,
    counted: Tensor | None,
    power: int = 1,
    *,
    per_image: bool = True,
) -> Region:
    """Sum over the pixels of each independent mask, ``(N, K)`` or ``(K,)``; p is the sigmoid.

    Args:
        logits: ``(N, K, *)``.
        masks: binary or soft targets of the same shape.
        counted: mask of the pixels that are not ignored, of the same shape; ``None`` for all.
        power: exponent k.
        per_image: whether to sum per image or over the batch.
    """
    (logits,) = full_precision(logits)
    logits, target = logits.flatten(2), masks.flatten(2).to(logits.dtype)
    background = 1 - target
    if counted is None:
        counts = logits.new_full(logits.shape[:2], logits.shape[2])
    else:
        counted = counted.flatten(2)
        target, background = target.where(counted, 0), background.where(counted, 0)
        counts = counted.sum(dim=-1, dtype=logits.dtype)
    # the gradient of sigmoid, p (1 - p), is 0 if p rounds to 1; that of this form is not
    p, q = F.logsigmoid(logits).exp(), F.logsigmoid(-logits).exp()
    false = p * background, q * target
    tp, fp, fn = (each.sum(dim=-1) for each in (p * target, *false))
    if power == 1:
        errors, level = fp + fn, tp + fp
    else:
        errors = (false[0] - false[1]).square().sum(dim=-1)
        level = (p * (target + background)).square().sum(dim=-1)
    sums = counts, tp, fp, fn, errors, level
    return Region(*(each if per_image else each.sum(dim=0) for each in sums))


def class_regions(
    logits: Tensor,
    indices: Tensor,
    counted: Tensor | None,
    power: int = 1,
    *,
    per_image: bool = True,
) -> Region:
    """Sum over the pixels of each class, ``(N, C)`` or ``(C,)``; p is the softmax.

    Args:
        logits: ``(N, C, *)``.
        indices: class indices ``(N, *)``.
        counted: mask of the pixels that are not ignored, ``(N, *)``; ``None`` for all.
        power: exponent k.
        per_image: whether to sum per image or over the batch.
    """
    (logits,) = full_precision(logits)
    logits, indices = logits.unsqueeze(-1).flatten(2), indices.unsqueeze(-1).flatten(1)
    if counted is not None:
        counted = counted.unsqueeze(-1).flatten(1)
        indices = torch.where(counted, indices, 0)
    index = indices.unsqueeze(1)
    probability = logits.softmax(dim=1)
    others = probability.scatter(1, index, 0)
    # compute 1 - p of the target class as a sum, since the difference would round to 0 for a
    # confident pixel, and give p the gradient of that sum, which does not vanish either
    rest = others.sum(dim=1, keepdim=True)
    own = probability.detach().gather(1, index) + (rest.detach() - rest)
    if counted is not None:
        others, rest, own = (
            torch.where(counted.unsqueeze(1), each, 0) for each in (others, rest, own)
        )
    target = one_hot(indices, logits.shape[1]).to(logits.dtype)

    def of_targets(values: Tensor) -> Tensor:
        return (target * values).sum(dim=-1)

    tp, fp, fn = of_targets(own), others.sum(dim=-1), of_targets(rest)
    if power == 1:
        errors, level = fp + fn, tp + fp
    else:
        squares = others.square().sum(dim=-1)
        errors, level = (squares + of_targets(each.square()) for each in (rest, own))
    if counted is None:
        counts = tp.new_full(tp.shape, indices.shape[1])
    else:
        counts = counted.sum(dim=-1, keepdim=True, dtype=tp.dtype).expand_as(tp)
    sums = counts, tp, fp, fn, errors, level
    return Region(*(each if per_image else each.sum(dim=0) for each in sums))


def one_hot(indices: Tensor, classes: int) -> Tensor:
    """Convert class indices ``(N, *)`` to boolean ``(N, classes, *)``; raise if out of range."""
    shape = (indices.shape[0], classes, *indices.shape[1:])
    empty = torch.zeros(shape, dtype=torch.bool, device=indices.device)
    return empty.scatter(1, indices.unsqueeze(1), True)


def dice(region: Region, smooth: float = 0.0) -> Tensor:
    r"""Compute ``1 - (2 sum p t + s) / (sum p**k + sum t**k + s)`` of each region.

    It is computed as ``E / (2 sum p t + E + s)`` with ``E = sum p**k + sum t**k - 2 sum p t``,
    summed without cancellation, which is accurate for good masks. It is finite for empty targets.
    """
    return _share(region.errors, 2 * region.true_positives, smooth, region)


def tversky(
    region: Region, fp_weight: float = 0.5, fn_weight: float = 0.5, smooth: float = 0.0
) -> Tensor:
    """Compute ``1 - (TP + s) / (TP + fp_weight FP + fn_weight FN + s)`` of each region.

    It is finite for empty targets.
    """
    errors = fp_weight * region.false_positives + fn_weight * region.false_negatives
    return _share(errors, region.true_positives, smooth, region)


def foreground_level(region: Region) -> Tensor:
    """Compute the mean of ``p**k`` over the pixels of each region: the loss of an empty target."""
    return region.level / region.counted.clamp(min=1)


def empty_target(region: Region) -> Tensor:
    """Return a mask of the regions whose target has no foreground."""
    # the sum of both is that of the target
    return (region.true_positives == 0) & (region.false_negatives == 0)


def has_pixels(region: Region) -> Tensor:
    """Return a mask of the regions with at least one pixel that is not ignored."""
    return region.counted > 0


def power_from_zero(values: Tensor, exponent: float) -> Tensor:
    """Compute ``values**exponent`` for values >= 0, with gradient 0 at 0.

    Subnormal values count as 0, since their slope may overflow.
    """
    zero = values < torch.finfo(values.dtype).tiny  # which NaN is not
    return torch.where(zero, 0, torch.where(zero, 1, values).pow(exponent))


def _share(errors: Tensor, overlap: Tensor, smooth: float, region: Region) -> Tensor:
    """Compute ``errors / (overlap + errors + s)``; finite but arbitrary for empty targets."""
    whole = overlap + errors + empty_target(region)
    return errors / (whole + smooth if smooth else whole)
