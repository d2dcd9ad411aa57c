"""What a task is: which targets it can give, and how its predictions are judged and drawn."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from losslab.losses.base import InverseLink, TargetFormat

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData


class Task:
    """Judges predictions; everything here is a function of prediction and target alone.

    A task is built from its data module, after ``setup``: ``Task(data)``.
    """

    provides: tuple[TargetFormat, ...]
    """The target formats this task can give; the first that a loss reads is used.

    Where the data narrow them down, the instance has its own.
    """
    standard_inverse_link: ClassVar[InverseLink | None]
    """How logits become probabilities for a loss of another library, which does not say."""
    maps_metrics: bool = False
    """Whether :meth:`metrics` may be mapped over many runs by ``torch.func.vmap``, as it should
    where that works and needs no memory quadratic in the samples."""

    def __init__(self, data: Any) -> None:
        self.outputs: int = data.outputs

    def pair(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """What the network sees and what its prediction is held against."""
        return batch[0], batch[1]

    def target(self, target: Tensor, target_format: TargetFormat) -> Any:
        """The data's target in the format that a loss reads."""
        return target

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """The metrics of a whole split, by name.

        Args:
            prediction: the network's outputs.
            target: the data's target.
            inverse_link: how the run's loss makes a probability of a logit.
            chosen: what :meth:`choose` found on validation; empty while training.
        """
        raise NotImplementedError

    def choose(
        self, prediction: Tensor, target: Tensor, inverse_link: InverseLink | None
    ) -> dict[str, float]:
        """What is fitted on validation before a test: a temperature, a threshold."""
        return {}

    def baselines(self, data: Any, untrained: nn.Module) -> dict[str, dict[str, float]]:
        """Test metrics of what needs no training, by name, where they tell what training did."""
        return {}

    def network_metrics(self, network: nn.Module) -> dict[str, float]:
        """Metrics that are read off the network itself, such as a line's slope."""
        return {}

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "Mapping[str, Figure | FigureData]":
        """Pictures of the predictions, by tag.

        Arrays in place of a figure let a report draw those of several runs on one plot.
        """
        return {}

    def embedding(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, list[str]] | None:
        """Vectors (N, D) and N labels for TensorBoard's projector, where that tells something."""
        return None
