"""Formulas of the reinforcement losses, one value a step."""

import math

import torch
from torch import Tensor

from losslab.losses.base import full_precision


def standardized(advantages: Tensor) -> Tensor:
    """Advantages of mean 0 and variance 1, float32 at least; all 0 where they are all equal.

    A single one is equal to itself: 0. What rounding leaves of equal ones counts as equal.
    """
    (advantages,) = full_precision(advantages)
    # in units of the largest, so that squares stay in range
    largest = advantages.abs().amax(dim=0, keepdim=True) if len(advantages) else advantages
    centred = advantages / torch.where(largest > 0, largest, 1)
    centred = centred - centred.mean()
    deviation = centred.square().mean().sqrt()
    differ = deviation > 8 * torch.finfo(centred.dtype).eps
    return torch.where(differ, centred / torch.where(differ, deviation, 1), 0)


def clipped_surrogate(log_ratio: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """``min(r A, clamp(r, 1 - c, 1 + c) A)`` with ``log r`` given; gradient 0 where it is clipped.

    The minimum is ``A min(r, 1 + c)`` for A >= 0 and ``A max(r, 1 - c)`` below: clamping before
    the exponential keeps a ratio that is clipped from overflowing.
    """
    low, high = math.log1p(-clip), math.log1p(clip)
    bounded = torch.where(advantages >= 0, log_ratio.clamp(max=high), log_ratio.clamp(min=low))
    return bounded.exp() * advantages


def td_target(
    rewards: Tensor,
    terminated: Tensor,
    next_q_target: Tensor,
    next_q_online: Tensor | None,
    discount: float,
) -> Tensor:
    """``r + gamma (1 - terminated) max_a Q_target(s', a)``, a constant for the gradient: ``(B,)``.

    With ``next_q_online`` the action is the online network's best, and only its value that of the
    target network (double Q-learning). What stands in a terminated row is not read.
    """
    if next_q_online is None:
        value = next_q_target.amax(dim=1)
    else:
        best = next_q_online.argmax(dim=1, keepdim=True)
        value = next_q_target.gather(1, best).squeeze(1)
    return (rewards + discount * torch.where(terminated, 0, value)).detach()
