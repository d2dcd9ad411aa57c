"""Information of known distributions in bits, as plain numbers (no torch).

The losses and :mod:`losslab.losses.functional.information` compute the same for tensors.
"""

import math
from collections.abc import Sequence

NATS_PER_BIT = math.log(2)


def self_information(p: float) -> float:
    r"""Compute the information of an event, :math:`-\log_2 p`; infinite for p = 0.

    Args:
        p: probability of the event.

    Source:
        Shannon, "A Mathematical Theory of Communication", 1948.

    Example:
        >>> self_information(1 / 8)
        3.0
    """
    return math.log2(1 / p) if p > 0 else math.inf


def entropy(p: Sequence[float]) -> float:
    r"""Compute the mean information of an outcome, :math:`H(p) = -\sum_k p_k \log_2 p_k`.

    Args:
        p: probabilities that sum to 1.

    Example:
        >>> entropy([0.5, 0.25, 0.25, 0.0])
        1.5
    """
    return cross_entropy(p, p)


def cross_entropy(p: Sequence[float], q: Sequence[float]) -> float:
    r"""Compute the cross-entropy, :math:`H(p, q) = -\sum_k p_k \log_2 q_k`.

    It is the expected loss of a model that predicts q. It is infinite if q excludes an outcome
    that occurs, and least for q = p.

    Args:
        p: true probabilities.
        q: predicted probabilities of the same outcomes.

    Example:
        >>> cross_entropy([0.5, 0.5], [0.25, 0.75]) > entropy([0.5, 0.5])
        True
    """
    return math.fsum(a * self_information(b) for a, b in zip(p, q, strict=True) if a > 0)


def kl_divergence(p: Sequence[float], q: Sequence[float]) -> float:
    r"""Compute the Kullback-Leibler divergence, :math:`KL(p\|q) = \sum_k p_k \log_2(p_k / q_k)`.

    It is what cross-entropy exceeds entropy by, and never negative.

    Args:
        p: true probabilities.
        q: predicted probabilities of the same outcomes.

    Source:
        Kullback, Leibler, "On Information and Sufficiency", 1951.

    Example:
        >>> kl_divergence([0.5, 0.5], [0.5, 0.5]), kl_divergence([1.0, 0.0], [0.25, 0.75])
        (0.0, 2.0)
    """
    pairs = [(a, b) for a, b in zip(p, q, strict=True) if a > 0]
    if any(b == 0 for _, b in pairs):
        return math.inf
    return max(0.0, math.fsum(a * math.log2(a / b) for a, b in pairs))


def independent(p: Sequence[float], q: Sequence[float]) -> list[float]:
    """Return the joint distribution of two independent events, whose informations add.

    Example:
        >>> independent([0.5, 0.5], [0.25, 0.75])
        [0.125, 0.375, 0.125, 0.375]
    """
    return [a * b for a in p for b in q]


def noise_entropy(noise: float, classes: int) -> float:
    r"""Compute the entropy of a label that is another class, any alike, with probability noise.

    .. math:: H = h(\varepsilon) + \varepsilon \log_2 (C - 1)

    with the entropy h of a binary outcome.

    Example:
        >>> noise_entropy(0.75, 4)  # all four classes alike
        2.0
    """
    return entropy([1 - noise, *[noise / (classes - 1)] * (classes - 1)])
