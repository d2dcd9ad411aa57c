"""Formulas of the adversarial losses, element by element, from raw discriminator logits."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.losses.base import full_precision


class Game(NamedTuple):
    """What the two players pay for a logit; each function is element-wise."""

    real: Callable[[Tensor], Tensor]
    """The discriminator, for the logit of a real sample."""
    fake: Callable[[Tensor], Tensor]
    """The discriminator, for the logit of a generated sample."""
    generator: Callable[[Tensor], Tensor]
    """The generator, for the logit of its sample."""


def softplus(logits: Tensor) -> Tensor:
    """``log(1 + exp(z))``, exact in float64 too, where torch's softplus cuts at 20."""
    return -F.logsigmoid(-logits)


GAMES = {
    # -log D(x) - log(1 - D(G)); the generator maximises log D(G)
    "non_saturating": Game(lambda z: softplus(-z), softplus, lambda z: softplus(-z)),
    # the same discriminator; the generator minimises log(1 - D(G))
    "minimax": Game(lambda z: softplus(-z), softplus, lambda z: -softplus(z)),
    "least_squares": Game(
        lambda z: (z - 1).square() / 2, lambda z: z.square() / 2, lambda z: (z - 1).square() / 2
    ),
    "hinge": Game(lambda z: F.relu(1 - z), lambda z: F.relu(1 + z), lambda z: -z),
    "wasserstein": Game(lambda z: -z, lambda z: z, lambda z: -z),
}


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mixing: Tensor
) -> Tensor:
    """``(|grad_x D(x)| - 1)**2`` for each ``x = mixing * real + (1 - mixing) * fake``: ``(N,)``.

    Differentiable in the parameters of the discriminator; the samples are constants.

    Args:
        discriminator: gives ``(N, *)`` logits for ``(N, *)`` samples, each from its own sample.
        real: ``(N, *)``.
        fake: of the same shape.
        mixing: numbers in [0, 1], ``(N,)``.
    """
    real, fake = full_precision(real, fake)
    mixing = mixing.view(-1, *[1] * (real.dim() - 1)).to(real.dtype)
    points = torch.lerp(fake.detach(), real.detach(), mixing)
    slope = torch.func.grad(lambda samples: discriminator(samples).sum())(points)
    norm = torch.linalg.vector_norm(slope.unsqueeze(-1).flatten(1), dim=1)
    penalty: Tensor = (norm - 1).square()
    return penalty
