"""Ranking of the documents of a query."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from losslab.config.specs import TASKS
from losslab.data.kinds import grades_of
from losslab.losses import RelevanceTarget
from losslab.losses.base import TargetFormat
from losslab.losses.links import InverseLink
from losslab.metrics.ranking import ndcg
from losslab.tasks.base import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData


NAMES = ("ndcg_at_10", "kendall_tau", "pairwise_accuracy")


class RankingTask(Task):
    """Ranking of documents by scores (Q, D), with grades (Q, D) of documents that are not padding.

    Metrics, averaged over the queries with documents of different grade:
        ndcg_at_10: with gain 2^grade - 1 and logarithmic discount; negative grades count from the
            lowest one of the query.
        kendall_tau: tau-b.
        pairwise_accuracy: share of pairs of different grade that the scores order correctly; ties
            count half.

    Scores of queries: all of them; NaN for queries whose documents have one grade.
    """

    spec = TASKS["RankingTask"]
    provides: tuple[TargetFormat, ...] = (TargetFormat.RELEVANCE,)

    def target(self, target: Tensor, target_format: TargetFormat) -> Tensor | RelevanceTarget:
        """Return the grades, with a mask if some are padding."""
        return target if target.ndim == 2 else RelevanceTarget(*grades_of(target))

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the metrics listed above."""
        rows = _rows(prediction, target)
        ranked = rows[~np.isnan(rows[:, 0])]
        means = ranked.mean(axis=0) if len(ranked) else np.full(len(NAMES), np.nan)
        return {name: torch.tensor(mean) for name, mean in zip(NAMES, means, strict=True)}

    def scores(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the scores listed above."""
        columns = torch.from_numpy(_rows(prediction, target)).unbind(dim=1)
        return dict(zip(NAMES, columns, strict=True))

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "Mapping[str, Figure | FigureData]":
        """Plot the scores per grade."""
        from losslab.tasks import drawing  # noqa: PLC0415 (matplotlib: only where it is drawn)

        grades, counted = grades_of(target)
        return {"scores": drawing.scores_by_grade(prediction[counted], grades[counted])}


def _rows(prediction: Tensor, target: Tensor) -> np.ndarray:
    """Compute the metrics of each query, (n, 3), NaN if its documents have one grade."""
    rows = []
    grades, counted = grades_of(target)
    arrays = (prediction.cpu().double(), grades.cpu().double(), counted.cpu())
    for score, grade, known in zip(*(array.numpy() for array in arrays), strict=True):
        ranked = len(set(grade[known])) > 1
        rows.append(query_metrics(score[known], grade[known]) if ranked else [np.nan] * len(NAMES))
    return np.array(rows)


def query_metrics(scores: np.ndarray, grades: np.ndarray) -> tuple[float, float, float]:
    """Compute NDCG@10, Kendall's tau-b and pairwise accuracy of one query.

    Example:
        >>> query_metrics(np.array([3.0, 2.0, 1.0]), np.array([2, 1, 0]))
        (1.0, 1.0, 1.0)
    """
    from scipy.stats import kendalltau  # noqa: PLC0415 (half a second)

    # relative to the largest one, which changes no ratio of gains and does not overflow
    gains = 2.0 ** (grades - grades.max()) - 2.0 ** (min(grades.min(), 0) - grades.max())
    above = grades[:, None] > grades[None, :]
    difference = scores[:, None] - scores[None, :]
    right = (difference[above] > 0) + (difference[above] == 0) / 2
    tau = kendalltau(scores, grades).statistic
    return (
        float(ndcg(torch.from_numpy(scores)[None], torch.from_numpy(gains)[None])),
        float(tau) if np.isfinite(tau) else 0.0,
        float(np.mean(right)),
    )
