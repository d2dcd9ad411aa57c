"""Formulas of the overlap losses, from what each pixel counts for.

Pixels come as ``(N, K, *)`` for K classes and go into sums as rows: one row a region, which is a
class of an image or of the whole batch.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.losses.base import full_precision


class Pixels(NamedTuple):
    """What each pixel counts for, with p its probability and t its target.

    An ignored pixel counts 0 everywhere. Probability and complement enter by products that are
    exact where ``1 - p`` would round to 0 or 1.
    """

    hit: Tensor
    """p t"""
    false_alarm: Tensor
    """p (1 - t)"""
    miss: Tensor
    """(1 - p) t"""
    target: Tensor
    """t"""
    counted: Tensor
    """1, or 0 for an ignored pixel"""


class SoftCounts(NamedTuple):
    """Expected counts of a region."""

    true_positives: Tensor
    false_positives: Tensor
    false_negatives: Tensor


def mask_pixels(logits: Tensor, masks: Tensor, counted: Tensor) -> Pixels:
    """Pixels of independent masks, p the sigmoid: all arguments and results ``(N, K, *)``."""
    (logits,) = full_precision(logits)
    masks = torch.where(counted, masks, 0).to(logits.dtype)
    # sigmoid's own gradient p (1 - p) is 0 where p rounds to 1; this form keeps it
    probability = F.logsigmoid(logits).exp()
    complement = F.logsigmoid(-logits).exp()
    return Pixels(
        hit=probability * masks,
        false_alarm=torch.where(counted, probability * (1 - masks), 0),
        miss=complement * masks,
        target=masks,
        counted=counted.to(logits.dtype),
    )


def class_pixels(logits: Tensor, indices: Tensor, counted: Tensor) -> Pixels:
    """Pixels of exclusive classes, p the softmax: ``(N, C, *)`` from indices ``(N, *)``."""
    (logits,) = full_precision(logits)
    indices = torch.where(counted, indices, 0).unsqueeze(1)
    target = one_hot(indices.squeeze(1), logits.shape[1]).to(logits.dtype)
    counted = counted.unsqueeze(1).expand_as(logits)
    target = torch.where(counted, target, 0)
    # softmax(z)_t is the sigmoid of the lead of class t over all others together, who share the
    # rest: no 1 - p anywhere, which would round to 0 for a confident pixel
    others = logits.scatter(1, indices, -math.inf)
    lead = logits.gather(1, indices) - others.logsumexp(dim=1, keepdim=True)
    rest = F.logsigmoid(-lead).exp()
    return Pixels(
        hit=F.logsigmoid(lead).exp() * target,
        false_alarm=torch.where(counted, rest * others.softmax(dim=1), 0),
        miss=rest * target,
        target=target,
        counted=counted.to(logits.dtype),
    )


def one_hot(indices: Tensor, classes: int) -> Tensor:
    """Class indices ``(N, *)`` as a boolean ``(N, classes, *)``; an index out of range raises."""
    shape = (indices.shape[0], classes, *indices.shape[1:])
    empty = torch.zeros(shape, dtype=torch.bool, device=indices.device)
    return empty.scatter(1, indices.unsqueeze(1), True)


def rows(pixels: Tensor, per_image: bool) -> Tensor:
    """``(N, K, *)`` as ``(N, K, pixels)``, or as ``(K, pixels)`` with the batch as one image."""
    flat = pixels.unsqueeze(-1).flatten(2)
    return flat if per_image else flat.transpose(0, 1).flatten(1)


def soft_counts(pixels: Pixels) -> SoftCounts:
    """Sums over the pixels of each row."""
    return SoftCounts(pixels.hit.sum(-1), pixels.false_alarm.sum(-1), pixels.miss.sum(-1))


def dice(pixels: Pixels, power: int = 1, smooth: float = 0.0) -> Tensor:
    r"""``1 - (2 sum p t + s) / (sum p**k + sum t**k + s)`` of each row.

    Computed as ``E / (2 sum p t + E + s)`` with the errors ``E = sum p**k + sum t**k - 2 sum p t``,
    summed without subtraction so that a good mask keeps its digits. 0 for a row without target.
    """
    if power == 1:
        errors = (pixels.false_alarm + pixels.miss).sum(-1)
    else:
        errors = (pixels.false_alarm - pixels.miss).square().sum(-1)
    return _share(errors, 2 * pixels.hit.sum(-1) + smooth, pixels)


def tversky(
    pixels: Pixels, fp_weight: float = 0.5, fn_weight: float = 0.5, smooth: float = 0.0
) -> Tensor:
    """``1 - (TP + s) / (TP + fp_weight FP + fn_weight FN + s)`` of each row; 0 without target."""
    counts = soft_counts(pixels)
    errors = fp_weight * counts.false_positives + fn_weight * counts.false_negatives
    return _share(errors, counts.true_positives + smooth, pixels)


def foreground_level(pixels: Pixels, power: int = 1) -> Tensor:
    """Mean of ``p**power`` over the counted pixels of each row: the loss of an empty target."""
    level = (pixels.hit + pixels.false_alarm).pow(power).sum(-1)
    return level / pixels.counted.sum(-1).clamp(min=1)


def empty_target(pixels: Pixels) -> Tensor:
    """Rows whose target has no foreground."""
    return pixels.target.sum(-1) == 0


def has_pixels(pixels: Pixels) -> Tensor:
    """Rows that are not ignored altogether."""
    return pixels.counted.sum(-1) > 0


def power_from_zero(values: Tensor, exponent: float) -> Tensor:
    """``values**exponent`` for values >= 0, with gradient 0 at 0, where the slope may be infinite.

    Subnormal values count as 0: their slope need not fit the dtype.
    """
    positive = values >= torch.finfo(values.dtype).tiny
    return torch.where(positive, torch.where(positive, values, 1).pow(exponent), 0)


def _share(errors: Tensor, right: Tensor, pixels: Pixels) -> Tensor:
    """``errors / (right + errors)``, 0 in rows without target, where both may be 0."""
    empty = empty_target(pixels)
    share = errors / torch.where(empty, 1, right + errors)
    return torch.where(empty, 0, share)
