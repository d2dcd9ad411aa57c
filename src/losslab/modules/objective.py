"""The objective and the metrics of supervised learning, as functions of prediction and target."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from losslab.losses.base import Loss, TargetFormat, sum_of
from losslab.losses.links import InverseLink
from losslab.losses.totals import Totals, totals_of
from losslab.modules.global_batch import sum_over_ranks
from losslab.tasks.base import Task


class Supervision:
    """Objective of a training step, and metrics of a split.

    Both are functions of prediction and target (and, for a regularizer, of the weights), so that
    they can also be mapped over many runs by ``torch.func.vmap``. Targets are those of the data.

    Args:
        task: provides targets and metrics.
        loss: any module called as ``loss(prediction, target)``.
        target_format: target format that the loss accepts.
        inverse_link: how the loss converts logits to probabilities; ``None`` if it does not.
        regularizer: called with the network's named parameters, or ``None``.
        references: reference losses of the task by name, with their target formats.
        totals: computes totals and counts of a loss of another library; losses of this project do
            it themselves.
        adds_up: whether totals and counts of parts of a batch add up to those of the batch.

    Attributes:
        sums_ranks: whether prediction and target are a part of the global batch, of whose parts
            totals and counts are to be summed.
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
        totals: Totals | None = None,
        adds_up: bool = False,
    ) -> None:
        self.task = task
        self.loss = loss
        self.target_format = target_format
        self.inverse_link: InverseLink | None = inverse_link
        self.regularizer = regularizer
        self.references = dict(references or {})
        self.totals = totals_of(loss) if totals is None else totals
        self.adds_up = adds_up
        self.sums_ranks = False

    @property
    def maps_metrics(self) -> bool:
        """Whether :meth:`evaluate` may be mapped over many runs by ``torch.func.vmap``."""
        return self.task.maps_metrics and getattr(self.inverse_link, "maps", True)

    def components(
        self,
        prediction: Tensor,
        target: Tensor,
        parameters: Mapping[str, Tensor],
        weights: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the components that sum to the objective of a batch, by name.

        With a regularizer, these are ``data``, the whole loss, and ``regularizer``.

        Args:
            prediction: outputs of the network.
            target: targets of the data.
            parameters: the network's parameters by name.
            weights: sample weights (N,), if the data have them.
        """
        components = self.loss_components(prediction, target, weights)
        if self.regularizer is None:
            return components
        return {"data": sum_of(components), "regularizer": self.regularizer(parameters)}

    def loss_components(
        self, prediction: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the components of the loss alone; see :meth:`components`."""
        if weights is not None or self.sums_ranks:
            return {"loss": self.from_total(*self.total(prediction, target, weights))}
        return loss_components(
            self.loss, *self.task.seen_by_loss(prediction, target, self.target_format)
        )

    def total(
        self, prediction: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the total of a batch and the count that its mean divides by.

        See :meth:`Loss.total`.
        """
        seen = self.task.seen_by_loss(prediction, target, self.target_format)
        total, count = self.totals.total(*seen, weights)
        if self.sums_ranks:
            total, count = sum_over_ranks(torch.stack([total, count.to(total)])).unbind()
        return total, count

    def from_total(self, total: Tensor, count: Tensor) -> Tensor:
        """Compute the loss from the totals and counts of one or several batches."""
        return self.totals.from_total(total, count)

    @property
    def has_diagnostics(self) -> bool:
        """Whether the loss has diagnostics."""
        own = isinstance(self.loss, Loss) and type(self.loss).diagnostics is not Loss.diagnostics
        return bool(own)

    def diagnostics(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Compute the diagnostics of the loss, by the name of their curve."""
        if not isinstance(self.loss, Loss):
            return {}
        with torch.no_grad():
            diagnostics = self.loss.diagnostics(
                *self.task.seen_by_loss(prediction.detach(), target, self.target_format)
            )
        return {f"fact/{name}": value for name, value in diagnostics.items()}

    def evaluate(
        self, prediction: Tensor, target: Tensor, chosen: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """Compute the loss, metrics and reference losses of a whole split, by name.

        Args:
            prediction: outputs of the network.
            target: targets of the data.
            chosen: values that the task fitted on validation; empty during training.
        """
        values = {"loss": self._value(self.loss, self.target_format, prediction, target)}
        estimated = self.estimated(prediction)
        values |= self.task.metrics(estimated, target, self.inverse_link, chosen)
        for name, (loss, target_format) in self.references.items():
            values[f"ref/{name}"] = self._value(loss, target_format, prediction, target)
        return values

    def scores(
        self, prediction: Tensor, target: Tensor, chosen: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """Compute the scores of each sample of a split, see :meth:`Task.scores`."""
        return self.task.scores(self.estimated(prediction), target, self.inverse_link, chosen)

    def estimated(self, prediction: Tensor) -> Tensor:
        """Return the values that predictions stand for; those of a log rate are its exponential."""
        return prediction.exp() if self.inverse_link == "exp" else prediction

    def _value(
        self, loss: nn.Module, target_format: TargetFormat, prediction: Tensor, target: Tensor
    ) -> Tensor:
        training = loss.training
        loss.eval()  # weights that change have their last value
        try:
            value: Tensor = loss(*self.task.seen_by_loss(prediction, target, target_format))
        finally:
            loss.train(training)
        return value.mean()


def loss_components(loss: nn.Module, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Compute the weighted components of a loss, by name; most losses have one, ``loss``."""
    if isinstance(loss, Loss):
        return loss.components(prediction, target)
    return {"loss": loss(prediction, target)}
