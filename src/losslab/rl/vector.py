"""Several environments side by side, of which any may act while the others wait."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv, CartPoleVectorEnv
from gymnasium.utils import seeding

Array = np.ndarray[Any, Any]


class Vector(Protocol):
    """Environments that begin and act when they are told to; none begins anew by itself.

    ``index`` are the places of those meant, in rising order; what is given or comes back has a
    row for each of them.
    """

    size: int

    def reset(self, index: Array, seeds: Sequence[int]) -> Array:
        """Begin episodes with these seeds: their first observations, ``(n, *)``."""

    def step(self, index: Array, actions: Array) -> tuple[Array, Array, Array, Array]:
        """Act once: observations ``(n, *)``, rewards, whether terminated, truncated: ``(n,)``."""

    def keep(self, index: Array) -> None:
        """Go on with these environments, in this order."""

    def close(self) -> None:
        """Free what they hold."""


def side_by_side(make: Callable[[], Any], size: int) -> Vector:
    """So many environments of one kind, computed at once where that is known to be the same.

    Args:
        make: gives one, with its wrappers.
        size: how many.
    """
    first = make()
    if type(first.unwrapped) is CartPoleEnv and not first.spec.additional_wrappers:
        return CartPoles(first, size)
    return Separate([first, *(make() for _ in range(size - 1))])


class Separate:
    """gymnasium's environments, one after the other.

    Args:
        environments: of one kind.
    """

    def __init__(self, environments: Sequence[Any]) -> None:
        self._all = list(environments)
        self.size = len(self._all)

    def reset(self, index: Array, seeds: Sequence[int]) -> Array:
        """See :class:`Vector`."""
        pairs = zip(index, seeds, strict=True)
        return np.stack([self._all[place].reset(seed=seed)[0] for place, seed in pairs])

    def step(self, index: Array, actions: Array) -> tuple[Array, Array, Array, Array]:
        """See :class:`Vector`."""
        pairs = zip(index, actions, strict=True)
        steps = [self._all[place].step(action)[:4] for place, action in pairs]
        observations, *others = zip(*steps, strict=True)
        rewards, terminated, truncated = (np.array(column) for column in others)
        return np.stack(observations), rewards, terminated, truncated

    def keep(self, index: Array) -> None:
        """See :class:`Vector`."""
        self._all = [self._all[place] for place in index]
        self.size = len(self._all)

    def close(self) -> None:
        """See :class:`Vector`."""
        for environment in self._all:
            environment.close()


class CartPoles:
    """gymnasium's vectorised CartPole, of which some poles may wait: its CartPole's numbers.

    One environment's step takes 10 us, nearly all of it Python; a hundred take 60 us here.

    Args:
        one: gymnasium's environment with its time limit.
        size: how many poles.

    Example:
        >>> import gymnasium
        >>> poles = CartPoles(gymnasium.make("CartPole-v1"), 2)
        >>> both = np.arange(2)
        >>> poles.reset(both, [0, 1]).shape
        (2, 4)
        >>> poles.step(both, np.array([0, 1]))[1].tolist()
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
        """See :class:`Vector`."""
        # each from a seed of its own, as one environment is; the vectorised one has one for all
        for place, seed in zip(index, seeds, strict=True):
            begun = seeding.np_random(seed)[0].uniform(-0.05, 0.05, size=4)
            self._poles.state[:, place] = begun
        self._poles.steps[index] = 0
        return np.ascontiguousarray(self._poles.state[:, index].T, dtype=np.float32)

    def step(self, index: Array, actions: Array) -> tuple[Array, Array, Array, Array]:
        """See :class:`Vector`."""
        poles = self._poles
        waiting = np.ones(self.size, dtype=np.bool_)
        waiting[index] = False
        state, steps = poles.state[:, waiting], poles.steps[waiting]
        given = np.zeros(self.size, dtype=np.int64)
        given[index] = actions
        poles.prev_done[:] = False  # so that none begins anew by itself
        moved = poles.step(given)[:4]
        poles.state[:, waiting], poles.steps[waiting] = state, steps
        observations, rewards, terminated, truncated = (each[index] for each in moved)
        return observations, rewards, terminated, truncated

    def keep(self, index: Array) -> None:
        """See :class:`Vector`."""
        self._begin(self._poles.state[:, index], self._poles.steps[index])

    def close(self) -> None:
        """See :class:`Vector`."""
