"""Data module of gymnasium environments, each episode with its own seed."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium
import pytorch_lightning as pl
import torch
from torch import Tensor

from losslab.config.extras import not_installed
from losslab.data import checks
from losslab.metrics.labels import some
from losslab.rl.rollout import RolloutEnvironments
from losslab.rl.vector import VectorEnvironment, make_vector_environment
from losslab.rng import Purpose, derive_seed

EPISODES_AT_ONCE = 100
"""Maximum number of episodes that are evaluated in parallel."""


class TensorLoader:
    """Batches of a tensor's rows in order, an iterable that Lightning accepts as a ``DataLoader``.

    Args:
        values: the rows, ``(n, *)``.
        batch_size: rows per batch; the last batch may have fewer.

    Example:
        >>> [batch.tolist() for batch, in TensorLoader(torch.arange(3), 2)]
        [[0, 1], [2]]
    """

    def __init__(self, values: Tensor, batch_size: int) -> None:
        self._batches: tuple[Tensor, ...] = torch.split(values, batch_size)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[tuple[Tensor]]:
        return ((batch,) for batch in self._batches)


class Environments(pl.LightningDataModule):
    """Gymnasium environments with discrete actions, and the seeds of their episodes.

    The episodes of training, of the choice of the checkpoint, of validation and of test have
    independent seeds. A training batch is the number of environment steps, counted from the start
    of the epoch, up to which the module trains.

    Args:
        env_id: gymnasium's name; ``"module:Name-v0"`` imports the module first.
        env_options: options of the environment itself.
        max_episode_steps: time limit; ``None`` for the environment's own.
        num_envs: number of environments that training steps in parallel.
        steps_per_epoch: environment steps per epoch.
        steps_per_batch: environment steps per training batch.
        choice_episodes: number of greedy episodes that choose the checkpoint.
        val_episodes: number of greedy validation episodes.
        test_episodes: number of greedy test episodes.
        solved_return: mean return at which the environment counts as solved; ``None`` for the
            environment's own threshold, if it has one.
        seed: seed of the run.

    Attributes (after :meth:`setup`):
        train, choice, val, test: seeds of the episodes, int64 ``(n,)``; ``train`` holds those of
            the first training episodes, as many as ``test`` has.
        input_shape: shape of an observation; one that is not an array is flattened.
        outputs: number of actions.
        first_action: gymnasium's number of the first action; networks count from 0.
        solved_at: mean return at which the environment counts as solved, or ``None``.

    Raises:
        ValueError: if an option is out of range; in :meth:`setup` also if the environment is
            unknown, its actions are not discrete, or it has no time limit.

    Example:
        >>> data = Environments("CartPole-v1", num_envs=8)
        >>> data.setup()
        >>> data.input_shape, data.outputs, len(data.test)
        ((4,), 2, 100)
    """

    target_kind = "returns"
    sampling = "fresh"
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
        """Read the sizes from one environment, and draw the seeds."""
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

    def rollout_environments(self) -> RolloutEnvironments:
        """Create the training environments, at the start of their first episodes."""
        return RolloutEnvironments(
            self.vector(self.num_envs), self.training_seed, self.first_action
        )

    def vector(self, size: int) -> VectorEnvironment:
        """Create this many environments that step in parallel."""
        return make_vector_environment(self._make, size)

    def _make(self) -> Any:
        options = dict(self.env_options)
        if self.max_episode_steps is not None:
            options["max_episode_steps"] = self.max_episode_steps
        try:
            environment: Any = gymnasium.make(self.env_id, disable_env_checker=True, **options)
        except gymnasium.error.DependencyNotInstalled as error:
            missing = getattr(error.__cause__, "name", None) or "gymnasium"
            raise ValueError(f"{self.env_id}: {not_installed(missing)}") from error
        except (gymnasium.error.Error, ModuleNotFoundError, TypeError) as error:
            raise ValueError(f"env_id must name an environment: {error}") from error
        if isinstance(environment.observation_space, gymnasium.spaces.Box):
            return environment
        return gymnasium.wrappers.FlattenObservation(environment)

    def training_seed(self, index: int, episode: int) -> int:
        """Return the seed of a training episode, given the environment and the episode's number."""
        return derive_seed(self.seed, Purpose.TRAINING_EPISODES, index, episode)

    def _drawn(self, purpose: Purpose, count: int) -> Tensor:
        return torch.tensor([derive_seed(self.seed, purpose, index) for index in range(count)])

    @property
    def test_index(self) -> Tensor:
        """Return the identity of each test episode, its seed."""
        return self.test

    # --- records and messages ------------------------------------------------------------------

    def fingerprint(self) -> str:
        """Hash the environment's name and options and the seeds of the evaluated episodes."""
        evaluated = [self.choice.tolist(), self.val.tolist(), self.test.tolist()]
        return _digest(
            self.env_id, sorted(self.env_options.items()), self.max_episode_steps, evaluated
        )

    def order_fingerprint(self) -> str:
        """Hash the seeds of the first training episodes, whose steps depend on the policy."""
        return _digest(self.num_envs, self.train.tolist())

    def sizes(self) -> dict[str, int]:
        """Return the number of greedy episodes per evaluation."""
        return {"val": len(self.val), "test": len(self.test)}

    def describe(self) -> str:
        """Describe the sizes in words."""
        shape = " x ".join(map(str, self.input_shape))
        return (
            f"{self.env_id}: observations of shape {shape}, {self.outputs} actions\n"
            f"{some(self.num_envs, 'environments')} in training, "
            f"{self.steps_per_epoch} steps per epoch; "
            f"greedy episodes: {len(self.choice)} choose the checkpoint, {len(self.val)} "
            f"validation, {len(self.test)} test"
        )

    # --- dataloaders ---------------------------------------------------------------------------

    def train_dataloader(self) -> TensorLoader:
        """Return the numbers of environment steps, from the epoch's start, up to which to train."""
        ends = [*range(self.steps_per_batch, self.steps_per_epoch, self.steps_per_batch)]
        return TensorLoader(torch.tensor([*ends, self.steps_per_epoch]), 1)

    def val_dataloader(self) -> list[TensorLoader]:
        """Return the seeds of the episodes that choose the checkpoint, then those of validation."""
        return [self.batches(self.choice), self.batches(self.val)]

    def test_dataloader(self) -> TensorLoader:
        """Return the seeds of the test episodes."""
        return self.batches(self.test)

    def batches(self, split: Tensor, *, trainer: pl.Trainer | None = None) -> TensorLoader:
        """Return the seeds of a split, in batches that are evaluated in parallel."""
        return TensorLoader(split, EPISODES_AT_ONCE)


def _digest(*values: Any) -> str:
    return hashlib.blake2b(repr(values).encode(), digest_size=8).hexdigest()
