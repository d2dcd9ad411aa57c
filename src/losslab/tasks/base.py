"""The base class of tasks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from losslab.losses.base import InverseLink, TargetFormat

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData


class Task:
    """Task: the targets that a loss gets, and the metrics and figures of predictions.

    It does not depend on the network: metrics are functions of prediction and target.

    Args:
        data: data module, after its ``setup``.
    """

    provides: tuple[TargetFormat, ...]
    """Target formats that the task provides; the first that a loss accepts is used.

    An instance may provide fewer, depending on the data.
    """
    standard_inverse_link: ClassVar[InverseLink | None]
    """Inverse link for losses of other libraries, which do not declare one."""
    maps_metrics: bool = False
    """Whether :meth:`metrics` may be mapped over many runs by ``torch.func.vmap``.

    Set it if that works and needs no memory quadratic in the samples.
    """

    def __init__(self, data: Any) -> None:
        self.outputs: int = data.outputs

    def pair(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the network's inputs and the targets of a batch."""
        return batch[0], batch[1]

    def target(self, target: Tensor, target_format: TargetFormat) -> Any:
        """Convert the data's target to a target format."""
        return target

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the metrics of a whole split, by name.

        Args:
            prediction: outputs of the network.
            target: targets of the data.
            inverse_link: how the run's loss converts logits to probabilities.
            chosen: values that :meth:`choose` fitted on validation; empty during training.
        """
        raise NotImplementedError

    def choose(
        self, prediction: Tensor, target: Tensor, inverse_link: InverseLink | None
    ) -> dict[str, float]:
        """Fit values on validation before a test, such as a temperature or a threshold."""
        return {}

    def baselines(self, data: Any, untrained: nn.Module) -> dict[str, dict[str, float]]:
        """Compute test metrics of baselines without training, by name of the baseline."""
        return {}

    def network_metrics(self, network: nn.Module) -> dict[str, float]:
        """Compute metrics of the network itself, such as the slope of a line."""
        return {}

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "Mapping[str, Figure | FigureData]":
        """Plot predictions, by tag; figure data let a report plot several runs together."""
        return {}

    def embedding(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, list[str]] | None:
        """Return vectors (N, D) and N labels for TensorBoard's projector, if it has any."""
        return None
