"""Environments to act in: gymnasium's, several at once, each episode from a seed of its own."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from losslab.data import checks
from losslab.rl.vector import Array, Vector, side_by_side
from losslab.rng import Purpose, derive_seed

EPISODES_AT_ONCE = 100
"""How many episodes are played side by side when a policy is judged."""


class Parts:
    """A tensor part by part, as an iterable that Lightning takes like a ``DataLoader``.

    Args:
        values: ``(n, *)``.
        size: rows in a part; the last may have fewer.

    Example:
        >>> [part.tolist() for part, in Parts(torch.arange(3), 2)]
        [[0, 1], [2]]
    """

    def __init__(self, values: Tensor, size: int) -> None:
        self.parts: tuple[Tensor, ...] = torch.split(values, size)

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[tuple[Tensor]]:
        return ((part,) for part in self.parts)


class Step(NamedTuple):
    """One step of N environments; all is experience, no entry is a reset."""

    observations: Tensor
    """float32 ``(N, *)``, what the actions answered."""
    actions: Tensor
    """int64 ``(N,)``."""
    rewards: Tensor
    """float32 ``(N,)``."""
    next_observations: Tensor
    """float32 ``(N, *)``, what followed; at an episode's end its final observation."""
    terminated: Tensor
    """bool ``(N,)``: the task ended, nothing of value comes after."""
    truncated: Tensor
    """bool ``(N,)``: a time limit cut the episode; its value goes on."""
    returns: Tensor
    """float32 ``(N,)``, the sum of the episode's rewards up to here."""

    @property
    def ended(self) -> Tensor:
        """Whether the episode is over, for either reason: bool ``(N,)``."""
        return self.terminated | self.truncated


class Play:
    """N environments that are played without end, each episode from a seed of its own.

    Every step is experience, and its next observation at an episode's end is the final one. Since
    an episode is a function of its seed and its actions, these two are all that a checkpoint needs
    to stand at the same place again.

    Args:
        environments: as many as are played.
        seed_of: the seed of an environment's episode, from both their indices.
        first_action: gymnasium's number of the action that is 0 here.

    Attributes:
        observations: what each environment shows now, float32 ``(N, *)``.

    Example:
        >>> data = Environments("CartPole-v1", num_envs=2)
        >>> data.setup()
        >>> play = data.play()
        >>> step = play.step(torch.tensor([0, 1]))
        >>> step.next_observations.shape, step.rewards.tolist(), step.ended.tolist()
        (torch.Size([2, 4]), [1.0, 1.0], [False, False])
    """

    def __init__(
        self, environments: Vector, seed_of: Callable[[int, int], int], first_action: int = 0
    ) -> None:
        self.environments = environments
        self.size = environments.size
        self._seed_of = seed_of
        self._first = first_action
        self.restart(0)

    def restart(self, episode: int) -> None:
        """Begin this episode in every environment, wherever they stand."""
        self._episodes = [episode] * self.size
        self._actions: list[list[int]] = [[] for _ in range(self.size)]
        self._returns = torch.zeros(self.size, dtype=torch.float32)
        self.observations = self._begun(np.arange(self.size))

    def step(self, actions: Tensor, playing: Tensor | None = None) -> Step:
        """Act once in the environments; those whose episode ends begin their next one.

        Args:
            actions: indices from 0, int64 ``(N,)``, on the CPU.
            playing: bool ``(N,)``, the environments that act; the others stay as they are, and
                their rows are no experience: reward 0, next observation the same. ``None``: all.
        """
        index = np.arange(self.size) if playing is None else np.flatnonzero(playing.numpy())
        taken = actions.numpy()[index]
        for place, action in zip(index.tolist(), taken.tolist(), strict=True):
            self._actions[place].append(action)
        after, *others = self.environments.step(index, taken + self._first)
        rewards, terminated, truncated = (self._of_all(index, values) for values in others)
        following = self.observations.clone()
        following[torch.from_numpy(index)] = torch.from_numpy(after).float()
        rewards = rewards.float()
        returns = self._returns + rewards
        step = Step(self.observations, actions, rewards, following, terminated, truncated, returns)
        self.observations, self._returns = following, returns
        over = step.ended
        if bool(over.any()):
            self._begin_next(over.numpy())
        return step

    def _of_all(self, index: Array, values: Array) -> Tensor:
        """The values of some environments among zeros for the others."""
        every = np.zeros(self.size, dtype=values.dtype)
        every[index] = values
        return torch.from_numpy(every)

    def _begin_next(self, over: Array) -> None:
        index = np.flatnonzero(over)
        for place in index:
            self._episodes[place] += 1
            self._actions[place] = []
        self.observations, self._returns = self.observations.clone(), self._returns.clone()
        self.observations[torch.from_numpy(index)] = self._begun(index)
        self._returns[torch.from_numpy(index)] = 0

    def _begun(self, index: Array) -> Tensor:
        """The first observations of these environments' episodes."""
        seeds = [self._seed_of(place, self._episodes[place]) for place in index.tolist()]
        return torch.from_numpy(self.environments.reset(index, seeds)).float()

    def keep(self, index: Array) -> None:
        """Go on with these environments, in this order."""
        self.environments.keep(index)
        self.size = len(index)
        self._episodes = [self._episodes[place] for place in index.tolist()]
        self._actions = [self._actions[place] for place in index.tolist()]
        places = torch.from_numpy(index)
        self.observations, self._returns = self.observations[places], self._returns[places]

    def state_dict(self, places: slice = slice(None)) -> dict[str, Any]:
        """Which episode each of these environments is in, and the actions taken in it so far."""
        return {
            "episodes": self._episodes[places],
            "actions": [list(actions) for actions in self._actions[places]],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Stand where the state says, by playing those actions again.

        Raises:
            ValueError: if the state is of another number of environments.
        """
        if len(state["episodes"]) != self.size:
            raise ValueError(
                f"state must be of {self.size} environments, got {len(state['episodes'])}"
            )
        self._episodes = list(state["episodes"])
        self._actions = [list(actions) for actions in state["actions"]]
        self._returns = torch.zeros(self.size, dtype=torch.float32)
        self.observations = self._begun(np.arange(self.size))
        lengths = np.array([len(actions) for actions in self._actions])
        for step in range(lengths.max()):
            index = np.flatnonzero(lengths > step)
            taken = np.array([self._actions[place][step] for place in index]) + self._first
            after, rewards, *_ = self.environments.step(index, taken)
            places = torch.from_numpy(index)
            self.observations[places] = torch.from_numpy(after).float()
            self._returns[places] += torch.from_numpy(rewards).float()


class Environments(pl.LightningDataModule):
    """Environments of gymnasium with discrete actions, and the seeds of the episodes to play.

    Training episodes, those that choose the checkpoint, those of validation and those of the test
    have seeds from separate streams. A training batch is a number of environment steps: the module
    plays until, counted from the epoch's start, so many are done.

    Args:
        env_id: gymnasium's name; ``"module:Name-v0"`` imports the module first.
        env_options: options of the environment itself.
        max_episode_steps: the time limit; ``None``: the environment's own.
        num_envs: environments played side by side in training.
        steps_per_epoch: environment steps in an epoch.
        steps_per_batch: environment steps in a training batch.
        choice_episodes: greedy episodes that choose the checkpoint.
        val_episodes: greedy episodes of the validation.
        test_episodes: greedy episodes of the test.
        solved_return: the mean return at which the environment counts as solved; ``None``: the
            environment's own threshold, if it has one.
        seed: the run's seed.

    Attributes, after :meth:`setup`:
        train, choice, val, test: the seeds of the splits' episodes, int64 ``(n,)``; ``train`` has
            those of as many first training episodes as the test has.
        input_shape: the shape of an observation; one that is no array of numbers is flattened.
        outputs: the number of actions.
        first_action: gymnasium's number of the first action; networks count from 0.
        solved_at: the mean return at which the environment counts as solved, or ``None``.

    Raises:
        ValueError: if an option is out of range; at :meth:`setup` also for an unknown environment,
            one whose actions are not discrete, or one without a time limit.

    Example:
        >>> data = Environments("CartPole-v1", num_envs=8)
        >>> data.setup()
        >>> data.input_shape, data.outputs, len(data.test)
        ((4,), 2, 100)
    """

    target_kind = "returns"
    class_counts = None

    def __init__(
        self,
        env_id: str = "CartPole-v1",
        *,
        env_options: Mapping[str, Any] | None = None,
        max_episode_steps: int | None = None,
        num_envs: int = 8,
        steps_per_epoch: int = 10_000,
        steps_per_batch: int = 500,
        choice_episodes: int = 50,
        val_episodes: int = 20,
        test_episodes: int = 100,
        solved_return: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        counts = {
            "num_envs": num_envs,
            "steps_per_epoch": steps_per_epoch,
            "steps_per_batch": steps_per_batch,
            "choice_episodes": choice_episodes,
            "val_episodes": val_episodes,
            "test_episodes": test_episodes,
        }
        for name, value in counts.items():
            checks.require_whole(name, value, 1)
        if max_episode_steps is not None:
            checks.require_whole("max_episode_steps", max_episode_steps, 1)
        if solved_return is not None:
            checks.require_number("solved_return", solved_return)
        self.env_id = env_id
        self.env_options = dict(env_options or {})
        self.max_episode_steps = max_episode_steps
        self.num_envs = num_envs
        self.steps_per_epoch = steps_per_epoch
        self.steps_per_batch = steps_per_batch
        self.choice_episodes = choice_episodes
        self.val_episodes = val_episodes
        self.test_episodes = test_episodes
        self.solved_return = solved_return
        self.seed = seed

    def setup(self, stage: str | None = None) -> None:
        """Make one environment to learn its sizes, and draw the seeds."""
        environment = self._make()
        actions, observations = environment.action_space, environment.observation_space
        spec = environment.spec
        environment.close()
        if not isinstance(actions, gymnasium.spaces.Discrete):
            raise ValueError(f"env_id must have discrete actions, got {self.env_id} with {actions}")
        if spec is None or spec.max_episode_steps is None:
            raise ValueError(
                f"env_id must have a time limit, got {self.env_id} without: give max_episode_steps"
            )
        assert observations.shape is not None
        self.input_shape = tuple(observations.shape)
        self.outputs = int(actions.n)
        self.first_action = int(actions.start)
        self.solved_at = self.solved_return
        if self.solved_at is None:
            self.solved_at = spec.reward_threshold
        self.train = torch.tensor(
            [
                self.training_seed(index % self.num_envs, index // self.num_envs)
                for index in range(self.test_episodes)
            ]
        )
        self.choice = self._drawn(Purpose.CHOICE_EPISODES, self.choice_episodes)
        self.val = self._drawn(Purpose.VAL_EPISODES, self.val_episodes)
        self.test = self._drawn(Purpose.TEST_EPISODES, self.test_episodes)

    def play(self) -> Play:
        """The training environments, at the start of their first episodes."""
        return Play(self.vector(self.num_envs), self.training_seed, self.first_action)

    def vector(self, size: int) -> Vector:
        """So many environments side by side."""
        return side_by_side(self._make, size)

    def _make(self) -> Any:
        options = dict(self.env_options)
        if self.max_episode_steps is not None:
            options["max_episode_steps"] = self.max_episode_steps
        try:
            environment: Any = gymnasium.make(self.env_id, disable_env_checker=True, **options)
        except (gymnasium.error.Error, ModuleNotFoundError, TypeError) as error:
            raise ValueError(f"env_id must name an environment: {error}") from error
        if isinstance(environment.observation_space, gymnasium.spaces.Box):
            return environment
        return gymnasium.wrappers.FlattenObservation(environment)

    def training_seed(self, index: int, episode: int) -> int:
        """The seed of an environment's episode in training."""
        return derive_seed(self.seed, Purpose.TRAINING_EPISODES, index, episode)

    def _drawn(self, purpose: Purpose, count: int) -> Tensor:
        return torch.tensor([derive_seed(self.seed, purpose, index) for index in range(count)])

    # --- what a run records and prints --------------------------------------------------------

    def fingerprint(self) -> str:
        """A hash of the environment's name and options and of the seeds of all judged episodes."""
        judged = [self.choice.tolist(), self.val.tolist(), self.test.tolist()]
        return _digest(
            self.env_id, sorted(self.env_options.items()), self.max_episode_steps, judged
        )

    def order_fingerprint(self) -> str:
        """A hash of the first training episodes' seeds; what is met in them is up to the policy."""
        return _digest(self.num_envs, self.train.tolist())

    def describe(self) -> str:
        """Sizes, for a person to read."""
        shape = " x ".join(map(str, self.input_shape))
        return (
            f"{self.env_id}: observations of shape {shape}, {self.outputs} actions\n"
            f"{self.num_envs} environments in training, {self.steps_per_epoch} steps an epoch; "
            f"greedy episodes: {len(self.choice)} choose the checkpoint, {len(self.val)} "
            f"validation, {len(self.test)} test"
        )

    # --- what Lightning asks for --------------------------------------------------------------

    def train_dataloader(self) -> Parts:
        """The environment steps, from the epoch's start, that are done after each batch."""
        ends = [*range(self.steps_per_batch, self.steps_per_epoch, self.steps_per_batch)]
        return Parts(torch.tensor([*ends, self.steps_per_epoch]), 1)

    def val_dataloader(self) -> list[Parts]:
        """The episodes that choose the checkpoint, then those of the validation."""
        return [self.batches(self.choice), self.batches(self.val)]

    def test_dataloader(self) -> Parts:
        """The episodes of the test."""
        return self.batches(self.test)

    def batches(self, split: Tensor, *, trainer: pl.Trainer | None = None) -> Parts:
        """A split's seeds, as many a batch as are played side by side."""
        return Parts(split, EPISODES_AT_ONCE)


def _digest(*values: Any) -> str:
    return hashlib.blake2b(repr(values).encode(), digest_size=8).hexdigest()
