"""Metrics of predicted probabilities, which depend on the inverse link of the run's loss."""

import math

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from losslab.losses.links import (
    InverseLink,
    Link,
    NamedLink,
    is_one_vs_rest,
    softmax_log_odds,
)


def to_probability(logits: Tensor, inverse_link: InverseLink) -> Tensor:
    """Convert logits (N, C) to probabilities, float64 (N, C).

    If classes are one-vs-rest, as with the sigmoid, their probabilities need not sum to one.
    """
    if isinstance(inverse_link, Link):
        return inverse_link.log_probability(logits).exp()
    logits = logits.double()
    if inverse_link == "softmax":
        return logits.softmax(dim=1)
    return logits.sigmoid() if inverse_link == "sigmoid" else logits


def log_odds(logits: Tensor, inverse_link: NamedLink) -> Tensor:
    r"""Compute the log-odds of each class, :math:`\log p_c - \log (1 - p_c)`, in float64.

    They order samples as the probabilities do, but stay apart where these round to 0 or 1. Those of
    softmax are rounded to the precision of float32, so that equal ones are equal.

    Args:
        logits: (N, C, *).
        inverse_link: how logits are converted to probabilities.

    Example:
        >>> log_odds(torch.tensor([[0.0, 40.0], [0.0, 41.0]]), "softmax")[:, 1]
        tensor([40., 41.], dtype=torch.float64)
    """
    if inverse_link == "softmax":
        return softmax_log_odds(logits).float().double()
    return logits.double()


def brier_score(probability: Tensor, target: Tensor) -> Tensor:
    r"""Compute the Brier score of each sample, :math:`\sum_c (p_c - t_c)^2`.

    Args:
        probability: predicted probabilities (N, C).
        target: one-hot targets (N, C).

    Returns:
        One score per sample, (N,).

    Source:
        Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950.

    Example:
        >>> brier_score(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]])).item()
        0.0
    """
    return (probability - target).square().sum(dim=1)


def predictive_entropy(
    logits: Tensor, inverse_link: InverseLink, probability: Tensor | None = None
) -> Tensor:
    """Compute the entropy of each sample in nats; binary entropies, if one-vs-rest, are summed.

    Args:
        logits: (N, C).
        inverse_link: how logits are converted to probabilities.
        probability: what :func:`to_probability` makes of the logits, if it is at hand.

    Example:
        >>> round(predictive_entropy(torch.zeros(1, 2), "softmax").item(), 4)
        0.6931
    """
    if probability is None:
        probability = to_probability(logits, inverse_link)
    entropy = torch.special.entr(probability)
    if inverse_link == "sigmoid":
        entropy = entropy + torch.special.entr(to_probability(-logits, inverse_link))
    elif is_one_vs_rest(inverse_link):
        entropy = entropy + torch.special.entr(1 - probability)
    per_sample: Tensor = entropy.sum(dim=1)
    return per_sample


def negative_log_likelihood(logits: Tensor, target: Tensor, inverse_link: InverseLink) -> Tensor:
    r"""Compute the negative log-likelihood of each sample in nats.

    If one-vs-rest, each class is a binary outcome, and the values of all classes are summed.

    Args:
        logits: (N, C).
        target: one-hot or 0/1 targets (N, C).
        inverse_link: how logits are converted to probabilities.

    Returns:
        One value per sample, float64 (N,).

    Example:
        >>> target = torch.tensor([[0.0, 1.0]])
        >>> round(negative_log_likelihood(torch.zeros(1, 2), target, "softmax").item(), 4)
        0.6931
        >>> round(negative_log_likelihood(torch.zeros(1, 2), target, "sigmoid").item(), 4)
        1.3863
    """
    logits, target = logits.double(), target.double()
    if inverse_link == "sigmoid":
        elements = binary_cross_entropy_with_logits(logits, target, reduction="none")
        return elements.sum(dim=1)
    if isinstance(inverse_link, Link):
        log = inverse_link.log_probability(logits)
        if inverse_link.binary:
            rest = torch.log1p(-log.exp())
            log, target = torch.cat([log, rest], dim=1), torch.cat([target, 1 - target], dim=1)
    elif inverse_link == "softmax":  # the logarithm of p itself is 0 for each p that rounds to 1
        log = -torch.logaddexp(logits.new_zeros(()), -softmax_log_odds(logits))
    else:
        log = logits.log()
    # a class without probability counts only where it is the target
    return -torch.where(target > 0, target * log, 0).sum(dim=1)


def log_likelihood(logits: Tensor, target: Tensor, inverse_link: InverseLink) -> Tensor:
    """Compute the log-probability of the one true class of each sample in nats.

    One-vs-rest probabilities are divided by their sum, so that those of all losses sum to one.

    Args:
        logits: (N, C).
        target: true classes (N,).
        inverse_link: how logits are converted to probabilities.

    Returns:
        One value per sample, float64 (N,); minus infinity for a probability of 0.

    Example:
        >>> round(log_likelihood(torch.zeros(1, 4), torch.tensor([2]), "sigmoid").exp().item(), 4)
        0.25
    """
    if isinstance(inverse_link, Link):
        log = inverse_link.log_probability(logits)
    elif inverse_link == "sigmoid":
        log = logsigmoid(logits.double())
    else:
        log = logits.double() if inverse_link == "softmax" else logits.double().log()
    if inverse_link == "softmax" or is_one_vs_rest(inverse_link):
        log = log.log_softmax(dim=1)
    return log.gather(1, target.unsqueeze(1)).squeeze(1)


def information_gain(predicted: Tensor, guessed: Tensor) -> Tensor:
    r"""Compute the bits per sample that predictions save over guessing.

    .. math:: \log_2 p_y - \log_2 r_y

    p is the predicted distribution, r that of the training labels, and y what was true. The mean
    over samples is the cross-entropy of guessing minus that of the predictions. It is 0 for
    predictions that ignore the input, negative for worse ones, and at most the cross-entropy of
    guessing.

    Args:
        predicted: :math:`\log p_y` of each sample in nats, (N,).
        guessed: :math:`\log r_y` of each sample in nats, (N,).

    Returns:
        One value per sample, (N,): minus infinity if the prediction ruled out what was true, NaN if
        training never had it, so that there is nothing to compare with.

    Source:
        Roulston and Smith, "Evaluating Probabilistic Forecasts Using Information Theory", 2002.

    Example:
        Certainty saves the two bits of one of four equally frequent classes.

        >>> information_gain(torch.tensor([1.0]).log(), torch.tensor([0.25]).log()).item()
        2.0
    """
    gain = (predicted - guessed) / math.log(2)
    return torch.where(guessed.isinf(), torch.nan, gain)


def fit_temperature(logits: Tensor, target: Tensor, inverse_link: NamedLink) -> tuple[float, float]:
    """Find the temperature T that minimises the negative log-likelihood of ``logits / T``.

    Args:
        logits: (N, C).
        target: one-hot or 0/1 targets (N, C).
        inverse_link: how logits are converted to probabilities.

    Returns:
        The temperature, and the mean of :func:`negative_log_likelihood` at it.

    Source:
        Guo et al., "On Calibration of Modern Neural Networks", 2017.

    Example:
        >>> target = torch.tensor([[0, 1], [0, 1], [0, 1], [1, 0]])
        >>> temperature, nll = fit_temperature(torch.tensor([[0.0, 8.0]] * 4), target, "softmax")
        >>> round(8 / temperature, 3), round(nll, 4)  # log-odds of 3/4, and its entropy
        (1.099, 0.5623)
    """
    logits, target = logits.detach().double().cpu(), target.double().cpu()
    # temperatures are tried relative to the size of the logits, which has no natural scale
    origin = logits.amin(dim=1, keepdim=True) if inverse_link == "softmax" else 0
    size = float((logits - origin).abs().max())
    unit = size if 0 < size < math.inf else 1.0
    logits = logits / unit
    # relative to the true class, so that the likelihood of confident predictions does not cancel
    lead = logits - (logits * target).sum(dim=1, keepdim=True)
    # in NumPy, since a run fits small arrays often, where calls into torch cost more
    largest = lead.amax(dim=1).numpy()
    below = (lead - lead.amax(dim=1, keepdim=True)).numpy()
    against = ((1 - 2 * target) * logits).numpy()

    def nll(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        if inverse_link == "softmax":
            rest = np.exp(below * scale).sum(axis=1)
            return float((largest * scale + np.log(rest)).mean())
        return float(np.logaddexp(0, against * scale).sum(axis=1).mean())

    with np.errstate(invalid="ignore"):  # a network that diverges has an undefined likelihood
        fitted = minimize_scalar(
            nll,
            bounds=(math.log(1e-6), math.log(1e6)),
            method="bounded",
            options={"xatol": 1e-4},
        )
    return unit * math.exp(float(fitted.x)), float(fitted.fun)
