"""Penalties on the weights of a network, to be added to a loss."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from losslab.losses.base import full_precision, require_at_least, require_between

NORMALISATIONS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


class Regularizer(nn.Module):
    """Base class of the penalties, called as ``regularizer(parameters)``.

    The penalty is a strength times a sum over all given weights, so the right strength depends on
    the scale of the loss: one that suits a mean over the batch is too small for a sum.

    Args:
        strength: factor of the penalty.
        include_bias: whether to penalise biases too.
        include_normalisation: whether to penalise the scales of normalisation layers too (their
            biases need both options).
    """

    def __init__(
        self,
        strength: float = 1e-4,
        include_bias: bool = False,
        include_normalisation: bool = False,
    ) -> None:
        super().__init__()
        require_at_least("strength", strength, 0)
        self.strength = strength
        self.include_bias = include_bias
        self.include_normalisation = include_normalisation

    def penalised(self, network: nn.Module) -> dict[str, Tensor]:
        """Return the network's parameters to penalise, by name; shared ones once."""
        left_out = set() if self.include_normalisation else _normalisation_parameters(network)
        return {
            name: parameter
            for name, parameter in network.named_parameters()
            if id(parameter) not in left_out
            and (self.include_bias or "bias" not in name.rpartition(".")[2])
        }

    def forward(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Compute the penalty of the parameters, 0 if there are none."""
        return self.strength * self.penalty(full_precision(*parameters.values()))

    @abstractmethod
    def penalty(self, weights: Iterable[Tensor]) -> Tensor:
        """Compute the penalty of the weights at strength 1."""

    def extra_repr(self) -> str:
        """Return the strength for ``print(regularizer)``."""
        return f"strength={self.strength}"


class L1Regularizer(Regularizer):
    r"""L1 penalty, which drives weights to exactly 0 (the lasso).

    .. math:: \ell = \lambda \sum_i |w_i|

    Args:
        strength: :math:`\lambda`.
        include_bias: whether to penalise biases too.
        include_normalisation: whether to penalise the scales of normalisation layers too.

    Raises:
        ValueError: if the strength is negative.

    Source:
        Tibshirani, "Regression Shrinkage and Selection via the Lasso", 1996.

    Example:
        >>> L1Regularizer(strength=0.5)({"weight": torch.tensor([3.0, -1.0])}).item()
        2.0
    """

    def penalty(self, weights: Iterable[Tensor]) -> Tensor:
        """Compute the sum of absolute values."""
        return _sum_of_magnitudes(weights)


class L2Regularizer(Regularizer):
    r"""L2 penalty (ridge, Tikhonov).

    .. math:: \ell = \frac{\lambda}{2} \sum_i w_i^2

    Its gradient :math:`\lambda w` passes through the optimizer like any other. With Adam it
    therefore differs from the decoupled weight decay of AdamW, which is not rescaled.

    Args:
        strength: :math:`\lambda`.
        include_bias: whether to penalise biases too.
        include_normalisation: whether to penalise the scales of normalisation layers too.

    Raises:
        ValueError: if the strength is negative.

    Source:
        Hoerl, Kennard, "Ridge Regression", 1970; decoupled decay: Loshchilov, Hutter, "Decoupled
        Weight Decay Regularization", 2019.

    Example:
        >>> L2Regularizer(strength=0.5)({"weight": torch.tensor([3.0, -1.0])}).item()
        2.5
    """

    def penalty(self, weights: Iterable[Tensor]) -> Tensor:
        """Compute half the sum of squares."""
        return _sum_of_squares(weights) / 2


class ElasticNetRegularizer(Regularizer):
    r"""Elastic net: a mixture of L1 and L2, which keeps or drops correlated weights together.

    .. math:: \ell = \lambda \left(r \sum_i |w_i| + \frac{1 - r}{2} \sum_i w_i^2\right)

    Args:
        strength: :math:`\lambda`.
        l1_ratio: r, the weight of L1.
        include_bias: whether to penalise biases too.
        include_normalisation: whether to penalise the scales of normalisation layers too.

    Raises:
        ValueError: if the strength is negative or the ratio is not between 0 and 1.

    Source:
        Zou, Hastie, "Regularization and Variable Selection via the Elastic Net", 2005.

    Example:
        For ``l1_ratio=1`` it is L1.

        >>> parameters = {"weight": torch.tensor([3.0, -1.0])}
        >>> ElasticNetRegularizer(strength=0.5, l1_ratio=1.0)(parameters).item()
        2.0
    """

    def __init__(
        self,
        strength: float = 1e-4,
        l1_ratio: float = 0.5,
        include_bias: bool = False,
        include_normalisation: bool = False,
    ) -> None:
        super().__init__(strength, include_bias, include_normalisation)
        require_between("l1_ratio", l1_ratio, 0, 1)
        self.l1_ratio = l1_ratio

    def penalty(self, weights: Iterable[Tensor]) -> Tensor:
        """Compute the mixture of both sums."""
        weights = tuple(weights)
        l1, l2 = _sum_of_magnitudes(weights), _sum_of_squares(weights) / 2
        return self.l1_ratio * l1 + (1 - self.l1_ratio) * l2


def _normalisation_parameters(network: nn.Module) -> set[int]:
    layers = (module for module in network.modules() if isinstance(module, NORMALISATIONS))
    return {id(parameter) for layer in layers for parameter in layer.parameters()}


def _sum_of_magnitudes(weights: Iterable[Tensor]) -> Tensor:
    return sum((weight.abs().sum() for weight in weights), start=torch.zeros(()))


def _sum_of_squares(weights: Iterable[Tensor]) -> Tensor:
    return sum((weight.square().sum() for weight in weights), start=torch.zeros(()))
