"""The base class of tasks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from losslab.config.specs import TaskSpec, require_shape, require_targets
from losslab.losses.base import TargetFormat
from losslab.losses.links import InverseLink
from losslab.metrics.labels import some

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData


class Task:
    """Task: the targets that a loss gets, and the metrics and figures of predictions.

    It does not depend on the network: metrics are functions of prediction and target.

    Args:
        data: data module, after its ``setup``.

    Raises:
        ValueError: if the data are not those that the task is for.
    """

    provides: tuple[TargetFormat, ...]
    """Target formats that the task provides; the first that a loss accepts is used.

    An instance may provide fewer, depending on the data.
    """
    maps_metrics: bool = False
    """Whether :meth:`metrics` may be mapped over many runs by ``torch.func.vmap``.

    Set it if that works and needs no memory quadratic in the samples. It holds for
    :meth:`scores` too. Runs that are mapped together may differ in the tensors among the task's
    attributes, but in no other attribute.
    """
    derived: tuple[str, ...] = ()
    """Metrics that are not means, but follow from :meth:`scores`, such as the root of a mean."""

    counted: ClassVar[str | None] = None
    """What the network has one output for each of, such as ``classes``, if its shape is checked."""

    spec: ClassVar[TaskSpec | None] = None
    """Targets and samples that the task is for; ``None`` for any."""

    def __init__(self, data: Any) -> None:
        if self.spec is not None and self.spec.targets:
            require_targets(self.spec, data.target_kind)
        if self.spec is not None and self.spec.shape is not None:
            require_shape(f"task={self.spec.name}", self.spec.shape, data.input_shape)
        self.outputs: int = data.outputs

    def pair(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the network's inputs and the targets of a batch."""
        return batch[0], batch[1]

    def require_outputs(self, prediction: Any) -> None:
        """Check that a batch of predictions, (N, C, *), has one output per class, value or label.

        Raises:
            ValueError: if it does not.
        """
        if self.counted is None:
            return
        if not isinstance(prediction, Tensor):
            raise ValueError(
                f"the model must return a tensor, got {type(prediction).__name__}: return only "
                "the predictions from its forward"
            )
        if prediction.ndim < 2:
            raise ValueError(
                f"the model's predictions must have shape (N, {self.outputs}), got "
                f"{tuple(prediction.shape)}"
            )
        if prediction.shape[1] != self.outputs:
            raise ValueError(
                f"the model has {some(prediction.shape[1], 'outputs')}, but the data have "
                f"{some(self.outputs, self.counted)}; a model whose __init__ takes 'outputs' is "
                "given this number"
            )

    def target(self, target: Tensor, target_format: TargetFormat) -> Any:
        """Convert the data's target to a target format."""
        return target

    def seen_by_loss(
        self, prediction: Any, target: Tensor, target_format: TargetFormat
    ) -> tuple[Any, Any]:
        """Return prediction and target as a loss gets them.

        A task may convert the network's outputs, or leave a part out.
        """
        return prediction, self.target(target, target_format)

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

    def scores(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the scores of each sample of a split, each (n,), by name.

        A score that has the name of a metric has that metric as its mean over the samples for
        which it is not NaN. For the arguments see :meth:`metrics`.
        """
        return {}

    def tie_break(
        self, prediction: Tensor, target: Tensor, inverse_link: InverseLink | None
    ) -> dict[str, float]:
        """Compute what decides between epochs whose monitors are equal, by name; lower is better.

        It is computed on validation, for epochs that may become the best. If it is equal too, or
        there is none, the later epoch is better. For the arguments see :meth:`metrics`.
        """
        return {}

    def in_target_unit(self, values: Tensor) -> Tensor:
        """Convert predictions or targets of the data to the unit in which metrics are measured."""
        return values

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


def per_sample(elements: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Average values (n, *) over all but their first dimension.

    Example:
        >>> import torch
        >>> per_sample({"mae": torch.tensor([[1.0, 3.0], [0.0, 1.0]])})
        {'mae': tensor([2.0000, 0.5000])}
    """
    return {name: value.reshape(len(value), -1).mean(dim=1) for name, value in elements.items()}
