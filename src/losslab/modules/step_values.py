"""Values of training steps for the curves, collected without synchronising the device."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class Diverged(ArithmeticError):  # noqa: N818 (an outcome, not a mistake)
    """Error for an objective that became NaN or infinite.

    Attributes:
        step: first optimizer step with such an objective, counted from 1.
    """

    def __init__(self, loss: str, value: float, step: int) -> None:
        super().__init__(f"loss={loss} became {value} at step {step}")
        self.step = step


def is_due(epoch: int, batches: int, batch_index: int, every: int) -> bool:
    """Return whether values are logged after a step: every few steps and at the end of an epoch.

    Args:
        epoch: epoch, counted from 0.
        batches: steps per epoch.
        batch_index: step in the epoch, counted from 0.
        every: steps between logged values.
    """
    return (epoch * batches + batch_index + 1) % every == 0 or batch_index + 1 == batches


class StepValues:
    """Values of the steps since the last drain, kept as tensors until then.

    Each has the shape () for one run, or (K,) for K runs that are trained together.
    """

    def __init__(self) -> None:
        self._objectives: list[Tensor] = []
        self._components: dict[str, list[Tensor]] = {}
        self._watched: dict[str, Tensor] = {}

    def add(self, objective: Tensor, components: Mapping[str, Tensor]) -> None:
        """Keep a step's objective and its components, whose means are logged."""
        self._objectives.append(objective.detach())
        for name, component in components.items():
            self._components.setdefault(name, []).append(component.detach())

    def watch(self, values: Mapping[str, Tensor]) -> None:
        """Keep values of which only the last before a drain are logged."""
        self._watched.update({name: value.detach() for name, value in values.items()})

    def select(self, indices: Sequence[int]) -> "StepValues":
        """Select the values of the given runs, in the given order."""
        selected, index = StepValues(), list(indices)
        selected._objectives = [value[index] for value in self._objectives]
        selected._components = {
            name: [value[index] for value in values] for name, values in self._components.items()
        }
        selected._watched = {name: value[index] for name, value in self._watched.items()}
        return selected

    def drain(self, loss: str, step: int) -> dict[str, float]:
        """Return the values of one run since the last drain, as numbers by tag.

        Args:
            loss: name of the loss, for the error.
            step: current optimizer step.

        Raises:
            Diverged: if an objective was NaN or infinite.
        """
        if not self._objectives:
            return {}
        objectives, values = self.take()
        found = divergence(objectives, loss, step)
        if found is not None:
            raise found
        return {tag: float(value) for tag, value in values.items()}

    def take(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the values since the last drain, on the CPU, and remove them.

        Returns:
            Objectives of the steps, (steps,) or (steps, K), and values by tag, () or (K,).
        """
        objectives = _stacked(self._objectives)
        values = {"train/loss": objectives.mean(dim=0)}
        for name, components in self._components.items():
            values[f"train/part/{name}"] = _stacked(components).mean(dim=0)
        values |= {f"train/{name}": value.cpu() for name, value in self._watched.items()}
        self._objectives, self._components, self._watched = [], {}, {}
        return objectives, values


def divergence(objectives: Tensor, loss: str, step: int) -> Diverged | None:
    """Return an error if an objective of one run is NaN or infinite, else ``None``.

    Args:
        objectives: objectives of the last steps, (steps,).
        loss: name of the loss, for the message.
        step: current optimizer step.
    """
    finite = objectives.isfinite()
    if bool(finite.all()):
        return None
    first = int(finite.logical_not().nonzero()[0])
    return Diverged(loss, float(objectives[first]), step - len(objectives) + 1 + first)


def _stacked(values: list[Tensor]) -> Tensor:
    return torch.stack(values).cpu().double()
