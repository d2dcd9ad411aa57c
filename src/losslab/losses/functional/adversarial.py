"""Element-wise formulas of the adversarial losses, from raw discriminator logits."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.losses.base import full_precision


class Game(NamedTuple):
    """Element-wise losses of discriminator and generator, as functions of a logit."""

    real: Callable[[Tensor], Tensor]
    """The discriminator's loss for the logit of a real sample."""
    fake: Callable[[Tensor], Tensor]
    """The discriminator's loss for the logit of a generated sample."""
    generator: Callable[[Tensor], Tensor]
    """The generator's loss for the logit of a generated sample."""


def softplus(logits: Tensor) -> Tensor:
    """Compute ``log(1 + exp(z))``, also exact in float64, where torch's softplus cuts off at 20."""
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
    """Compute ``(|grad_x D(x)| - 1)**2`` at ``x = mixing * real + (1 - mixing) * fake``, ``(N,)``.

    The result is differentiable in the parameters of the discriminator, not in the samples.

    Args:
        discriminator: maps samples ``(N, *)`` to logits ``(N, *)``, each sample independently.
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
