"""Recommendation of items to users."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from losslab.config.specs import TASKS
from losslab.data.kinds import grades_of
from losslab.losses.base import TargetFormat
from losslab.losses.links import InverseLink
from losslab.metrics.ranking import ndcg, recall
from losslab.metrics.retrieval import mean_of_known
from losslab.tasks.base import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData


class RecommendationTask(Task):
    """Recommendation: scores (Q, D) of items for users, with grades (Q, D).

    Metrics, averaged over the users with a relevant item, one of grade above 0. Each user's items
    are all that the user has not rated before, not a sample of them, by which losses could be
    ranked otherwise (Krichene and Rendle, "On Sampled Metrics for Item Recommendation", 2020):
        ndcg_at_10: with gain 2^grade - 1 and logarithmic discount.
        recall_at_10: share of the relevant items that are among the first ten.

    Losses are evaluated on the first ``seen_by_losses`` items of each user, of which as many are
    drawn as in training. They get pairs of items by their grades, or each item by itself with its
    grade as the value or, if all grades are 0 or 1, as the label.

    Scores of users: all metrics; NaN for users without a relevant item.

    Args:
        data: data module of ratings.

    Raises:
        ValueError: if the data are not ratings of items by users.
    """

    spec = TASKS["RecommendationTask"]
    provides: tuple[TargetFormat, ...] = (
        TargetFormat.RELEVANCE,
        TargetFormat.VALUES,
        TargetFormat.BINARY_TARGETS,
    )

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        seen: int | None = getattr(data, "seen_by_losses", None)
        if seen is None:
            raise ValueError(
                f"task=recommendation expects ratings of items by users, got {data.target_kind}"
            )
        self.seen = seen
        if data.threshold is None:
            self.provides = (TargetFormat.RELEVANCE, TargetFormat.VALUES)

    def seen_by_loss(
        self, prediction: Tensor, target: Tensor, target_format: TargetFormat
    ) -> tuple[Tensor, Tensor]:
        """Return scores and grades of the first items, none of which is padding."""
        grades, _ = grades_of(target)
        return prediction[:, : self.seen], grades[:, : self.seen]

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the metrics listed above."""
        scores = self.scores(prediction, target, inverse_link, chosen)
        return {name: mean_of_known(value) for name, value in scores.items()}

    def scores(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the scores listed above."""
        grades, counted = grades_of(target)
        gains = 2 ** grades.double() - 1
        return {
            "ndcg_at_10": ndcg(prediction, gains, counted),
            "recall_at_10": recall(prediction, grades > 0, counted),
        }

    def baselines(self, data: Any, untrained: nn.Module) -> dict[str, dict[str, float]]:
        """Compute the metrics of ``popularity``, the number of users who like an item."""
        train, test = data.train, data.test
        popularity = torch.zeros(data.sizes_of_embeddings["items"])
        popularity.index_add_(
            0, train.inputs[:, 1:].flatten(), (train.targets > 0).float().flatten()
        )
        values = self.metrics(popularity[test.inputs[:, 1:]], test.targets, None, {})
        return {"popularity": {name: float(value) for name, value in values.items()}}

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "Mapping[str, Figure | FigureData]":
        """Plot the scores per grade."""
        from losslab.tasks import drawing  # noqa: PLC0415 (matplotlib: only where it is drawn)

        grades, counted = grades_of(target)
        return {"scores": drawing.scores_by_grade(prediction[counted], grades[counted])}
