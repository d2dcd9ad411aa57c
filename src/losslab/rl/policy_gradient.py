"""REINFORCE with a baseline and its relatives, actor-critic and clipped PPO."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from losslab.losses.base import full_precision, require_at_least, require_between
from losslab.losses.reinforcement import PolicyPrediction, PolicyTarget
from losslab.rl.algorithm import Algorithm, ParallelRuns, Tensors
from losslab.rl.gae import generalized_advantages
from losslab.rl.progress import count_steps
from losslab.rl.rollout import Step
from losslab.rng import Purpose, derive_seed

if TYPE_CHECKING:
    from losslab.rl.control import Control


class PolicyGradient(Algorithm):
    r"""Policy gradient with a value network, on-policy.

    It collects a rollout, estimates by how much each action exceeded the expectation of the value
    network (:func:`~losslab.rl.gae.generalized_advantages`), and updates both networks.

    - **REINFORCE with a baseline** (``rollout=None``, ``gae_lambda=1``, ``epochs=1``): a rollout is
      one whole episode of each environment, and the advantage is its return minus the baseline. An
      environment whose episode has ended waits for the others.
    - **Actor-critic** (``rollout`` a number of steps, ``gae_lambda`` below 1): episodes continue
      from one rollout to the next, and the value network estimates the return after a rollout.
    - **PPO** (also ``epochs`` and ``minibatches`` above 1, with a loss that has ``clip``).

    Args:
        network: network that maps observations to one logit per action.
        loss: loss of log-probabilities and advantages.
        task: task that holds the environments.
        value_network: function that makes the value network from ``input_shape``.
        seed: seed of the run.
        regularizer: function of the network's named parameters, or ``None``.
        rollout: steps of each environment per rollout; ``None`` for one whole episode of each.
        discount: gamma.
        gae_lambda: lambda of the advantages.
        epochs: number of passes of the optimizer over each rollout.
        minibatches: number of minibatches per pass, with an optimizer step each.
        value_weight: weight of the value network's squared error in the objective.

    Attributes:
        rollouts: number of rollouts collected.

    Raises:
        ValueError: if an option is out of range, or the loss would train on steps of an older
            policy without correcting for it by a clipped ratio.
    """

    trained = ("network", "value_network")

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        task: "Control",
        *,
        value_network: Callable[..., nn.Module],
        seed: int,
        regularizer: Callable[[Tensors], Tensor] | None = None,
        rollout: int | None = None,
        discount: float = 0.99,
        gae_lambda: float = 1.0,
        epochs: int = 1,
        minibatches: int = 1,
        value_weight: float = 0.5,
    ) -> None:
        super().__init__(network, loss, task, seed=seed, regularizer=regularizer)
        require_between("discount", discount, 0, 1)
        require_between("gae_lambda", gae_lambda, 0, 1)
        require_at_least("epochs", epochs, 1)
        require_at_least("minibatches", minibatches, 1)
        require_at_least("value_weight", value_weight, 0, strict=True)
        if rollout is not None:
            require_at_least("rollout", rollout, 1)
        if epochs * minibatches > 1 and getattr(loss, "clip", None) is None:
            raise ValueError(
                "epochs and minibatches must be 1 for a loss without clip, "
                f"got {epochs} and {minibatches}: the steps would be of an older policy"
            )
        self.rollout = rollout
        self.discount = discount
        self.gae_lambda = gae_lambda
        self.epochs = epochs
        self.minibatches = minibatches
        self.value_weight = value_weight
        self.rollouts = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, Purpose.VALUE_WEIGHTS))
            self.networks["value_network"] = value_network(
                input_shape=task.environments.input_shape
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the number of rollouts, on which the random numbers depend."""
        return {"rollouts": self.rollouts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the number of rollouts."""
        self.rollouts = state["rollouts"]

    def evaluation_rng(self) -> torch.Generator:
        """Create the random numbers of test episodes with sampled actions."""
        return self.rng(Purpose.TEST_ACTIONS, 0)

    def advance(self, runs: ParallelRuns) -> None:
        """Collect one rollout of each run and train on it."""
        steps, experience = self._collect(runs)
        self._train(runs, steps, experience)
        for algorithm in runs.algorithms:
            algorithm.rollouts += 1

    # --- rollout -------------------------------------------------------------------------------

    @torch.no_grad()
    def _collect(self, runs: ParallelRuns) -> tuple[dict[str, Tensor], Tensor]:
        """Collect a rollout of each run; a run whose episodes have ended waits for the others.

        Returns:
            Fields of :class:`~losslab.rl.rollout.Step`, ``(K, T, N, *)`` each, and which entries
            are experience, bool ``(K, T, N)``.
        """
        environments, shape = runs.environments, (len(runs.algorithms), -1)
        if self.rollout is None:
            environments.restart(self.rollouts)
        rngs = [algorithm.rng(Purpose.ACTIONS, algorithm.rollouts) for algorithm in runs.algorithms]
        progress = [algorithm.progress for algorithm in runs.algorithms]
        acting = torch.ones(environments.size, dtype=torch.bool).view(shape)
        steps: list[tuple[Tensor, ...]] = []
        experience: list[Tensor] = []
        active = list(range(len(rngs)))
        while active and len(steps) != self.rollout:
            logits = runs.outputs("network", environments.observations.unflatten(0, shape))
            uniform = torch.zeros(acting.shape)
            for run in active:
                uniform[run] = torch.rand(acting.shape[1], generator=rngs[run])
            actions = sample_actions(logits.flatten(0, 1), uniform.flatten())
            step = environments.step(actions, acting.flatten())
            count_steps(progress, step, acting)
            steps.append(step)
            experience.append(acting)
            if self.rollout is None:
                acting = acting & ~step.ended.view(shape)
                active = acting.any(dim=1).nonzero().flatten().tolist()
        columns = [torch.stack(column).unflatten(1, shape) for column in zip(*steps, strict=True)]
        fields = zip(Step._fields, columns, strict=True)
        return {name: c.transpose(0, 1) for name, c in fields}, torch.stack(experience, dim=1)

    # --- training ------------------------------------------------------------------------------

    def _train(self, runs: ParallelRuns, steps: Tensors, experience: Tensor) -> None:
        """Take the optimizer steps of a rollout."""
        batch, counts = self._training_batch(runs, steps, experience)
        for epoch in range(self.epochs):
            for minibatch, own in self._minibatches(runs, batch, counts, epoch):
                outputs = {
                    "logits": runs.outputs("network", minibatch["observations"]),
                    "values": runs.outputs("value_network", minibatch["observations"]).squeeze(-1),
                }
                runs.update(outputs, minibatch, own)

    @torch.no_grad()
    def _training_batch(
        self, runs: ParallelRuns, steps: Tensors, experience: Tensor
    ) -> tuple[dict[str, Tensor], list[int]]:
        """Return the training batch ``(K, B, *)`` of a rollout, and each run's number of rows."""
        values = self._values(runs, steps["observations"])
        advantages = self._advantages(runs, steps, values)
        by_step = {
            "observations": steps["observations"],
            "actions": steps["actions"],
            "advantages": advantages,
            "returns": advantages + values,
        }
        own = [
            [column[run][mask] for run, mask in enumerate(experience)]
            for column in by_step.values()
        ]
        batch = {
            name: pad_sequence(column, batch_first=True).to(runs.device)
            for name, column in zip(by_step, own, strict=True)
        }
        logits = runs.outputs("network", batch["observations"])
        batch["old_log_probs"] = evaluate_actions(logits, batch["actions"]).log_probs
        return batch, [len(actions) for actions in own[1]]

    def _minibatches(
        self, runs: ParallelRuns, batch: Tensors, counts: list[int], epoch: int
    ) -> Iterator[tuple[Tensors, list[int]]]:
        """Yield the minibatches of a pass; if there are several, all runs have the same counts."""
        if self.minibatches == 1:
            yield batch, counts
            return
        counter = self.rollouts * self.epochs + epoch
        orders = torch.stack(
            [
                torch.randperm(counts[0], generator=algorithm.rng(Purpose.MINIBATCHES, counter))
                for algorithm in runs.algorithms
            ]
        ).to(runs.device)
        each = torch.arange(len(orders), device=runs.device)[:, None]
        for index in orders.tensor_split(min(self.minibatches, counts[0]), dim=1):
            minibatch = {name: values[each, index] for name, values in batch.items()}
            yield minibatch, [index.shape[1]] * len(orders)

    def _advantages(self, runs: ParallelRuns, steps: Tensors, values: Tensor) -> Tensor:
        """Estimate the advantages of a rollout's actions, ``(K, T, N)``."""
        following = self._values(runs, steps["next_observations"])
        ended = steps["terminated"] | steps["truncated"]
        columns = (steps["rewards"], values, following, steps["terminated"], ended)
        by_step = (column.transpose(0, 1).flatten(1) for column in columns)
        advantages = generalized_advantages(
            *by_step, discount=self.discount, gae_lambda=self.gae_lambda
        )
        by_run: Tensor = advantages.unflatten(1, (len(values), -1)).transpose(0, 1)
        return by_run

    def _values(self, runs: ParallelRuns, observations: Tensor) -> Tensor:
        """Compute V of observations ``(K, T, N, *)``, ``(K, T, N)`` on the CPU."""
        values = runs.outputs("value_network", observations.flatten(1, 2))
        (values,) = full_precision(values.squeeze(-1))
        return values.cpu().view(observations.shape[:3])

    # --- objective of one run ------------------------------------------------------------------

    def loss_arguments(
        self, outputs: Tensors, batch: Tensors
    ) -> tuple[PolicyPrediction, PolicyTarget]:
        """Return log-probabilities and entropies, and the advantages."""
        prediction = evaluate_actions(outputs["logits"], batch["actions"])
        return prediction, PolicyTarget(batch["advantages"], batch["old_log_probs"])

    def extra_components(self, outputs: Tensors, batch: Tensors) -> dict[str, Tensor]:
        """Return the weighted squared error of the value network."""
        error = F.mse_loss(outputs["values"], batch["returns"])
        return {"value": self.value_weight * error}

    @property
    def batch_rows(self) -> int:
        """Mean number of actions of a training batch."""
        progress = self.progress
        return round(progress.env_steps * self.epochs / max(progress.updates, 1))

    def example(self, count: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return example outputs and a training batch of this many rows."""
        numbers = torch.linspace(-1, 1, count)
        outputs = {"logits": numbers[:, None] * torch.ones(self.task.outputs), "values": numbers}
        batch = {
            "actions": torch.arange(count) % self.task.outputs,
            "advantages": numbers,
            "returns": numbers,
            "old_log_probs": numbers - 2,
        }
        return outputs, batch


def evaluate_actions(logits: Tensor, actions: Tensor) -> PolicyPrediction:
    """Return the log-probabilities of actions and the entropies of the policy.

    Args:
        logits: logits of the policy, ``(*, A)``.
        actions: int64 ``(*)``.
    """
    log_probs = F.log_softmax(logits, dim=-1)
    taken = log_probs.gather(-1, actions[..., None]).squeeze(-1)
    return PolicyPrediction(taken, -(log_probs.exp() * log_probs).sum(dim=-1))


def sample_actions(logits: Tensor, uniform: Tensor) -> Tensor:
    """Sample actions from the policy's distribution, one per uniform random number.

    Args:
        logits: logits of the policy, ``(N, A)``.
        uniform: ``(N,)``, at least 0 and below 1, on the CPU.

    Returns:
        Actions, int64 ``(N,)``, on the CPU.

    Example:
        >>> sample_actions(torch.zeros(3, 2), torch.tensor([0.1, 0.49, 0.51])).tolist()
        [0, 0, 1]
    """
    bounds = logits.cpu().double().softmax(dim=1).cumsum(dim=1)
    # the last bound can be rounded to just below 1
    return (bounds[:, :-1] <= uniform[:, None]).sum(dim=1)
