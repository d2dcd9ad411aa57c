"""Metric learning: embeddings in which samples of a class are near each other."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from losslab.config.specs import TASKS
from losslab.data.streaming import are_in_memory, batches_of, whole_inputs
from losslab.losses.base import TargetFormat
from losslab.losses.links import InverseLink
from losslab.metrics.retrieval import mean_of_known, retrieval, silhouette
from losslab.metrics.verification import verification
from losslab.tasks.base import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData


class MetricLearningTask(Task):
    """Metric learning: embeddings (N, D) with class labels (N,).

    Metrics, by cosine similarity within a split:
        recall_at_1, map_at_r and silhouette.
        eer, tar_at_far_1e-2 and tar_at_far_1e-3, over the pairs of samples, see
        :func:`~losslab.metrics.verification.verification`.
        If classes were held out of training: recall_at_1_held_out and map_at_r_held_out, whose
        queries are the samples of these classes.

    Scores of samples: all but those of pairs; NaN for samples without a value.

    Args:
        data: data module with class targets.
        dimensions: dimensions D of an embedding.

    Raises:
        ValueError: if the targets are not classes, or ``dimensions < 1``.
    """

    spec = TASKS["MetricLearningTask"]
    provides: tuple[TargetFormat, ...] = (TargetFormat.LABELLED_EMBEDDINGS,)

    def __init__(self, data: Any, dimensions: int = 32) -> None:
        super().__init__(data)
        if dimensions < 1:
            raise ValueError(f"task.definition.dimensions must be at least 1, got {dimensions}")
        self.outputs = dimensions
        self.class_names: list[str] = data.class_names or [str(c) for c in range(data.outputs)]
        self.held_out: tuple[int, ...] = getattr(data, "held_out_classes", ())

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the metrics listed above."""
        scores = self.scores(prediction, target, inverse_link, chosen)
        means = {name: mean_of_known(value) for name, value in scores.items()}
        return means | verification(prediction, target)

    def scores(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the scores listed above."""
        values = retrieval(prediction, target)
        values["silhouette"] = silhouette(prediction, target)
        if self.held_out:
            unseen = torch.isin(target, torch.tensor(self.held_out, device=target.device))
            for name in ("recall_at_1", "map_at_r"):
                values[f"{name}_held_out"] = values[name].where(unseen, torch.nan)
        return values

    def baselines(self, data: Any, untrained: nn.Module) -> dict[str, dict[str, float]]:
        """Compute the same metrics of the untrained network's embeddings, and of raw inputs.

        Those of raw inputs are left out if these are not in memory.
        """
        untrained.eval()
        with torch.no_grad():
            batches = batches_of(data.test, data.batch_size, shuffle=False)
            embeddings = torch.cat([untrained(inputs) for inputs, *_ in batches])
        untrained.train()
        rows = {"untrained": embeddings}
        if are_in_memory(data.test):
            rows = {"raw_inputs": whole_inputs(data.test), **rows}
        target = data.test.targets
        return {
            name: {key: float(value) for key, value in self.metrics(each, target, None, {}).items()}
            for name, each in rows.items()
        }

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "Mapping[str, Figure | FigureData]":
        """Plot the embeddings in two dimensions, coloured by class."""
        from losslab.tasks import drawing  # noqa: PLC0415 (matplotlib: only where it is drawn)

        return {"embedding": drawing.embedding(prediction, target, self.class_names)}

    def embedding(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, list[str]]:
        """Return the normalised embeddings and the names of their classes."""
        return normalize(prediction), [self.class_names[label] for label in target.tolist()]
