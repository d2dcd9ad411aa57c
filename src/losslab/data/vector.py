"""Several environments side by side, of which any may act while the others wait."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv
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
    """gymnasium's CartPole, all poles at once: the same numbers, bit for bit.

    One environment's step takes 10 us, nearly all of it Python; a hundred take 60 us here.

    Args:
        one: gymnasium's environment with its time limit, whose constants count.
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
        self.size = size
        self._one = one.unwrapped
        self._limit: int = one.spec.max_episode_steps
        self._pays_falls: bool = self._one._sutton_barto_reward
        self._state = np.zeros((4, size))
        self._elapsed = np.zeros(size, dtype=np.int64)

    def reset(self, index: Array, seeds: Sequence[int]) -> Array:
        """See :class:`Vector`."""
        for place, seed in zip(index, seeds, strict=True):
            self._state[:, place] = seeding.np_random(seed)[0].uniform(-0.05, 0.05, size=4)
        self._elapsed[index] = 0
        return _rows(self._state[:, index])

    def step(self, index: Array, actions: Array) -> tuple[Array, Array, Array, Array]:
        """See :class:`Vector`."""
        whole = len(index) == self.size
        state = self._moved(self._state if whole else self._state[:, index], actions)
        if whole:
            self._state = state
        else:
            self._state[:, index] = state
        self._elapsed[index] += 1
        position, angle = np.abs(state[0]), np.abs(state[2])
        fallen = (position > self._one.x_threshold) | (angle > self._one.theta_threshold_radians)
        paid = (-1.0, 0.0) if self._pays_falls else (1.0, 1.0)
        return _rows(state), np.where(fallen, *paid), fallen, self._elapsed[index] >= self._limit

    def keep(self, index: Array) -> None:
        """See :class:`Vector`."""
        self._state, self._elapsed = self._state[:, index], self._elapsed[index]
        self.size = len(index)

    def close(self) -> None:
        """See :class:`Vector`."""

    def _moved(self, state: Array, actions: Array) -> Array:
        """The state after a step, by gymnasium's formula in its order of operations."""
        one = self._one
        x, x_dot, theta, theta_dot = state
        force = np.where(actions == 1, one.force_mag, -one.force_mag)
        cos, sin = np.cos(theta), np.sin(theta)
        push = (force + one.polemass_length * np.square(theta_dot) * sin) / one.total_mass
        theta_acc = (one.gravity * sin - cos * push) / (
            one.length * (4.0 / 3.0 - one.masspole * np.square(cos) / one.total_mass)
        )
        x_acc = push - one.polemass_length * theta_acc * cos / one.total_mass
        return np.stack(
            (
                x + one.tau * x_dot,
                x_dot + one.tau * x_acc,
                theta + one.tau * theta_dot,
                theta_dot + one.tau * theta_acc,
            )
        )


def _rows(state: Array) -> Array:
    return np.ascontiguousarray(state.T, dtype=np.float32)
