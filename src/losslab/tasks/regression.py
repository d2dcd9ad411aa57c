"""Regression of real values."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from losslab.config.specs import TASKS
from losslab.data.standardization import TargetScaling
from losslab.losses.base import TargetFormat
from losslab.losses.links import InverseLink
from losslab.tasks.base import Task, per_sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData


ROUNDING = 1e-12
"""Relative spread below which the targets of a column are constant."""


class RegressionTask(Task):
    """Regression of values (N, K).

    Losses get values as the data hold them, which may be standardized. Metrics, scores and figures
    are in the unit of the target.

    Metrics:
        mae, rmse, r2; mae_rmse, the geometric mean of the first two.
        If the data are a line and the network is one affine layer: its intercept and mean slope,
        with absolute errors slope_error and intercept_error.

    Scores of samples: mae and squared_error.

    Raises:
        ValueError: if the targets are not values.
    """

    spec = TASKS["RegressionTask"]
    provides = (TargetFormat.VALUES,)
    counted = "values"
    maps_metrics = True
    derived = ("rmse",)

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.truth: Mapping[str, float] | None = getattr(data, "truth", None)
        scaling: TargetScaling | None = getattr(data, "target_scaling", None)
        self.scaling = None if scaling is None else torch.stack([*scaling]).double()

    def in_target_unit(self, values: Tensor) -> Tensor:
        """Undo the standardization of the targets, in float64."""
        if self.scaling is None:
            return values
        mean, scale = self.scaling.to(values.device)
        restored: Tensor = values.double() * scale + mean
        return restored

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the metrics listed above."""
        prediction, target = self.in_target_unit(prediction), self.in_target_unit(target)
        elements = errors(prediction, target)
        mae, rmse = elements["mae"].mean(), elements["squared_error"].mean().sqrt()
        return {
            "mae": mae,
            "rmse": rmse,
            "mae_rmse": (mae * rmse).sqrt(),
            "r2": r2(prediction.double(), target.double()),
        }

    def scores(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the scores listed above."""
        return per_sample(errors(*map(self.in_target_unit, (prediction, target))))

    def network_metrics(self, network: nn.Module) -> dict[str, float]:
        """Return the line's parameters and their errors, if both data and network are a line."""
        layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
        if self.truth is None or len(layers) != 1:
            return {}
        slope = layers[0].weight.detach().double()
        intercept = layers[0].bias.detach().double()
        return {
            "slope": float(slope.mean()),
            "intercept": float(intercept.mean()),
            "slope_error": float((slope - self.truth["slope"]).abs().mean()),
            "intercept_error": float((intercept - self.truth["intercept"]).abs().mean()),
        }

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "Mapping[str, Figure | FigureData]":
        """Plot the fitted curve for one feature, else predictions against targets."""
        from losslab.tasks import drawing  # noqa: PLC0415 (matplotlib: only where it is drawn)

        prediction, target = (self.in_target_unit(part.cpu()) for part in (prediction, target))
        if inputs.shape[1:] == torch.Size([1]) and target.shape[1:] == torch.Size([1]):
            return {"fit": drawing.fitted_curve(inputs, prediction, target, self.truth)}
        return {"fit": drawing.against_target(prediction, target)}


def errors(prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Compute the absolute and the squared error of each value, ``mae`` and ``squared_error``."""
    difference = prediction.double() - target.double()
    return {"mae": difference.abs(), "squared_error": difference.square()}


def r2(prediction: Tensor, target: Tensor) -> Tensor:
    r"""Compute the coefficient of determination, averaged over the K columns.

    .. math:: R^2 = 1 - \sum_i (y_i - t_i)^2 / \sum_i (t_i - \bar t)^2

    A column whose targets are constant, up to rounding, counts 1 if it is predicted as exactly,
    else 0.

    Args:
        prediction: (N, K).
        target: (N, K).

    Example:
        >>> target = torch.tensor([[1.0], [2.0], [3.0]])
        >>> r2(torch.full((3, 1), 2.0), target).item()  # the mean explains nothing
        0.0
    """
    rounding = (ROUNDING * target).square().sum(dim=0)
    left = (prediction - target).square().sum(dim=0)
    spread = (target - target.mean(dim=0)).square().sum(dim=0)
    constant = spread <= rounding
    explained = 1 - left / torch.where(constant, 1, spread)
    return torch.where(constant, (left <= rounding).double(), explained).mean()
