"""One optimizer step for several accumulated batches, as for their union.

Each batch adds the gradient of its total, and the sum of these is scaled once, when the counts of
all are known. Lightning would average the batches' means instead, which differs if their counts
do (class weights, sample weights, ignored targets, a smaller last batch), and divides a window at
the end of an epoch by the number of batches of a full one.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from losslab.modules.objective import Supervision


class Window:
    """Batches since the last optimizer step.

    Args:
        supervision: the run's objective.
    """

    def __init__(self, supervision: Supervision) -> None:
        self._supervision = supervision
        self._total: Tensor | None = None
        self._count: Tensor
        self._unit: Tensor

    def add(self, total: Tensor, count: Tensor) -> Tensor:
        """Add a batch, and return the number to differentiate.

        It is the total divided by the first batch's count, so that the gradient has the size of
        that of a mean, for which half precision is made.
        """
        if self._total is None:
            self._total, self._count = total.detach(), count.detach()
            self._unit = self._count.where(self._count > 0, 1)
        else:
            self._total, self._count = self._total + total.detach(), self._count + count.detach()
        return total / self._unit

    def finish(
        self, optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]
    ) -> None:
        """Turn the optimizer's gradients into those of the objective of all batches.

        Args:
            optimizer: holds the parameters whose gradients were accumulated.
            parameters: the network's parameters by name, for the regularizer.
        """
        assert self._total is not None, "an optimizer step follows at least one batch"
        scale = self._unit * self._slope(self._total, self._count)
        self._total = None
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.mul_(scale)
        self._add_regularizer(parameters)

    def _slope(self, total: Tensor, count: Tensor) -> Tensor:
        """Differentiate the loss with respect to its total."""
        with torch.enable_grad():
            total = total.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self._supervision.from_total(total, count), total)
        return slope

    def _add_regularizer(self, parameters: Mapping[str, nn.Parameter]) -> None:
        if self._supervision.regularizer is None:
            return
        own = [parameter for parameter in parameters.values() if parameter.requires_grad]
        with torch.enable_grad():
            penalty = self._supervision.regularizer(parameters)
            # not backward(), which DistributedDataParallel allows in its own forward passes only
            slopes = torch.autograd.grad(penalty, own, allow_unused=True)
        for parameter, slope in zip(own, slopes, strict=True):
            if slope is not None:
                parameter.grad = slope if parameter.grad is None else parameter.grad + slope
