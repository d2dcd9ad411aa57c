"""REINFORCE with a baseline, and its relatives: actor-critic and clipped PPO."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from losslab.draws import draw_seed
from losslab.losses.base import require_at_least, require_between
from losslab.losses.reinforcement import PolicyPrediction, PolicyTarget
from losslab.tasks.advantage import generalized_advantages
from losslab.tasks.reinforcement import Control, ReinforcementModule


class PolicyGradient(ReinforcementModule):
    r"""Plays, then makes the actions more likely that turned out better than expected.

    One round plays, estimates how much better each action was than the value network expected
    (:func:`~losslab.tasks.advantage.generalized_advantages`), and updates both networks.

    - **REINFORCE with a baseline** (``rollout=None``, ``trace=1``, ``passes=1``): a round is one
      whole episode of each environment, and the advantage is its return minus the baseline. What
      an environment does after its episode, while others still play, is neither learnt from nor
      counted.
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
            :class:`~losslab.tasks.reinforcement.ReinforcementModule`.

    Raises:
        ValueError: if an option is out of range, or the loss would learn from old steps without
            a ratio that accounts for it.
    """

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
            torch.manual_seed(draw_seed(seed, "value weights"))
            self.value_network = value_network(input_shape=task.environments.input_shape)

    def trained(self) -> Iterable[nn.Module]:
        """The policy and its baseline."""
        return [self.network, self.value_network]

    def memory(self) -> dict[str, Any]:
        """The number of rounds, which the draws depend on."""
        return {"rounds": self.rounds}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Take back what :meth:`memory` gave."""
        self.rounds = memory["rounds"]

    def advance(self) -> None:
        """One round."""
        steps, experience = self._collect()
        self._learn(steps, experience)
        self.rounds += 1

    # --- playing -------------------------------------------------------------------------------

    @torch.no_grad()
    def _collect(self) -> tuple[dict[str, Tensor], Tensor]:
        """The round's steps ``(T, N, *)``, and which of them are experience, bool ``(T, N)``."""
        play = self.play
        playing = torch.ones(play.size, dtype=torch.bool)
        if self.rollout is None:
            play.restart(self.rounds)
            self.forget_running()
        draws = self.stream("actions", self.rounds)
        steps: list[Any] = []
        experience: list[Tensor] = []
        while bool(playing.any()) and len(steps) != self.rollout:
            logits = self.network(play.observations.to(self.device))
            step = play.step(sampled(logits, torch.rand(play.size, generator=draws)))
            self.count(step.rewards, step.ended, playing)
            steps.append(step)
            experience.append(playing)
            if self.rollout is None:
                playing = playing & ~step.ended
        names = type(steps[0])._fields
        columns = (torch.stack(column) for column in zip(*steps, strict=True))
        return dict(zip(names, columns, strict=True)), torch.stack(experience)

    # --- learning ------------------------------------------------------------------------------

    def _learn(self, steps: dict[str, Tensor], experience: Tensor) -> None:
        """The round's optimizer steps."""
        advantages = self._advantages(steps)
        with torch.no_grad():
            returns = advantages + self._values(steps["observations"])
        rows = {
            "observations": steps["observations"],
            "actions": steps["actions"],
            "advantages": advantages,
            "returns": returns,
        }
        rows = {name: values[experience].to(self.device) for name, values in rows.items()}
        with torch.no_grad():
            rows["old_log_probs"] = self._judgement(rows).log_probs
        count = len(rows["actions"])
        for number in range(self.passes):
            for index in self._minibatches(count, self.rounds * self.passes + number):
                self._step({name: values[index] for name, values in rows.items()})

    def _minibatches(self, count: int, number: int) -> Iterable[Tensor]:
        if self.minibatches == 1:
            return [torch.arange(count)]
        order = torch.randperm(count, generator=self.stream("minibatches", number))
        return order.tensor_split(min(self.minibatches, count))

    def _step(self, rows: dict[str, Tensor]) -> None:
        prediction = self._judgement(rows)
        target = PolicyTarget(rows["advantages"], rows["old_log_probs"])
        values = self.value_network(rows["observations"]).squeeze(1)
        error = self.value_weight * F.mse_loss(values, rows["returns"])
        parts = self.parts(prediction, target)
        self.update(parts | {"value": error})
        self.watch_facts(prediction, target)

    def _judgement(self, rows: dict[str, Tensor]) -> PolicyPrediction:
        """What the policy says now of the actions taken."""
        log_probs = F.log_softmax(self.network(rows["observations"]), dim=1)
        taken = log_probs.gather(1, rows["actions"][:, None]).squeeze(1)
        return PolicyPrediction(taken, -(log_probs.exp() * log_probs).sum(dim=1))

    @torch.no_grad()
    def _advantages(self, steps: dict[str, Tensor]) -> Tensor:
        return generalized_advantages(
            steps["rewards"],
            self._values(steps["observations"]),
            self._values(steps["next_observations"]),
            steps["terminated"],
            steps["terminated"] | steps["truncated"],
            discount=self.discount,
            trace=self.trace,
        )

    def _values(self, observations: Tensor) -> Tensor:
        """V of ``(T, N, *)`` observations, ``(T, N)`` on the CPU."""
        values: Tensor = self.value_network(observations.flatten(0, 1).to(self.device))
        return values.float().cpu().view(observations.shape[:2])


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
    bounds = logits.double().cpu().softmax(dim=1).cumsum(dim=1)
    # the last bound can be rounded to just below 1
    return (bounds[:, :-1] <= uniform[:, None]).sum(dim=1)
