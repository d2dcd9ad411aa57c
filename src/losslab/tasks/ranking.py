"""Ranking of the documents of a query."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from scipy.stats import kendalltau
from sklearn.metrics import ndcg_score
from torch import Tensor, nn

from losslab.losses.base import InverseLink, TargetFormat
from losslab.tasks.base import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData


class RankingTask(Task):
    """Ranking of documents by scores (Q, D), with grades (Q, D); negative grades are padding.

    Metrics, averaged over the queries with documents of different grade:
        ndcg_at_10: with gain 2^grade - 1 and logarithmic discount.
        kendall_tau: tau-b.
        pairwise_accuracy: share of pairs of different grade that the scores order correctly; ties
            count half.
    """

    provides: tuple[TargetFormat, ...] = (TargetFormat.RELEVANCE,)
    standard_inverse_link: ClassVar[InverseLink | None] = None

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the metrics listed above."""
        scores, grades = prediction.cpu().double().numpy(), target.cpu().numpy()
        rows = [
            query_metrics(score[grade >= 0], grade[grade >= 0])
            for score, grade in zip(scores, grades, strict=True)
            if len(set(grade[grade >= 0])) > 1
        ]
        means = np.mean(rows, axis=0) if rows else np.full(3, np.nan)
        names = ("ndcg_at_10", "kendall_tau", "pairwise_accuracy")
        return {name: torch.tensor(mean) for name, mean in zip(names, means, strict=True)}

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "Mapping[str, Figure | FigureData]":
        """Plot the scores per grade."""
        from losslab.tasks import drawing  # noqa: PLC0415 (matplotlib: only where it is drawn)

        return {"scores": drawing.scores_by_grade(prediction.flatten(), target.flatten())}


def query_metrics(scores: np.ndarray, grades: np.ndarray) -> tuple[float, float, float]:
    """Compute NDCG@10, Kendall's tau-b and pairwise accuracy of one query.

    Example:
        >>> query_metrics(np.array([3.0, 2.0, 1.0]), np.array([2, 1, 0]))
        (1.0, 1.0, 1.0)
    """
    gains = 2.0**grades - 1
    above = grades[:, None] > grades[None, :]
    difference = scores[:, None] - scores[None, :]
    right = (difference[above] > 0) + (difference[above] == 0) / 2
    tau = kendalltau(scores, grades).statistic
    return (
        float(ndcg_score([gains], [scores], k=10)),
        float(tau) if np.isfinite(tau) else 0.0,
        float(np.mean(right)),
    )
