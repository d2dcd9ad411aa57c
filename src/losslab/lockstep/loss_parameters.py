"""Parameters of the losses of stacked runs."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from losslab.lockstep.optimizers import RowOptimizer, RowState


class LossParameters:
    """Stacked parameters of the losses of a block of runs, with their optimizer.

    Args:
        losses: loss of each run, with parameters of the same names and shapes. The optimizer holds
            those that require gradients, the same of each loss.
        optimizers: the runs' own optimizers, whose second group has the options.
        states: state of each optimizer; see :class:`RowOptimizer`.

    Attributes:
        values: stacked parameters by name, (rows, *).

    Example:
        >>> losses = [nn.Linear(1, 1, bias=False) for _ in range(3)]
        >>> runs = [
        ...     torch.optim.SGD([{"params": [torch.zeros(1)]}, {"params": loss.parameters()}])
        ...     for loss in losses
        ... ]
        >>> LossParameters(losses, runs).values["weight"].shape
        torch.Size([3, 1, 1])
    """

    def __init__(
        self,
        losses: Sequence[nn.Module],
        optimizers: Sequence[Optimizer],
        states: Sequence[RowState] | None = None,
    ) -> None:
        self._rows = len(losses)
        own = [dict(loss.named_parameters()) for loss in losses]
        self.values = {
            name: torch.stack([row[name].detach() for row in own]).requires_grad_(one.requires_grad)
            for name, one in own[0].items()
        }
        self._optimizer: RowOptimizer | None = None
        if self.trained:
            self._optimizer = RowOptimizer(self.trained, optimizers, states, group=1)

    @property
    def trained(self) -> dict[str, Tensor]:
        """Parameters that the optimizer changes, by name."""
        return {name: value for name, value in self.values.items() if value.requires_grad}

    def rows(self) -> list[dict[str, Tensor]]:
        """Return views of each loss's parameters, by name."""
        return [
            {name: value.detach()[row] for name, value in self.values.items()}
            for row in range(self._rows)
        ]

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows, in this order."""
        index, self._rows = list(rows), len(rows)
        self.values = {
            name: value.detach()[index].requires_grad_(value.requires_grad)
            for name, value in self.values.items()
        }
        if self._optimizer is not None:
            self._optimizer.keep(self.trained, rows)

    def step(self, gradients: Mapping[str, Tensor]) -> None:
        """Take an optimizer step of all rows."""
        if self._optimizer is not None:
            self._optimizer.step(gradients)

    def regroup(self) -> None:
        """Apply the current options of the runs' optimizers."""
        if self._optimizer is not None:
            self._optimizer.regroup()

    def states(self) -> list[RowState]:
        """Return the optimizer state of each run; see :meth:`RowOptimizer.rows`."""
        return [{}] * self._rows if self._optimizer is None else self._optimizer.rows()
