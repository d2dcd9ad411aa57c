r"""Information measures of discrete distributions, in nats (base e) or bits (base 2).

They take probabilities and are meant for analysing predictions. The losses compute the same
quantities from logits, which stays exact for confident predictions.
"""

import math

import torch
from torch import Tensor

from losslab.losses.base import full_precision, not_negative, require_at_least


def self_information(probability: Tensor, base: float = math.e) -> Tensor:
    r"""Compute self-information, :math:`-\log p`, element-wise; infinite for p = 0.

    Args:
        probability: probabilities of the events, any shape.
        base: base of the logarithm; 2 gives bits, e gives nats.

    Raises:
        ValueError: if the base is not above 1.

    Source:
        Shannon, "A Mathematical Theory of Communication", 1948.

    Example:
        A fair coin carries one bit.

        >>> self_information(torch.tensor(0.5), base=2).item()
        1.0
    """
    (probability,) = full_precision(probability)
    return -probability.log() / _unit(base)


def entropy(p: Tensor, base: float = math.e, dim: int = -1) -> Tensor:
    r"""Compute the entropy of a distribution, :math:`H(p) = -\sum_c p_c \log p_c`.

    Events of probability 0 contribute exactly 0.

    Args:
        p: probabilities that sum to 1 along ``dim``.
        base: base of the logarithm; 2 gives bits, e gives nats.
        dim: dimension of the events, which is removed.

    Raises:
        ValueError: if the base is not above 1.

    Source:
        Shannon, "A Mathematical Theory of Communication", 1948.

    Example:
        >>> entropy(torch.tensor([0.5, 0.25, 0.25, 0.0]), base=2).item()
        1.5
    """
    (p,) = full_precision(p)
    terms: Tensor = torch.special.entr(p)
    return terms.sum(dim) / _unit(base)


def cross_entropy(q: Tensor, p: Tensor, base: float = math.e, dim: int = -1) -> Tensor:
    r"""Compute the cross-entropy of p relative to q, :math:`H(q, p) = -\sum_c q_c \log p_c`.

    Events of probability 0 under q contribute exactly 0, even if p is 0 too; it is infinite if only
    p is 0.

    Args:
        q: true probabilities, which sum to 1 along ``dim``.
        p: predicted probabilities, of the same shape.
        base: base of the logarithm; 2 gives bits, e gives nats.
        dim: dimension of the events, which is removed.

    Raises:
        ValueError: if the base is not above 1.

    Example:
        It equals the entropy if both are equal.

        >>> q = torch.tensor([0.5, 0.5, 0.0])
        >>> cross_entropy(q, q, base=2).item()
        1.0
    """
    q, p = full_precision(q, p)
    return -_weighted_log(q, p).sum(dim) / _unit(base)


def kl_divergence(q: Tensor, p: Tensor, base: float = math.e, dim: int = -1) -> Tensor:
    r"""Compute the Kullback-Leibler divergence, :math:`D(q \| p) = \sum_c q_c \log(q_c / p_c)`.

    It is never below 0, also not by rounding.

    Args:
        q: true probabilities, which sum to 1 along ``dim``.
        p: predicted probabilities, of the same shape.
        base: base of the logarithm; 2 gives bits, e gives nats.
        dim: dimension of the events, which is removed.

    Raises:
        ValueError: if the base is not above 1.

    Source:
        Kullback, Leibler, "On Information and Sufficiency", 1951.

    Example:
        It is 0 if both are equal.

        >>> q = torch.tensor([0.7, 0.3, 0.0])
        >>> kl_divergence(q, q).item()
        0.0
    """
    q, p = full_precision(q, p)
    excess: Tensor = -torch.special.entr(q) - _weighted_log(q, p)
    return not_negative(excess.sum(dim)) / _unit(base)


def _weighted_log(q: Tensor, p: Tensor) -> Tensor:
    """Compute ``q log p``, 0 with gradient 0 if both are 0."""
    nothing = (q == 0) & (p == 0)
    product: Tensor = torch.special.xlogy(q, p.masked_fill(nothing, 1))
    return product


def _unit(base: float) -> float:
    """Return the number of nats in one unit of the base."""
    require_at_least("base", base, 1, strict=True)
    return math.log(base)
