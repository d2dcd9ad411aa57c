"""REINFORCE with a baseline, and its relatives: actor-critic and clipped PPO."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from losslab.losses.base import full_precision, require_at_least, require_between
from losslab.losses.reinforcement import PolicyPrediction, PolicyTarget
from losslab.rl.gae import generalized_advantages
from losslab.rl.module import Control, ReinforcementModule, Rows, Runs, count_step
from losslab.rl.rollout import Step
from losslab.rng import Purpose, derive_seed


class PolicyGradient(ReinforcementModule):
    r"""Plays, then makes the actions more likely that turned out better than expected.

    One round plays, estimates how much better each action was than the value network expected
    (:func:`~losslab.rl.gae.generalized_advantages`), and updates both networks.

    - **REINFORCE with a baseline** (``rollout=None``, ``trace=1``, ``passes=1``): a round is one
      whole episode of each environment, and the advantage is its return minus the baseline. An
      environment waits after its episode while others still play.
    - **Actor-critic** (``rollout`` a number of steps, ``trace`` below 1): episodes go on from round
      to round, and the value network stands for what comes after the round.
    - **PPO** (also ``passes`` and ``minibatches`` above 1, with a loss that has ``clip``).

    Args:
        network: maps observations to a logit an action.
        loss: reads log-probabilities with advantages.
        task: has the environments.
        value_network: makes the value network from ``input_shape``.
        rollout: steps of each environment in a round; ``None``: one whole episode of each.
        discount: gamma.
        trace: lambda of the advantages.
        passes: how often a round's steps are learnt from.
        minibatches: parts that a pass divides them into, an optimizer step each.
        value_weight: the weight of the value network's squared error in the objective.
        optimizer, scheduler, regularizer, seed, name, monitor, max_grad_norm: see
            :class:`~losslab.rl.module.ReinforcementModule`.

    Raises:
        ValueError: if an option is out of range, or the loss would learn from old steps without
            a ratio that accounts for it.
    """

    networks = ("network", "value_network")
    trained = ("network", "value_network")

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        task: Control,
        *,
        value_network: Callable[..., nn.Module],
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: Callable[..., Any] | None,
        regularizer: Callable[[Mapping[str, Tensor]], Tensor] | None,
        seed: int,
        name: str,
        monitor: str,
        rollout: int | None = None,
        discount: float = 0.99,
        trace: float = 1.0,
        passes: int = 1,
        minibatches: int = 1,
        value_weight: float = 0.5,
        max_grad_norm: float | None = None,
    ) -> None:
        super().__init__(
            network,
            loss,
            task,
            optimizer=optimizer,
            scheduler=scheduler,
            regularizer=regularizer,
            seed=seed,
            name=name,
            monitor=monitor,
            max_grad_norm=max_grad_norm,
        )
        require_between("discount", discount, 0, 1)
        require_between("trace", trace, 0, 1)
        require_at_least("passes", passes, 1)
        require_at_least("minibatches", minibatches, 1)
        require_at_least("value_weight", value_weight, 0, strict=True)
        if rollout is not None:
            require_at_least("rollout", rollout, 1)
        if passes * minibatches > 1 and getattr(loss, "clip", None) is None:
            raise ValueError(
                "passes and minibatches must be 1 for a loss without clip, "
                f"got {passes} and {minibatches}: the steps would be of an older policy"
            )
        self.rollout = rollout
        self.discount = discount
        self.trace = trace
        self.passes = passes
        self.minibatches = minibatches
        self.value_weight = value_weight
        self.rounds = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, Purpose.VALUE_WEIGHTS))
            self.value_network = value_network(input_shape=task.environments.input_shape)

    def memory(self) -> dict[str, Any]:
        """The number of rounds, which the draws depend on."""
        return {"rounds": self.rounds}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Take back what :meth:`memory` gave."""
        self.rounds = memory["rounds"]

    def advance(self, runs: Runs) -> None:
        """One round."""
        steps, experience = self._collect(runs)
        self._learn(runs, steps, experience)
        for run in runs.modules:
            run.rounds += 1

    # --- playing -------------------------------------------------------------------------------

    @torch.no_grad()
    def _collect(self, runs: Runs) -> tuple[dict[str, Tensor], Tensor]:
        """The round's steps ``(K, T, N, *)``, and which are experience, bool ``(K, T, N)``.

        A run whose round is over waits for the others.
        """
        play, shape = runs.play, (len(runs.modules), -1)
        if self.rollout is None:
            play.restart(self.rounds)
        draws = [run.stream(Purpose.ACTIONS, run.rounds) for run in runs.modules]
        playing = torch.ones(play.size, dtype=torch.bool).view(shape)
        steps: list[tuple[Tensor, ...]] = []
        experience: list[Tensor] = []
        going = list(range(len(draws)))
        while going and len(steps) != self.rollout:
            logits = runs.outputs("network", play.observations.unflatten(0, shape))
            uniform = torch.zeros(playing.shape)
            for row in going:
                uniform[row] = torch.rand(playing.shape[1], generator=draws[row])
            step = play.step(sampled(logits.flatten(0, 1), uniform.flatten()), playing.flatten())
            count_step(runs, step, playing)
            steps.append(step)
            experience.append(playing)
            if self.rollout is None:
                playing = playing & ~step.ended.view(shape)
                going = playing.any(dim=1).nonzero().flatten().tolist()
        columns = [torch.stack(column).unflatten(1, shape) for column in zip(*steps, strict=True)]
        names = Step._fields
        by_run = {name: c.transpose(0, 1) for name, c in zip(names, columns, strict=True)}
        return by_run, torch.stack(experience, dim=1)

    # --- learning ------------------------------------------------------------------------------

    def _learn(self, runs: Runs, steps: Rows, experience: Tensor) -> None:
        """The round's optimizer steps."""
        rows, counts = self._lessons(runs, steps, experience)
        for number in range(self.passes):
            for batch, own in self._minibatches(runs, rows, counts, number):
                outputs = {
                    "logits": runs.outputs("network", batch["observations"]),
                    "values": runs.outputs("value_network", batch["observations"]).squeeze(-1),
                }
                runs.update(outputs, batch, own)

    @torch.no_grad()
    def _lessons(
        self, runs: Runs, steps: Rows, experience: Tensor
    ) -> tuple[dict[str, Tensor], list[int]]:
        """What is learnt from, ``(K, B, *)``, and how many of the rows are each run's own."""
        values = self._values(runs, steps["observations"])
        advantages = self._advantages(runs, steps, values)
        by_step = {
            "observations": steps["observations"],
            "actions": steps["actions"],
            "advantages": advantages,
            "returns": advantages + values,
        }
        own = [
            [values[run][mask] for run, mask in enumerate(experience)]
            for values in by_step.values()
        ]
        rows = {
            name: pad_sequence(column, batch_first=True).to(self.device)
            for name, column in zip(by_step, own, strict=True)
        }
        logits = runs.outputs("network", rows["observations"])
        rows["old_log_probs"] = judgement(logits, rows["actions"]).log_probs
        return rows, [len(actions) for actions in own[1]]

    def _minibatches(
        self, runs: Runs, rows: Rows, counts: list[int], number: int
    ) -> Iterator[tuple[Rows, list[int]]]:
        """The parts of a pass with their counts; several need the same counts in all runs."""
        if self.minibatches == 1:
            yield rows, counts
            return
        number += self.rounds * self.passes
        orders = torch.stack(
            [
                torch.randperm(counts[0], generator=run.stream(Purpose.MINIBATCHES, number))
                for run in runs.modules
            ]
        ).to(self.device)
        each = torch.arange(len(orders), device=self.device)[:, None]
        for index in orders.tensor_split(min(self.minibatches, counts[0]), dim=1):
            batch = {name: values[each, index] for name, values in rows.items()}
            yield batch, [index.shape[1]] * len(orders)

    def _advantages(self, runs: Runs, steps: Rows, values: Tensor) -> Tensor:
        """How much better each step's action turned out, ``(K, T, N)``."""
        following = self._values(runs, steps["next_observations"])
        ended = steps["terminated"] | steps["truncated"]
        columns = (steps["rewards"], values, following, steps["terminated"], ended)
        by_step = (column.transpose(0, 1).flatten(1) for column in columns)
        advantages = generalized_advantages(*by_step, discount=self.discount, gae_lambda=self.trace)
        by_run: Tensor = advantages.unflatten(1, (len(values), -1)).transpose(0, 1)
        return by_run

    def _values(self, runs: Runs, observations: Tensor) -> Tensor:
        """V of ``(K, T, N, *)`` observations, ``(K, T, N)`` on the CPU."""
        values = runs.outputs("value_network", observations.flatten(1, 2))
        (values,) = full_precision(values.squeeze(-1))
        return values.cpu().view(observations.shape[:3])

    # --- of one run ----------------------------------------------------------------------------

    def asked(self, outputs: Rows, rows: Rows) -> tuple[PolicyPrediction, PolicyTarget]:
        """Log-probabilities and advantages."""
        prediction = judgement(outputs["logits"], rows["actions"])
        return prediction, PolicyTarget(rows["advantages"], rows["old_log_probs"])

    def own_parts(self, outputs: Rows, rows: Rows) -> dict[str, Tensor]:
        """The value network's squared error."""
        error = F.mse_loss(outputs["values"], rows["returns"])
        return {"value": self.value_weight * error}

    def example(self, count: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Outputs and rows such as the objective gets."""
        numbers = torch.linspace(-1, 1, count)
        outputs = {"logits": numbers[:, None] * torch.ones(self.task.outputs), "values": numbers}
        rows = {
            "actions": torch.arange(count) % self.task.outputs,
            "advantages": numbers,
            "returns": numbers,
            "old_log_probs": numbers - 2,
        }
        return outputs, rows


def judgement(logits: Tensor, actions: Tensor) -> PolicyPrediction:
    """What a policy says of the actions taken.

    Args:
        logits: ``(*, A)``.
        actions: int64 ``(*)``.
    """
    log_probs = F.log_softmax(logits, dim=-1)
    taken = log_probs.gather(-1, actions[..., None]).squeeze(-1)
    return PolicyPrediction(taken, -(log_probs.exp() * log_probs).sum(dim=-1))


def sampled(logits: Tensor, uniform: Tensor) -> Tensor:
    """Actions drawn with the probabilities of the logits, each from one uniform number.

    Args:
        logits: ``(N, A)``.
        uniform: ``(N,)``, from 0 to below 1, on the CPU.

    Returns:
        int64 ``(N,)``, on the CPU.

    Example:
        >>> sampled(torch.zeros(3, 2), torch.tensor([0.1, 0.49, 0.51])).tolist()
        [0, 0, 1]
    """
    bounds = logits.cpu().double().softmax(dim=1).cumsum(dim=1)
    # the last bound can be rounded to just below 1
    return (bounds[:, :-1] <= uniform[:, None]).sum(dim=1)
