"""Counters of a training run in environments, and the values of its optimizer steps."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from losslab.modules.step_values import StepValues

if TYPE_CHECKING:
    from losslab.rl.algorithm import Algorithm
    from losslab.rl.rollout import Step

EPISODES_IN_MEAN = 100
"""Number of training episodes whose mean return tells whether the environment is solved."""


class TrainingProgress:
    """Counters of environment steps, optimizer steps and finished training episodes.

    Attributes:
        env_steps: number of environment steps taken.
        updates: number of optimizer steps taken.
        returns: returns of the training episodes, in the order in which they ended.
        ended_at: number of environment steps at the end of each of them.
    """

    def __init__(self) -> None:
        self.env_steps = 0
        self.updates = 0
        self.returns: list[float] = []
        self.ended_at: list[int] = []

    def add_steps(self, count: int, returns: Sequence[float]) -> None:
        """Count environment steps, with which episodes of these returns ended."""
        self.env_steps += count
        self.returns += returns
        self.ended_at += [self.env_steps] * len(returns)

    def mean_return(self) -> float | None:
        """Return the mean return of the latest episodes, or ``None`` before the first ended."""
        recent = self.returns[-EPISODES_IN_MEAN:]
        return sum(recent) / len(recent) if recent else None

    def steps_to_solve(self, threshold: float | None) -> float | None:
        """Return the environment steps until the mean of 100 episodes reached the threshold."""
        if threshold is None or len(self.returns) < EPISODES_IN_MEAN:
            return None
        means = torch.tensor(self.returns).double().unfold(0, EPISODES_IN_MEAN, 1).mean(dim=1)
        solved = (means >= threshold).nonzero()
        if not len(solved):
            return None
        return float(self.ended_at[int(solved[0]) + EPISODES_IN_MEAN - 1])

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the counters for a checkpoint."""
        return {
            "env_steps": self.env_steps,
            "updates": self.updates,
            "returns": torch.tensor(self.returns, dtype=torch.float32),
            "ended_at": torch.tensor(self.ended_at, dtype=torch.int64),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the counters of a checkpoint."""
        self.env_steps, self.updates = state["env_steps"], state["updates"]
        self.returns, self.ended_at = state["returns"].tolist(), state["ended_at"].tolist()


def count_steps(
    runs: Sequence[TrainingProgress], step: "Step", acting: Tensor | None = None
) -> None:
    """Count one step of the environments of each run, and the episodes that ended with it.

    Args:
        runs: progress of each of the K runs.
        step: step of all their environments, those of the first run first.
        acting: the environments that took the step, bool ``(K, N)``; ``None`` for all.
    """
    ended = step.ended.view(len(runs), -1)
    counts = [ended.shape[1]] * len(ended) if acting is None else acting.sum(dim=1).tolist()
    some_ended, returns = ended.any(dim=1).tolist(), step.returns.view(ended.shape)
    for row, progress in enumerate(runs):
        own = returns[row][ended[row]].tolist() if some_ended[row] else []
        progress.add_steps(counts[row], own)


class UpdateLog:
    """Values of optimizer steps, kept as tensors until they are logged.

    Args:
        algorithm: the run's algorithm, whose optimizer steps are counted here.

    Attributes:
        step_values: the kept values.
        every: number of optimizer steps between gradient norms, and between diagnostics if the
            algorithm takes many steps.
        due: whether there are values to log after the current training batch.
    """

    def __init__(self, algorithm: "Algorithm") -> None:
        self.step_values = StepValues()
        self.every = 1
        self.due = False
        self._algorithm = algorithm
        self._logged = 0

    @property
    def gradient_norm_due(self) -> bool:
        """Whether to keep the gradient norm of the next optimizer step."""
        return (self._algorithm.progress.updates + 1 - self._logged) % self.every == 0

    @property
    def diagnostics_due(self) -> bool:
        """Whether to keep the loss's diagnostics of the latest optimizer step."""
        return self._algorithm.diagnostics_due(self.every)

    def add(self, objective: Tensor, components: Mapping[str, Tensor]) -> None:
        """Count an optimizer step, and keep its objective and components."""
        self._algorithm.progress.updates += 1
        self.step_values.add(objective, components if len(components) > 1 else {})

    def end_batch(self) -> None:
        """Decide whether there are values to log, and add the progress of the run to them."""
        progress = self._algorithm.progress
        self.due = progress.updates > self._logged
        if not self.due:
            return
        self._logged = progress.updates
        values = {"environment_steps": float(progress.env_steps)} | self._algorithm.metrics()
        mean = progress.mean_return()
        if mean is not None:
            values["return_mean"] = mean
        self.step_values.watch({name: torch.tensor(value) for name, value in values.items()})

    def resume(self) -> None:
        """Treat the optimizer steps of a loaded checkpoint as logged."""
        self._logged = self._algorithm.progress.updates
