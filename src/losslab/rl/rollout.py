"""Environments that training steps through, with every step kept as experience."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from losslab.rl.vector import Array, VectorEnvironment


class Step(NamedTuple):
    """Step of N environments; every entry is experience, none is a reset."""

    observations: Tensor
    """float32 ``(N, *)``, before the actions."""
    actions: Tensor
    """int64 ``(N,)``."""
    rewards: Tensor
    """float32 ``(N,)``."""
    next_observations: Tensor
    """float32 ``(N, *)``, after the actions; at the end of an episode its final observation."""
    terminated: Tensor
    """bool ``(N,)``: the task ended, so the value of the next observation is 0."""
    truncated: Tensor
    """bool ``(N,)``: a time limit cut the episode, so the next observation keeps its value."""
    returns: Tensor
    """float32 ``(N,)``, the sum of the episode's rewards so far."""

    @property
    def ended(self) -> Tensor:
        """Whether the episode ended for either reason, bool ``(N,)``."""
        return self.terminated | self.truncated


class RolloutEnvironments:
    """N environments that reset themselves, each episode from its own seed.

    An episode is a function of its seed and its actions, so a checkpoint holds only these.

    Args:
        environments: the environments to step.
        seed_of: function that returns the seed of an episode, given the index of the environment
            and the number of the episode.
        first_action: gymnasium's number of the first action, which is 0 here.

    Attributes:
        observations: current observation of each environment, float32 ``(N, *)``.

    Example:
        >>> from losslab.rl.environments import Environments
        >>> data = Environments("CartPole-v1", num_envs=2)
        >>> data.setup()
        >>> environments = data.rollout_environments()
        >>> step = environments.step(torch.tensor([0, 1]))
        >>> step.next_observations.shape, step.rewards.tolist(), step.ended.tolist()
        (torch.Size([2, 4]), [1.0, 1.0], [False, False])
    """

    def __init__(
        self,
        environments: VectorEnvironment,
        seed_of: Callable[[int, int], int],
        first_action: int = 0,
    ) -> None:
        self.environments = environments
        self.size = environments.size
        self._seed_of = seed_of
        self._first = first_action
        self.restart(0)

    def restart(self, episode: int) -> None:
        """Abandon the current episodes and begin the one with this number in each environment."""
        self._episodes = [episode] * self.size
        self._actions: list[list[int]] = [[] for _ in range(self.size)]
        self._returns = torch.zeros(self.size, dtype=torch.float32)
        self.observations = self._reset(np.arange(self.size))

    def step(self, actions: Tensor, acting: Tensor | None = None) -> Step:
        """Take one step, and begin the next episode in each environment whose episode ended.

        Args:
            actions: indices from 0, int64 ``(N,)``, on the CPU.
            acting: the environments that take the step, bool ``(N,)``; ``None`` for all. The others
                wait: their reward is 0, their next observation the current one, and their rows are
                not experience.
        """
        index = np.arange(self.size) if acting is None else np.flatnonzero(acting.numpy())
        taken = actions.numpy()[index]
        for row, action in zip(index.tolist(), taken.tolist(), strict=True):
            self._actions[row].append(action)
        after, *others = self.environments.step(index, taken + self._first)
        rewards, terminated, truncated = (self._scatter(index, values) for values in others)
        following = self.observations.clone()
        following[torch.from_numpy(index)] = torch.from_numpy(after).float()
        rewards = rewards.float()
        returns = self._returns + rewards
        step = Step(self.observations, actions, rewards, following, terminated, truncated, returns)
        self.observations, self._returns = following, returns
        ended = step.ended
        if bool(ended.any()):
            self._begin_next(ended.numpy())
        return step

    def _scatter(self, index: Array, values: Array) -> Tensor:
        """Return the values of some environments in their places, with zeros for the others."""
        scattered = np.zeros(self.size, dtype=values.dtype)
        scattered[index] = values
        return torch.from_numpy(scattered)

    def _begin_next(self, ended: Array) -> None:
        index = np.flatnonzero(ended)
        for row in index:
            self._episodes[row] += 1
            self._actions[row] = []
        self.observations, self._returns = self.observations.clone(), self._returns.clone()
        self.observations[torch.from_numpy(index)] = self._reset(index)
        self._returns[torch.from_numpy(index)] = 0

    def _reset(self, index: Array) -> Tensor:
        """Reset these environments to the start of their episodes; return the observations."""
        seeds = [self._seed_of(row, self._episodes[row]) for row in index.tolist()]
        return torch.from_numpy(self.environments.reset(index, seeds)).float()

    def keep(self, index: Array) -> None:
        """Keep only these environments, in this order."""
        self.environments.keep(index)
        self.size = len(index)
        self._episodes = [self._episodes[row] for row in index.tolist()]
        self._actions = [self._actions[row] for row in index.tolist()]
        rows = torch.from_numpy(index)
        self.observations, self._returns = self.observations[rows], self._returns[rows]

    def state_dict(self, rows: slice = slice(None)) -> dict[str, Any]:
        """Return the number and the actions so far of the current episode of each environment.

        Args:
            rows: the environments to include.
        """
        return {
            "episodes": self._episodes[rows],
            "actions": [list(actions) for actions in self._actions[rows]],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state by taking the actions of the current episodes again.

        Raises:
            ValueError: if the state has another number of environments.
        """
        if len(state["episodes"]) != self.size:
            raise ValueError(
                f"state must be of {self.size} environments, got {len(state['episodes'])}"
            )
        self._episodes = list(state["episodes"])
        self._actions = [list(actions) for actions in state["actions"]]
        self._returns = torch.zeros(self.size, dtype=torch.float32)
        self.observations = self._reset(np.arange(self.size))
        lengths = np.array([len(actions) for actions in self._actions])
        for step in range(lengths.max()):
            index = np.flatnonzero(lengths > step)
            taken = np.array([self._actions[row][step] for row in index]) + self._first
            after, rewards, *_ = self.environments.step(index, taken)
            rows = torch.from_numpy(index)
            self.observations[rows] = torch.from_numpy(after).float()
            self._returns[rows] += torch.from_numpy(rewards).float()
