"""What training steps leave for the curves, without making the device wait."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class Diverged(ArithmeticError):  # noqa: N818 (the name of what happened)
    """The objective is no longer a number.

    Attributes:
        step: the optimizer step, counted from 1, that first saw it.
    """

    def __init__(self, loss: str, value: float, step: int) -> None:
        super().__init__(f"loss={loss} became {value} at step {step}")
        self.step = step


def is_due(epoch: int, batches: int, batch_index: int, every: int) -> bool:
    """Whether values are written after this step: every so many steps and at an epoch's end.

    Args:
        epoch: counted from 0.
        batches: steps in an epoch.
        batch_index: the step in the epoch, counted from 0.
        every: steps between writing.
    """
    return (epoch * batches + batch_index + 1) % every == 0 or batch_index + 1 == batches


class StepValues:
    """Values of the steps since the last drain, kept as tensors until then.

    They are numbers of one run, (), or of K runs that are trained together, (K,).
    """

    def __init__(self) -> None:
        self._objectives: list[Tensor] = []
        self._parts: dict[str, list[Tensor]] = {}
        self._watched: dict[str, Tensor] = {}

    def add(self, objective: Tensor, parts: Mapping[str, Tensor]) -> None:
        """Keep one step's objective and its parts; their means are logged."""
        self._objectives.append(objective.detach())
        for name, part in parts.items():
            self._parts.setdefault(name, []).append(part.detach())

    def watch(self, values: Mapping[str, Tensor]) -> None:
        """Keep what is looked at now and then; the last values before a drain are logged."""
        self._watched.update({name: value.detach() for name, value in values.items()})

    def of(self, places: Sequence[int]) -> "StepValues":
        """Those of some of K runs, in this order."""
        kept, index = StepValues(), list(places)
        kept._objectives = [value[index] for value in self._objectives]
        kept._parts = {
            name: [value[index] for value in parts] for name, parts in self._parts.items()
        }
        kept._watched = {name: value[index] for name, value in self._watched.items()}
        return kept

    def drain(self, loss: str, step: int) -> dict[str, float]:
        """What one run kept since the last drain, as numbers by tag.

        Args:
            loss: the loss's name, for the error.
            step: the optimizer step now.

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
        """What was kept since the last time, on the CPU: each step's objective, values by tag.

        Returns:
            Objectives (steps,) or (steps, K), and means over the steps or last values, () or (K,).
        """
        objectives = _stacked(self._objectives)
        values = {"train/loss": objectives.mean(dim=0)}
        for name, parts in self._parts.items():
            values[f"train/part/{name}"] = _stacked(parts).mean(dim=0)
        values |= {f"train/{name}": value.cpu() for name, value in self._watched.items()}
        self._objectives, self._parts, self._watched = [], {}, {}
        return objectives, values


def divergence(objectives: Tensor, loss: str, step: int) -> Diverged | None:
    """The first objective of one run that is NaN or infinite, if one is.

    Args:
        objectives: of the steps up to now, (steps,).
        loss: the loss's name, for the message.
        step: the optimizer step now.
    """
    finite = objectives.isfinite()
    if bool(finite.all()):
        return None
    first = int(finite.logical_not().nonzero()[0])
    return Diverged(loss, float(objectives[first]), step - len(objectives) + 1 + first)


def _stacked(values: list[Tensor]) -> Tensor:
    return torch.stack(values).cpu().double()
