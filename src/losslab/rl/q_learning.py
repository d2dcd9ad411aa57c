"""Deep Q-learning with a replay buffer and a target network."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from losslab.losses.base import require_at_least, require_between
from losslab.losses.reinforcement import TransitionTarget
from losslab.rl.algorithm import Algorithm, ParallelRuns, Tensors
from losslab.rl.progress import count_steps
from losslab.rl.replay import ReplayBuffer, Transitions
from losslab.rng import Purpose

if TYPE_CHECKING:
    from losslab.rl.control import Control


class QLearning(Algorithm):
    r"""Deep Q-learning with epsilon-greedy exploration, off-policy.

    With probability :math:`\varepsilon` an action is drawn uniformly; :math:`\varepsilon` falls
    linearly from 1 to ``exploration_final`` over ``exploration_steps`` environment steps. Each
    optimizer step trains on a batch from the replay buffer. After every ``target_every`` of them
    the target network's weights move towards the network's by the fraction ``target_rate`` (1
    copies them).

    Args:
        network: network that maps observations to one value per action.
        loss: loss of Q-values and transitions; it has the options discount, double Q-learning and
            error measure.
        task: task that holds the environments.
        seed: seed of the run.
        regularizer: function of the network's named parameters, or ``None``.
        replay_capacity: maximum number of transitions in the replay buffer.
        warmup: environment steps before the first optimizer step.
        batch_size: transitions per optimizer step.
        update_every: environment steps per optimizer step.
        target_every: optimizer steps between updates of the target network.
        target_rate: fraction by which it moves, above 0 and up to 1.
        exploration_final: final epsilon.
        exploration_steps: environment steps until then.

    Attributes:
        replay: the replay buffer.

    Raises:
        ValueError: if an option is out of range.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        task: "Control",
        *,
        seed: int,
        regularizer: Callable[[Tensors], Tensor] | None = None,
        replay_capacity: int = 100_000,
        warmup: int = 1_000,
        batch_size: int = 64,
        update_every: int = 2,
        target_every: int = 128,
        target_rate: float = 1.0,
        exploration_final: float = 0.04,
        exploration_steps: int = 8_000,
    ) -> None:
        super().__init__(network, loss, task, seed=seed, regularizer=regularizer)
        require_at_least("replay_capacity", replay_capacity, task.environments.num_envs)
        require_at_least("warmup", warmup, 1)
        require_at_least("batch_size", batch_size, 1)
        require_at_least("update_every", update_every, 1)
        require_at_least("target_every", target_every, 1)
        require_at_least("target_rate", target_rate, 0, strict=True)
        require_between("target_rate", target_rate, 0, 1)
        require_between("exploration_final", exploration_final, 0, 1)
        require_at_least("exploration_steps", exploration_steps, 1)
        self.replay = ReplayBuffer(replay_capacity, task.environments.input_shape)
        self.warmup = warmup
        self.batch_size = batch_size
        self.update_every = update_every
        self.target_every = target_every
        self.target_rate = target_rate
        self.exploration_final = exploration_final
        self.exploration_steps = exploration_steps
        self.networks["target_network"] = deepcopy(network).requires_grad_(False)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the replay buffer."""
        return {"replay": self.replay.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the replay buffer."""
        self.replay.load_state_dict(state["replay"])

    @property
    def state_numel(self) -> int:
        """Number of tensor elements in a full replay buffer."""
        return self.replay.numel

    def metrics(self) -> dict[str, float]:
        """Return the current epsilon, to log it."""
        return {"exploration": self.epsilon()}

    def epsilon(self) -> float:
        """Return the current probability of a random action."""
        done = min(self.progress.env_steps / self.exploration_steps, 1.0)
        return 1.0 + done * (self.exploration_final - 1.0)

    # --- all runs ------------------------------------------------------------------------------

    def advance(self, runs: ParallelRuns) -> None:
        """Take one step of the environments, and the optimizer steps that are due after it."""
        self._collect(runs)
        steps = self.progress.env_steps - self.warmup
        while self.progress.updates < steps // self.update_every:
            self._train(runs)

    @torch.no_grad()
    def _collect(self, runs: ParallelRuns) -> None:
        """Take one step of the environments, and add it to the replay buffers."""
        environments, shape = runs.environments, (len(runs.algorithms), -1)
        values = runs.outputs("network", environments.observations.unflatten(0, shape))
        actions = []
        for algorithm, own in zip(runs.algorithms, values, strict=True):
            rng = algorithm.rng(Purpose.EXPLORATION, algorithm.progress.env_steps)
            actions.append(epsilon_greedy(own, algorithm.epsilon(), rng))
        step = environments.step(torch.cat(actions))
        count_steps([algorithm.progress for algorithm in runs.algorithms], step)
        columns = [getattr(step, name).unflatten(0, shape) for name in Transitions._fields]
        for row, algorithm in enumerate(runs.algorithms):
            algorithm.replay.add(Transitions(*(column[row] for column in columns)))

    def _train(self, runs: ParallelRuns) -> None:
        """Take one optimizer step, and update the target network if that is due."""
        samples = []
        for algorithm in runs.algorithms:
            rng = algorithm.rng(Purpose.REPLAY, algorithm.progress.updates)
            samples.append(algorithm.replay.sample(self.batch_size, rng))
        columns = (torch.stack(column).to(runs.device) for column in zip(*samples, strict=True))
        batch = dict(zip(Transitions._fields, columns, strict=True))
        outputs = {"q": runs.outputs("network", batch["observations"])}
        with torch.no_grad():
            following = batch["next_observations"]
            outputs["next_q_target"] = runs.outputs("target_network", following)
            if any(algorithm.needs_online_values for algorithm in runs.algorithms):
                outputs["next_q_online"] = runs.outputs("network", following)
        runs.update(outputs, batch)
        if self.progress.updates % self.target_every == 0:
            self._update_target(runs)

    @torch.no_grad()
    def _update_target(self, runs: ParallelRuns) -> None:
        """Move the target network's weights towards those of the network."""
        target, online = runs.parameters("target_network"), runs.parameters("network")
        torch._foreach_lerp_(target, online, self.target_rate)

    # --- objective of one run ------------------------------------------------------------------

    @property
    def needs_online_values(self) -> bool:
        """Whether the loss needs the network's values of the next observations."""
        return bool(getattr(self.loss, "double_q", True))

    def loss_arguments(self, outputs: Tensors, batch: Tensors) -> tuple[Tensor, TransitionTarget]:
        """Return the Q-values and the transitions."""
        following = outputs["next_q_target"], outputs.get("next_q_online")
        transitions = batch["actions"], batch["rewards"], batch["terminated"]
        return outputs["q"], TransitionTarget(*transitions, *following)

    def diagnostics_due(self, every: int) -> bool:
        """Return whether the latest optimizer step is one of every so many."""
        return self.progress.updates % every == 0

    @property
    def batch_rows(self) -> int:
        """Number of transitions of a training batch."""
        return self.batch_size

    def example(self, count: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return example outputs and a training batch of this many rows."""
        numbers = torch.linspace(-1, 1, count)
        values = numbers[:, None] * torch.ones(self.task.outputs)
        outputs = dict.fromkeys(("q", "next_q_target", "next_q_online"), values)
        batch = {
            "actions": torch.arange(count) % self.task.outputs,
            "rewards": numbers,
            "terminated": numbers > 0,
        }
        return outputs, batch


def epsilon_greedy(values: Tensor, epsilon: float, rng: torch.Generator) -> Tensor:
    """Choose the actions of the highest values, but with probability epsilon a uniform one.

    Args:
        values: value of each action, ``(N, A)``.
        epsilon: probability between 0 and 1.
        rng: random number generator on the CPU.

    Returns:
        Actions, int64 ``(N,)``, on the CPU.
    """
    count, actions = values.shape
    explores = torch.rand(count, generator=rng) < epsilon
    other = torch.randint(actions, (count,), generator=rng)
    return torch.where(explores, other, values.argmax(dim=1).cpu())
