"""Environments that step in parallel, any of them while the others wait.

No environment resets itself, so every step is a transition. CartPole is computed by gymnasium's
vectorised environment, with the same bits as single environments; other environments are stepped
one after the other.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv, CartPoleVectorEnv
from gymnasium.utils import seeding

Array = np.ndarray[Any, Any]


class VectorEnvironment(Protocol):
    """Environments that reset and step only on request.

    ``index`` selects environments, in ascending order; other arguments and results have one row for
    each of them.
    """

    size: int

    def reset(self, index: Array, seeds: Sequence[int]) -> Array:
        """Begin episodes with these seeds; return the first observations ``(n, *)``."""

    def step(self, index: Array, actions: Array) -> tuple[Array, Array, Array, Array]:
        """Return observations ``(n, *)``, rewards, terminated and truncated ``(n,)`` of a step."""

    def keep(self, index: Array) -> None:
        """Keep only these environments, in this order."""

    def close(self) -> None:
        """Release the environments' resources."""


def make_vector_environment(make: Callable[[], Any], size: int) -> VectorEnvironment:
    """Create environments of one kind, vectorised if that gives the same bits.

    Args:
        make: function that creates one environment, with its wrappers.
        size: number of environments.
    """
    first = make()
    if type(first.unwrapped) is CartPoleEnv and not first.spec.additional_wrappers:
        return CartPoles(first, size)
    return SequentialEnvironments([first, *(make() for _ in range(size - 1))])


class SequentialEnvironments:
    """Gymnasium environments of one kind that are stepped one after the other.

    Args:
        environments: the environments.
    """

    def __init__(self, environments: Sequence[Any]) -> None:
        self._all = list(environments)
        self.size = len(self._all)

    def reset(self, index: Array, seeds: Sequence[int]) -> Array:
        """Reset these environments from their seeds; return the observations."""
        pairs = zip(index, seeds, strict=True)
        return np.stack([self._all[row].reset(seed=seed)[0] for row, seed in pairs])

    def step(self, index: Array, actions: Array) -> tuple[Array, Array, Array, Array]:
        """Step these environments; return observations, rewards, terminated and truncated."""
        pairs = zip(index, actions, strict=True)
        steps = [self._all[row].step(action)[:4] for row, action in pairs]
        observations, *others = zip(*steps, strict=True)
        rewards, terminated, truncated = (np.array(column) for column in others)
        return np.stack(observations), rewards, terminated, truncated

    def keep(self, index: Array) -> None:
        """Keep only these environments, in this order."""
        self._all = [self._all[row] for row in index]
        self.size = len(self._all)

    def close(self) -> None:
        """Close the environments."""
        for environment in self._all:
            environment.close()


class CartPoles:
    """Gymnasium's vectorised CartPole, in which some environments can wait.

    A step takes 10 us for one environment, nearly all of it Python, and 60 us for a hundred.

    Args:
        one: gymnasium's environment with its time limit.
        size: number of environments.

    Example:
        >>> import gymnasium
        >>> cart_poles = CartPoles(gymnasium.make("CartPole-v1"), 2)
        >>> both = np.arange(2)
        >>> cart_poles.reset(both, [0, 1]).shape
        (2, 4)
        >>> cart_poles.step(both, np.array([0, 1]))[1].tolist()
        [1.0, 1.0]
    """

    def __init__(self, one: Any, size: int) -> None:
        self._options = {
            "max_episode_steps": one.spec.max_episode_steps,
            "sutton_barto_reward": one.unwrapped._sutton_barto_reward,
        }
        self._begin(np.zeros((4, size)), np.zeros(size, dtype=np.int32))

    def _begin(self, state: Array, steps: Array) -> None:
        self.size = len(steps)
        poles: Any = CartPoleVectorEnv(num_envs=self.size, **self._options)
        poles.state, poles.steps = state, steps
        self._poles = poles

    def reset(self, index: Array, seeds: Sequence[int]) -> Array:
        """Reset these environments from their seeds; return the observations."""
        # each from its own seed, like a single environment; the vectorised one has one seed for all
        for column, seed in zip(index, seeds, strict=True):
            initial = seeding.np_random(seed)[0].uniform(-0.05, 0.05, size=4)
            self._poles.state[:, column] = initial
        self._poles.steps[index] = 0
        return np.ascontiguousarray(self._poles.state[:, index].T, dtype=np.float32)

    def step(self, index: Array, actions: Array) -> tuple[Array, Array, Array, Array]:
        """Step these environments; return observations, rewards, terminated and truncated."""
        poles = self._poles
        waiting = np.ones(self.size, dtype=np.bool_)
        waiting[index] = False
        state, steps = poles.state[:, waiting], poles.steps[waiting]
        given = np.zeros(self.size, dtype=np.int64)
        given[index] = actions
        poles.prev_done[:] = False  # so that none resets itself
        moved = poles.step(given)[:4]
        poles.state[:, waiting], poles.steps[waiting] = state, steps
        observations, rewards, terminated, truncated = (each[index] for each in moved)
        return observations, rewards, terminated, truncated

    def keep(self, index: Array) -> None:
        """Keep only these environments, in this order."""
        self._begin(self._poles.state[:, index], self._poles.steps[index])

    def close(self) -> None:
        """Close the environments."""
