"""Scores of test samples that a run keeps, and which predictions it keeps with them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from losslab.runs.scores import Scores
from losslab.tasks.base import Task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoreOptions:
    """What a run keeps of its test samples.

    Predictions and targets are kept only if the primary metric does not follow from the scores, as
    is the case for AUROC, and if they are small enough.

    Attributes:
        primary: primary metric of the task.
        max_mb: maximum size of predictions and targets in MB, before compression.
    """

    primary: str
    max_mb: float

    def scores(
        self,
        sample: Tensor,
        values: Mapping[str, Tensor],
        task: Task,
        outputs: tuple[Tensor, Tensor] | None = None,
    ) -> Scores:
        """Collect what is kept, in the order of the samples.

        Args:
            sample: identity of each sample, (n,).
            values: scores by name, each (n,).
            task: the run's task.
            outputs: predictions and targets, (n, *), if there is one per sample.
        """
        arrays = {name: _array(value) for name, value in values.items()}
        follows = self.primary in values or self.primary in task.derived
        if follows or outputs is None:
            return Scores(sample.numpy(), arrays)
        prediction, target = map(_array, outputs)
        size = (prediction.nbytes + target.nbytes) / 1e6
        if size > self.max_mb:
            log.info(
                f"scores.npz has no predictions, since they and their targets take {size:.3g} MB, "
                f"more than scores_mb={self.max_mb:g}"
            )
            return Scores(sample.numpy(), arrays)
        return Scores(sample.numpy(), arrays, prediction, target)


def _array(values: Tensor) -> Any:
    values = values.detach().cpu()
    return (values.float() if values.is_floating_point() else values).numpy()
