"""Formulas of the reinforcement learning losses, one value per step."""

import math

import torch
from torch import Tensor

from losslab.losses.base import full_precision


def standardized(advantages: Tensor) -> Tensor:
    """Scale advantages to mean 0 and variance 1, float32 at least; equal ones become 0.

    A single advantage becomes 0. Advantages that differ only by rounding count as equal.
    """
    (advantages,) = full_precision(advantages)
    # relative to the largest, so that squares stay in range
    largest = advantages.abs().amax(dim=0, keepdim=True) if len(advantages) else advantages
    centred = advantages / torch.where(largest > 0, largest, 1)
    centred = centred - centred.mean()
    deviation = centred.square().mean().sqrt()
    equal = deviation <= 8 * torch.finfo(centred.dtype).eps  # which NaN is not
    return torch.where(equal, 0, centred / torch.where(equal, 1, deviation))


def clipped_surrogate(log_ratio: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Compute ``min(r A, clamp(r, 1 - c, 1 + c) A)`` from ``log r``; gradient 0 if clipped.

    The minimum is ``A min(r, 1 + c)`` for A >= 0 and ``A max(r, 1 - c)`` otherwise; clamping before
    the exponential keeps clipped ratios from overflowing.
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
    """Compute ``r + gamma (1 - terminated) max_a Q_target(s', a)``, ``(B,)``, detached.

    With ``next_q_online``, the online network selects the action and the target network evaluates
    it (double Q-learning). The next values of terminated transitions are ignored.
    """
    if next_q_online is None:
        value = next_q_target.amax(dim=1)
    else:
        best = next_q_online.argmax(dim=1, keepdim=True)
        value = next_q_target.gather(1, best).squeeze(1)
    return (rewards + discount * torch.where(terminated, 0, value)).detach()
