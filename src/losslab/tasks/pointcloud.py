"""Reconstruction of point clouds."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from losslab.config.specs import TASKS
from losslab.losses.base import TargetFormat
from losslab.losses.links import InverseLink
from losslab.losses.points import ChamferLoss, EMDLoss
from losslab.metrics.clouds import covered_points, f_score
from losslab.tasks.base import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData


class PointCloudTask(Task):
    """Reconstruction of point clouds (N, P, D) from a short code.

    Metrics, in the unit of the data:
        chamfer: squared distances, summed over both directions.
        emd: exact, with distances that are not squared, for the first clouds of the split.
        f_score: at the threshold.
        coverage: share of a cloud's points that are the nearest one to a reconstructed point.

    Scores of clouds: all of them; clouds without emd have NaN.

    Args:
        data: data module with clouds as inputs.
        threshold: distance within which a point counts as found, for f_score.
        emd_clouds: number of clouds for emd, whose time grows with about points**2.5.

    Raises:
        ValueError: if a sample is not a point cloud, or an option is out of its range.
    """

    spec = TASKS["PointCloudTask"]
    provides: tuple[TargetFormat, ...] = (TargetFormat.POINT_SETS,)

    def __init__(self, data: Any, threshold: float = 0.1, emd_clouds: int = 256) -> None:
        super().__init__(data)
        if threshold <= 0:
            raise ValueError(f"task.definition.threshold must be > 0, got {threshold!r}")
        if emd_clouds < 1:
            raise ValueError(f"task.definition.emd_clouds must be >= 1, got {emd_clouds!r}")
        self.threshold = threshold
        self.emd_clouds = emd_clouds
        self.chamfer = ChamferLoss(reduction="none")
        self.emd = EMDLoss(method="exact", reduction="none")

    def pair(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the clouds as inputs and as targets."""
        return batch[0], batch[0]

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the metrics listed above."""
        chamfer = self.chamfer.components(prediction, target)
        return {
            "chamfer": chamfer["to_target"].mean() + chamfer["to_prediction"].mean(),
            "emd": self._emd(prediction, target).mean(),
            "f_score": f_score(prediction, target, self.threshold).mean(),
            "coverage": covered_points(prediction, target).mean(),
        }

    def scores(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the scores listed above."""
        emd = self._emd(prediction, target)
        rest = emd.new_full((len(prediction) - len(emd),), torch.nan)
        return {
            "chamfer": self.chamfer(prediction, target),
            "emd": torch.cat([emd, rest]),
            "f_score": f_score(prediction, target, self.threshold),
            "coverage": covered_points(prediction, target).mean(dim=1),
        }

    def _emd(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the earth mover's distance of the first clouds."""
        values: Tensor = self.emd(prediction[: self.emd_clouds], target[: self.emd_clouds])
        return values

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "Mapping[str, Figure | FigureData]":
        """Plot clouds above their reconstructions."""
        from losslab.tasks import drawing  # noqa: PLC0415 (matplotlib: only where it is drawn)

        return {"clouds": drawing.clouds(inputs, prediction)}
