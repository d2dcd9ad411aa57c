"""Gradients of stacked runs, which are measured and clipped per run."""

from collections.abc import Mapping, Sequence
from itertools import islice

import torch
from torch import Tensor

from losslab.lockstep.objective import Values


class StackedGradients:
    """Gradients of K runs: of their networks, and of the parameters of their losses.

    Args:
        objective: sum of the runs' objectives.
        network: stacked parameters of the networks by name, (K, *).
        losses: parameters of the losses of each block of rows by name, (rows, *).
        rows: the rows of the blocks, which follow one another.

    Attributes:
        network: gradients of the networks by name.
        losses: gradients of the losses of each block by name.
    """

    def __init__(
        self,
        objective: Tensor,
        network: Mapping[str, Tensor],
        losses: Sequence[Mapping[str, Tensor]],
        rows: Sequence[slice],
    ) -> None:
        self.network, *self.losses = gradients_of(objective, [network, *losses])
        self._rows = rows

    def norms(self) -> Tensor:
        """Compute the norm of each run's gradient, of network and loss together, (K,)."""
        norms = norms_of_rows(self.network)
        blocks = [
            torch.hypot(norms[rows], norms_of_rows(own)) if own else norms[rows]
            for rows, own in zip(self._rows, self.losses, strict=True)
        ]
        return torch.cat(blocks)

    def clip(self, largest: float) -> None:
        """Scale each run's gradient, in place, to a norm of at most ``largest``."""
        norms = self.norms()
        clip_rows(self.network, norms, largest)
        for rows, own in zip(self._rows, self.losses, strict=True):
            clip_rows(own, norms[rows], largest)


def gradients_of(objective: Tensor, groups: Sequence[Mapping[str, Tensor]]) -> list[Values]:
    """Compute the gradients of an objective, without those of parameters that it does not read.

    Args:
        objective: sum of the runs' objectives.
        groups: stacked parameters by name.

    Returns:
        The gradients of each group, by name.
    """
    parameters = [value for group in groups for value in group.values()]
    found = iter(torch.autograd.grad(objective, parameters, allow_unused=True))
    return [
        {
            name: gradient
            for name, gradient in zip(group, islice(found, len(group)), strict=True)
            if gradient is not None
        }
        for group in groups
    ]


def norms_of_rows(gradients: Mapping[str, Tensor]) -> Tensor:
    """Compute the norm of each row of the gradients together, (K,)."""
    # a scalar parameter has a gradient (K,)
    each = [gradient.reshape(len(gradient), -1).norm(dim=1) for gradient in gradients.values()]
    norms: Tensor = torch.stack(each).norm(dim=0)
    return norms


def clip_rows(gradients: Mapping[str, Tensor], norms: Tensor, largest: float) -> None:
    """Scale each run's gradient, in place, to a norm of at most ``largest``.

    This is ``torch.nn.utils.clip_grad_norm_`` for each run.

    Args:
        gradients: gradients by name, (K, *).
        norms: norm of each run's gradient, of which these may be a part, (K,).
        largest: largest norm.
    """
    scale = (largest / (norms + 1e-6)).clamp(max=1)
    for gradient in gradients.values():
        gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))
