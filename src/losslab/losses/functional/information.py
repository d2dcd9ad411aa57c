r"""Measures of information of discrete distributions, in nats (base e) or bits (base 2).

Probabilities, not logits: these are for looking at predictions. The losses compute the same
measures from logits, where they stay exact for confident predictions.
"""

import math

import torch
from torch import Tensor

from losslab.losses.base import full_precision, require_at_least


def self_information(probability: Tensor, base: float = math.e) -> Tensor:
    r"""Surprise of an event, element-wise: :math:`-\log p`; infinite for p = 0.

    Args:
        probability: of the events, any shape.
        base: of the logarithm; 2 gives bits, e gives nats.

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
    r"""Expected surprise of a distribution: :math:`H(p) = -\sum_c p_c \log p_c`.

    An impossible event adds exactly 0.

    Args:
        p: probabilities that sum to 1 along ``dim``.
        base: of the logarithm; 2 gives bits, e gives nats.
        dim: the dimension of the events; the result is without it.

    Raises:
        ValueError: if the base is not above 1.

    Source:
        Shannon, "A Mathematical Theory of Communication", 1948.

    Example:
        >>> entropy(torch.tensor([0.5, 0.25, 0.25, 0.0]), base=2).item()
        1.5
    """
    (p,) = full_precision(p)
    surprise: Tensor = torch.special.entr(p)
    return surprise.sum(dim) / _unit(base)


def cross_entropy(q: Tensor, p: Tensor, base: float = math.e, dim: int = -1) -> Tensor:
    r"""Expected surprise at q for who believes p: :math:`H(q, p) = -\sum_c q_c \log p_c`.

    An event that q excludes adds exactly 0, even where p excludes it too; an event that only p
    excludes makes it infinite.

    Args:
        q: the true probabilities, which sum to 1 along ``dim``.
        p: the believed ones, of the same shape.
        base: of the logarithm; 2 gives bits, e gives nats.
        dim: the dimension of the events; the result is without it.

    Raises:
        ValueError: if the base is not above 1.

    Example:
        It is the entropy where both agree.

        >>> q = torch.tensor([0.5, 0.5, 0.0])
        >>> cross_entropy(q, q, base=2).item()
        1.0
    """
    q, p = full_precision(q, p)
    return -_weighted_log(q, p).sum(dim) / _unit(base)


def kl_divergence(q: Tensor, p: Tensor, base: float = math.e, dim: int = -1) -> Tensor:
    r"""Surprise in excess of q's own: :math:`D(q \| p) = \sum_c q_c \log(q_c / p_c)`.

    Args:
        q: the true probabilities, which sum to 1 along ``dim``.
        p: the believed ones, of the same shape.
        base: of the logarithm; 2 gives bits, e gives nats.
        dim: the dimension of the events; the result is without it.

    Raises:
        ValueError: if the base is not above 1.

    Source:
        Kullback, Leibler, "On Information and Sufficiency", 1951.

    Example:
        It is 0 where both agree.

        >>> q = torch.tensor([0.7, 0.3, 0.0])
        >>> kl_divergence(q, q).item()
        0.0
    """
    q, p = full_precision(q, p)
    excess: Tensor = -torch.special.entr(q) - _weighted_log(q, p)
    return excess.sum(dim) / _unit(base)


def _weighted_log(q: Tensor, p: Tensor) -> Tensor:
    """``q log p``, 0 with gradient 0 where both are 0."""
    nothing = (q == 0) & (p == 0)
    product: Tensor = torch.special.xlogy(q, p.masked_fill(nothing, 1))
    return product


def _unit(base: float) -> float:
    """How many nats one unit of the base is."""
    require_at_least("base", base, 1, strict=True)
    return math.log(base)
