"""What is made of a supervised network's prediction, whoever computed it."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from losslab.losses.base import Link, Loss, Reads
from losslab.tasks.base import Task


class Supervision:
    """The objective of a training step and the judgement of a split.

    All are functions of prediction and target alone (the regularizer's penalty of the weights): one
    run calls them, and many runs trained together are mapped over them by ``torch.func.vmap``.
    Targets come as the data have them.

    Args:
        task: gives the targets and the metrics.
        loss: any module called ``loss(prediction, target)``.
        form: the target form that the loss reads.
        link: how the loss makes a probability of a logit; ``None`` where it does not.
        regularizer: called with the network's named parameters, or ``None``.
        references: the losses that judge every run of the task, by name, with their forms.
        sample_loss: the loss with ``reduction="none"``, for data whose samples have weights.
    """

    def __init__(
        self,
        task: Task,
        loss: nn.Module,
        *,
        form: Reads,
        link: Link | None,
        regularizer: Callable[[Mapping[str, Tensor]], Tensor] | None = None,
        references: Mapping[str, tuple[nn.Module, Reads]] | None = None,
        sample_loss: nn.Module | None = None,
    ) -> None:
        self.task = task
        self.loss = loss
        self.form = form
        self.link: Link | None = link
        self.regularizer = regularizer
        self.references = dict(references or {})
        self.sample_loss = sample_loss

    def parts(
        self,
        prediction: Tensor,
        target: Tensor,
        parameters: Mapping[str, Tensor],
        weights: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The parts that sum to the objective of a batch, by name.

        Beside a regularizer, the whole loss is the part ``data``.

        Args:
            prediction: the network's.
            target: the data's.
            parameters: the network's, by name.
            weights: of the samples, (N,), where they have some.
        """
        if weights is not None and self.sample_loss is not None:
            elements = self.sample_loss(prediction, self.task.target(target, self.form))
            parts = {"loss": weighted_mean(elements, weights)}
        else:
            parts = loss_parts(self.loss, prediction, self.task.target(target, self.form))
        if self.regularizer is None:
            return parts
        return {"data": sum_of(parts), "regularizer": self.regularizer(parameters)}

    def facts(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """What the loss shows beside its value, by the name of the curve."""
        if not isinstance(self.loss, Loss):
            return {}
        with torch.no_grad():
            facts = self.loss.facts(prediction.detach(), self.task.target(target, self.form))
        return {f"fact/{name}": value for name, value in facts.items()}

    def judged(
        self, prediction: Tensor, target: Tensor, chosen: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """Loss, metrics and reference losses of a whole split, by name.

        Args:
            prediction: the network's.
            target: the data's.
            chosen: what the task chose on validation; empty while training.
        """
        values = {"loss": self._value(self.loss, self.form, prediction, target)}
        values |= self.task.metrics(prediction, target, self.link, chosen)
        for name, (loss, form) in self.references.items():
            values[f"ref/{name}"] = self._value(loss, form, prediction, target)
        return values

    def _value(self, loss: nn.Module, form: Reads, prediction: Tensor, target: Tensor) -> Tensor:
        value: Tensor = loss(prediction, self.task.target(target, form))
        return value.mean()


def loss_parts(loss: nn.Module, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """The weighted parts of a loss, by name; a loss that has no others has one."""
    if isinstance(loss, Loss):
        return loss.terms(prediction, target)
    return {"loss": loss(prediction, target)}


def sum_of(parts: Mapping[str, Tensor]) -> Tensor:
    """The sum of the parts, in their order."""
    first, *others = parts.values()
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
