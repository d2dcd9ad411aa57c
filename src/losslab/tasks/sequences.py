"""Sequences of labels whose positions are unknown."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from losslab.config.specs import TASKS
from losslab.losses import SequenceTarget
from losslab.losses.base import TargetFormat
from losslab.losses.links import InverseLink
from losslab.metrics.text import edit_distance
from losslab.tasks.base import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData

BLANK = 0
COLUMNS_PER_STEP = 2  # columns of the image per time step of the prediction


class SequenceTask(Task):
    """Sequences of labels by logits (N, T, C) per time step; class 0 is the blank.

    Targets of the data are (N, U + 1): labels padded with 0, then the width of the image. A time
    step of the prediction covers two columns of the image.

    Metrics, after greedy decoding (see :func:`decode`):
        cer: character error rate, the edit distance over the number of true characters.
        exact_match: share of sequences without an error.

    Scores of sequences: exact_match, cer_edits (the edit distance) and cer_length (the number of
        true characters); the character error rate is the ratio of the sums of the last two.
    """

    spec = TASKS["SequenceTask"]
    provides: tuple[TargetFormat, ...] = (TargetFormat.SEQUENCES,)
    derived = ("cer",)

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.width: int = data.input_shape[-1]

    def target(self, target: Tensor, target_format: TargetFormat) -> SequenceTarget:
        """Return the labels, their number, and the number of time steps of each sequence."""
        labels, widths = target[:, :-1], target[:, -1]
        return SequenceTarget(labels, (labels != BLANK).sum(dim=1), -(-widths // COLUMNS_PER_STEP))

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the metrics listed above."""
        scores = self.scores(prediction, target, inverse_link, chosen)
        return {
            "cer": scores["cer_edits"].sum() / scores["cer_length"].sum(),
            "exact_match": scores["exact_match"].mean(),
        }

    def scores(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the scores listed above."""
        read = decode(prediction, self.target(target, TargetFormat.SEQUENCES).input_lengths)
        true = [_text(row) for row in target[:, :-1]]
        edits = [edit_distance(guess, text) for guess, text in zip(read, true, strict=True)]
        return {
            "cer_edits": torch.tensor(edits).float(),
            "cer_length": torch.tensor([len(text) for text in true]).float(),
            "exact_match": (torch.tensor(edits) == 0).double(),
        }

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "Mapping[str, Figure | FigureData]":
        """Plot images with the predicted and the true text."""
        from losslab.tasks import drawing  # noqa: PLC0415 (matplotlib: only where it is drawn)

        read = decode(prediction[:8], self.target(target[:8], TargetFormat.SEQUENCES).input_lengths)
        true = [_text(row) for row in target[:8, :-1]]
        return {"rows": drawing.predicted_texts(inputs[:8, 0], read, true)}


def decode(logits: Tensor, lengths: Tensor) -> list[str]:
    """Decode logits greedily: take the best class per time step, merge repeats, remove blanks.

    Example:
        >>> steps = torch.tensor([[1, 1, 0, 1, 5]])
        >>> decode(torch.nn.functional.one_hot(steps, 11).float(), torch.tensor([5]))
        ['004']
    """
    best = logits.argmax(dim=2)
    inside = torch.arange(best.shape[1], device=best.device) < lengths.unsqueeze(1)
    best = best.where(inside, BLANK)
    changes = best[:, 1:] != best[:, :-1]
    kept = torch.cat([torch.ones_like(changes[:, :1]), changes], dim=1) & (best != BLANK)
    return [_text(row[keep]) for row, keep in zip(best.cpu(), kept.cpu(), strict=True)]


def _text(labels: Tensor) -> str:
    """Return one character per label, also above 10, from 0 on in the order of Unicode."""
    return "".join(chr(ord("0") + label - 1) for label in labels.tolist() if label != BLANK)
