"""Images and texts in one space: the text of an image is near it, and the image of a text."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from losslab.config.specs import TASKS
from losslab.data.streaming import batches_of
from losslab.losses.base import TargetFormat
from losslab.losses.links import InverseLink
from losslab.metrics.retrieval import recall_across
from losslab.tasks.base import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData

PARTS = ["image", "text"]


class ImageTextTask(Task):
    """Images and texts in one space: pairs of embeddings (N, 2, D) with labels (N,).

    Metrics, by cosine similarity within a split; texts with equal labels are equally right:
        recall_at_1_image_to_text: share of the images whose nearest text has their label.
        recall_at_1_text_to_image: share of the texts whose nearest image has their label.
        recall_at_1: the mean of both.

    Losses of pairs get pairs. Losses of labelled embeddings get images and texts as 2N samples:
    then two images with equal labels are to be near each other, too, and others apart.

    Scores of pairs: all metrics.

    Args:
        data: data module of pairs, whose labels are equal if what they say is.
        dimensions: dimensions D of an embedding.

    Raises:
        ValueError: if the data are not pairs, or ``dimensions < 1``.
    """

    spec = TASKS["ImageTextTask"]
    provides: tuple[TargetFormat, ...] = (
        TargetFormat.LABELLED_EMBEDDINGS,
        TargetFormat.PAIRED_EMBEDDINGS,
    )

    def __init__(self, data: Any, dimensions: int = 32) -> None:
        super().__init__(data)
        if dimensions < 1:
            raise ValueError(f"task.definition.dimensions must be at least 1, got {dimensions}")
        self.outputs = dimensions

    def seen_by_loss(
        self, prediction: Tensor, target: Tensor, target_format: TargetFormat
    ) -> tuple[Tensor, Tensor]:
        """Return pairs, or images and texts as labelled embeddings (2N, D)."""
        if target_format is TargetFormat.PAIRED_EMBEDDINGS:
            return prediction, target
        return prediction.flatten(0, 1), target.repeat_interleave(2)

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the metrics listed above."""
        scores = self.scores(prediction, target, inverse_link, chosen)
        return {name: value.mean() for name, value in scores.items()}

    def scores(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the scores listed above."""
        images, texts = prediction.unbind(dim=1)
        to_text = recall_across(images, texts, target)
        to_image = recall_across(texts, images, target)
        return {
            "recall_at_1": (to_text + to_image) / 2,
            "recall_at_1_image_to_text": to_text,
            "recall_at_1_text_to_image": to_image,
        }

    def baselines(self, data: Any, untrained: nn.Module) -> dict[str, dict[str, float]]:
        """Compute the same metrics of the untrained network's embeddings."""
        untrained.eval()
        with torch.no_grad():
            batches = batches_of(data.test, data.batch_size, shuffle=False)
            pairs = torch.cat([untrained(inputs) for inputs, *_ in batches])
        untrained.train()
        values = self.metrics(pairs, data.test.targets, None, {})
        return {"untrained": {name: float(value) for name, value in values.items()}}

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "Mapping[str, Figure | FigureData]":
        """Plot the embeddings in two dimensions, images and texts in different colours."""
        from losslab.tasks import drawing  # noqa: PLC0415 (matplotlib: only where it is drawn)

        part = torch.arange(2).repeat(len(prediction))
        return {"embedding": drawing.embedding(prediction.flatten(0, 1), part, PARTS)}

    def embedding(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, list[str]]:
        """Return the normalised embeddings, and whether they are of images or texts."""
        return normalize(prediction.flatten(0, 1), dim=1), PARTS * len(prediction)
