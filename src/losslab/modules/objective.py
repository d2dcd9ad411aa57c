"""What is made of a supervised network's prediction, whoever computed it."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from losslab.losses.base import InverseLink, Loss, TargetFormat
from losslab.tasks.base import Task


class Supervision:
    """The objective of a training step and the judgement of a split.

    All are functions of prediction and target alone (the regularizer's penalty of the weights): one
    run calls them, and many runs trained together are mapped over them by ``torch.func.vmap``.
    Targets come as the data have them.

    Args:
        task: gives the targets and the metrics.
        loss: any module called ``loss(prediction, target)``.
        target_format: the target format that the loss reads.
        inverse_link: how the loss makes a probability of a logit; ``None`` where it does not.
        regularizer: called with the network's named parameters, or ``None``.
        references: the losses that judge every run of the task, by name, with their target_formats.
        sample_loss: the loss with ``reduction="none"``, for data whose samples have weights.
    """

    def __init__(
        self,
        task: Task,
        loss: nn.Module,
        *,
        target_format: TargetFormat,
        inverse_link: InverseLink | None,
        regularizer: Callable[[Mapping[str, Tensor]], Tensor] | None = None,
        references: Mapping[str, tuple[nn.Module, TargetFormat]] | None = None,
        sample_loss: nn.Module | None = None,
    ) -> None:
        self.task = task
        self.loss = loss
        self.target_format = target_format
        self.inverse_link: InverseLink | None = inverse_link
        self.regularizer = regularizer
        self.references = dict(references or {})
        self.sample_loss = sample_loss

    def components(
        self,
        prediction: Tensor,
        target: Tensor,
        parameters: Mapping[str, Tensor],
        weights: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The components that sum to the objective of a batch, by name.

        Beside a regularizer, the whole loss is the part ``data``.

        Args:
            prediction: the network's.
            target: the data's.
            parameters: the network's, by name.
            weights: of the samples, (N,), where they have some.
        """
        if weights is not None and self.sample_loss is not None:
            elements = self.sample_loss(prediction, self.task.target(target, self.target_format))
            components = {"loss": weighted_mean(elements, weights)}
        else:
            components = loss_components(
                self.loss, prediction, self.task.target(target, self.target_format)
            )
        if self.regularizer is None:
            return components
        return {"data": sum_of(components), "regularizer": self.regularizer(parameters)}

    def diagnostics(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """What the loss shows beside its value, by the name of the curve."""
        if not isinstance(self.loss, Loss):
            return {}
        with torch.no_grad():
            diagnostics = self.loss.diagnostics(
                prediction.detach(), self.task.target(target, self.target_format)
            )
        return {f"fact/{name}": value for name, value in diagnostics.items()}

    def judged(
        self, prediction: Tensor, target: Tensor, chosen: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """Loss, metrics and reference losses of a whole split, by name.

        Args:
            prediction: the network's.
            target: the data's.
            chosen: what the task chose on validation; empty while training.
        """
        values = {"loss": self._value(self.loss, self.target_format, prediction, target)}
        values |= self.task.metrics(prediction, target, self.inverse_link, chosen)
        for name, (loss, target_format) in self.references.items():
            values[f"ref/{name}"] = self._value(loss, target_format, prediction, target)
        return values

    def _value(
        self, loss: nn.Module, target_format: TargetFormat, prediction: Tensor, target: Tensor
    ) -> Tensor:
        value: Tensor = loss(prediction, self.task.target(target, target_format))
        return value.mean()


def loss_components(loss: nn.Module, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """The weighted components of a loss, by name; a loss that has no others has one."""
    if isinstance(loss, Loss):
        return loss.components(prediction, target)
    return {"loss": loss(prediction, target)}


def sum_of(components: Mapping[str, Tensor]) -> Tensor:
    """The sum of the components, in their order."""
    first, *others = components.values()
    for part in others:
        first = first + part
    return first


def weighted_mean(elements: Tensor, weights: Tensor) -> Tensor:
    r"""The samples' mean losses, weighted: :math:`\sum_i w_i \ell_i / \sum_i w_i`.

    Args:
        elements: a loss with ``reduction="none"``, (N, *).
        weights: (N,).
    """
    samples = elements.flatten(1).mean(dim=1) if elements.ndim > 1 else elements
    return (weights * samples).sum() / weights.sum()
