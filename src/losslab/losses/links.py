"""Inverse links: how the logits of a loss become probabilities."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

NamedLink = Literal["softmax", "sigmoid", "identity", "exp"]


@runtime_checkable
class Link(Protocol):
    """Inverse link of its own, for losses whose minimiser is not the softmax's or the sigmoid's."""

    @property
    def binary(self) -> bool:
        """Whether each logit is that of a binary outcome, as with the sigmoid.

        Otherwise the probabilities of the classes, dimension 1, sum to 1.
        """
        ...

    def log_probability(self, logits: Tensor) -> Tensor:
        """Compute the logarithms of the probabilities, of the shape of the logits."""
        ...


InverseLink = NamedLink | Link


def standard_link(inverse_link: InverseLink | None) -> Literal["softmax", "sigmoid"]:
    """Return the link that orders samples and is fitted by one temperature, for any loss."""
    one_vs_rest = inverse_link is not None and is_one_vs_rest(inverse_link)
    return "sigmoid" if one_vs_rest else "softmax"


def is_one_vs_rest(inverse_link: InverseLink) -> bool:
    """Return whether each class is a binary outcome by itself, as with the sigmoid."""
    return inverse_link == "sigmoid" or getattr(inverse_link, "binary", False)


@dataclass(frozen=True)
class FocalLink:
    r"""Inverse link of the focal loss.

    With v the softmax of the logits (the sigmoid and its complement, if binary),

    .. math::

        p_k = \frac{h(v_k)}{\sum_j h(v_j)}, \qquad
        h(v) = \frac{v}{(1 - v)^\gamma - \gamma (1 - v)^{\gamma - 1} v \log v}

    For :math:`\gamma = 0` it is the softmax.

    Args:
        gamma: that of the loss.
        binary: whether each logit is that of a binary outcome.

    Source:
        Charoenphakdee et al., "On Focal Loss for Class-Posterior Probability Estimation: A
        Theoretical Perspective", CVPR 2021.

    Example:
        The focal loss is least at these logits if the classes have probabilities .6, .3 and .1.

        >>> logits = torch.tensor([[0.4890, 0.3533, 0.1577]]).log()
        >>> [round(p, 2) for p in FocalLink(2.0).log_probability(logits).exp()[0].tolist()]
        [0.6, 0.3, 0.1]
    """

    gamma: float
    binary: bool = False

    def log_probability(self, logits: Tensor) -> Tensor:
        """Compute the logarithms of the probabilities, in float64."""
        logits = logits.double()
        if self.binary:
            positive, negative = (
                self._log_h(logsigmoid(sign * logits), logsigmoid(-sign * logits))
                for sign in (1, -1)
            )
            return positive - torch.logaddexp(positive, negative)
        log = logits.log_softmax(dim=1)
        log_h = self._log_h(log, log - softmax_log_odds(logits))
        return log_h - log_h.logsumexp(dim=1, keepdim=True)

    def _log_h(self, log_v: Tensor, log_rest: Tensor) -> Tensor:
        """Compute log h(v) from log v and log(1 - v), so that nothing is rounded to 0 or 1."""
        # -log v is 1 - v near v = 1, where log v may be rounded to 0
        log_nats = torch.where(log_v > -1e-8, log_rest, (-log_v).log())
        log_gamma = math.log(self.gamma) if self.gamma > 0 else -math.inf
        weighted = log_gamma + log_v + log_nats
        return log_v - (self.gamma - 1) * log_rest - torch.logaddexp(log_rest, weighted)


@dataclass(frozen=True)
class SmoothedLink:
    r"""Inverse link of cross-entropy with label smoothing.

    .. math:: p = \frac{\operatorname{softmax}(z) - \varepsilon / C}{1 - \varepsilon}

    It is cut at 0 and scaled to a sum of 1: more confident logits than certainty gives do occur.

    Args:
        smoothing: the share of the target that is spread evenly, below 1.

    Source:
        The minimiser of Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2016, section 7.
    """

    smoothing: float
    binary: ClassVar[bool] = False

    def log_probability(self, logits: Tensor) -> Tensor:
        """Compute the logarithms of the probabilities, in float64."""
        softmax = logits.double().softmax(dim=1)
        return ClippedLink().log_probability(softmax - self.smoothing / logits.shape[1])


@dataclass(frozen=True)
class ClippedLink:
    """Inverse link of losses that fit scores to one-hot targets, such as the squared error.

    The scores estimate the probabilities themselves; they are cut at 0 and scaled to a sum of 1.
    """

    binary: ClassVar[bool] = False

    def log_probability(self, logits: Tensor) -> Tensor:
        """Compute the logarithms of the probabilities, in float64."""
        cut = logits.double().clamp(min=0)
        total = cut.sum(dim=1, keepdim=True)
        return torch.where(total > 0, cut / total, 1 / logits.shape[1]).log()


def softmax_log_odds(logits: Tensor) -> Tensor:
    r"""Compute the log-odds of each class, :math:`\log p_c - \log (1 - p_c)`, in float64.

    p is the softmax of the logits along dimension 1. Logarithms of probabilities are logits, too.
    """
    logits = logits.double()
    logits = logits - logits.amax(dim=1, keepdim=True)  # so that shifted logits give the same
    log = logits.log_softmax(dim=1)
    # 1 - p of the largest class is summed from the others, as it may be too small for a difference
    classes = torch.arange(logits.shape[1], device=logits.device)
    classes = classes.view(-1, *[1] * (logits.ndim - 2))
    largest = logits.argmax(dim=1, keepdim=True) == classes
    others = logits.masked_fill(largest, -math.inf).logsumexp(dim=1, keepdim=True)
    return torch.where(largest, -others, log - torch.log1p(-log.exp()))
