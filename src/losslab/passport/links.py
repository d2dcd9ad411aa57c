"""Inverse links found by experiment: the probabilities under which given logits are optimal."""

from typing import ClassVar

import torch
from torch import Tensor, nn

CHUNK = 4096
"""Rows of logits that are solved at once."""
MOST_CLASSES = 100
"""More classes take too long: there is one row of logits per sample and class."""


class NumericLink:
    r"""Map from logits to the class probabilities of which they minimise the expected loss.

    For logits z of one sample, it solves the first-order condition

    .. math:: \sum_k p_k \nabla_z \ell(z, k) = 0, \qquad \sum_k p_k = 1

    by least squares. For cross-entropy the solution is the softmax.

    Args:
        loss: a loss whose terms depend on one sample each, called with class indices.
        one_hot: whether it takes one-hot targets instead of indices.
        binary: whether it takes single logits with 0/1 targets.

    Source:
        The first-order condition of a proper composite loss: Williamson, Vernet, Reid, "Composite
        Multiclass Losses", JMLR 2016.
    """

    maps: ClassVar[bool] = False
    """It may not be mapped by ``torch.func.vmap``, since it computes gradients."""

    def __init__(self, loss: nn.Module, *, one_hot: bool = False, binary: bool = False) -> None:
        self.loss = loss
        self.one_hot = one_hot
        self.binary = binary

    def log_probability(self, logits: Tensor) -> Tensor:
        """Compute the logarithms of the probabilities, in float64."""
        return self.probability(logits).log()

    def probability(self, logits: Tensor) -> Tensor:
        """Compute the probabilities, of the shape of the logits, in float64.

        It is done on the CPU, where the loss is, and where nearly singular systems can be solved.
        """
        with torch.inference_mode(False):  # in which Lightning tests, and nothing has gradients
            return self._probability(logits.detach().cpu().double().clone()).to(logits.device)

    def _probability(self, points: Tensor) -> Tensor:
        if self.binary:
            return self._of_elements(points)
        rows = points.movedim(1, -1)
        solved = [self._of_classes(part) for part in rows.reshape(-1, rows.shape[-1]).split(CHUNK)]
        return torch.cat(solved).reshape(rows.shape).movedim(-1, 1)

    def _of_elements(self, points: Tensor) -> Tensor:
        """Solve p f'(z, 1) + (1 - p) f'(z, 0) = 0."""
        positive = self._gradient(points, torch.ones_like(points))
        negative = self._gradient(points, torch.zeros_like(points))
        return (negative / (negative - positive)).clamp(0, 1)

    def _of_classes(self, rows: Tensor) -> Tensor:
        samples, classes = rows.shape
        labels = torch.arange(classes, device=rows.device).repeat(samples)
        target = nn.functional.one_hot(labels).double() if self.one_hot else labels
        gradients = self._gradient(rows.repeat_interleave(classes, dim=0), target)
        gradients = gradients.reshape(samples, classes, classes)
        # relative to the largest, as confident logits have small gradients
        scale = gradients.abs().amax(dim=(1, 2), keepdim=True)
        system = gradients.mT / scale.where(scale > 0, 1)
        system = torch.cat([system, system.new_ones(samples, 1, classes)], dim=1)
        right = system.new_zeros(samples, classes + 1, 1)
        right[:, -1] = 1  # the sum of the probabilities
        # gelsd: for confident logits the system is nearly singular
        solution: Tensor = torch.linalg.lstsq(system, right, driver="gelsd").solution
        return solution.squeeze(-1).clamp(0, 1)

    def _gradient(self, points: Tensor, target: Tensor) -> Tensor:
        points = points.detach().requires_grad_()
        with torch.enable_grad():
            value = self.loss(points, target).sum()
            gradient: Tensor = torch.autograd.grad(value, points)[0]
        return gradient

    def __repr__(self) -> str:
        return f"numeric link of {self.loss}"
