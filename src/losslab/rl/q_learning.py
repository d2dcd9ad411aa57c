"""Deep Q-learning: replay, a target network, and less and less exploration."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from losslab.losses.base import require_at_least, require_between
from losslab.losses.reinforcement import TransitionTarget
from losslab.rl.module import Control, ReinforcementModule, Rows, Runs, count_step
from losslab.rl.replay import ReplayBuffer, Transitions
from losslab.rng import Purpose


class QLearning(ReinforcementModule):
    r"""Plays by the action of the highest value, now and then by any, and learns from replay.

    With probability :math:`\varepsilon` an action is drawn evenly from all; it falls linearly from
    1 to ``exploration_final`` over ``exploration_steps`` environment steps. Each optimizer step
    takes a batch from the replay buffer; after every ``target_every`` of them the weights of the
    target network go ``target_rate`` of the way to those of the network (1: they are copied).

    Args:
        network: maps observations to a value an action.
        loss: reads Q-values with transitions; its own are the discount, double Q-learning and the
            measure of the error.
        task: has the environments.
        replay_capacity: transitions kept.
        warmup: environment steps before the first optimizer step.
        batch_size: transitions in an optimizer step.
        update_every: environment steps between optimizer steps.
        target_every: optimizer steps between those in which the target network follows.
        target_rate: how far it then goes, above 0 and up to 1.
        exploration_final: epsilon in the end.
        exploration_steps: environment steps until then.
        optimizer, scheduler, regularizer, seed, name, monitor, max_grad_norm: see
            :class:`~losslab.rl.module.ReinforcementModule`.

    Raises:
        ValueError: if an option is out of range.
    """

    networks = ("network", "target_network")
    trained = ("network",)

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        task: Control,
        *,
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: Callable[..., Any] | None,
        regularizer: Callable[[Mapping[str, Tensor]], Tensor] | None,
        seed: int,
        name: str,
        monitor: str,
        replay_capacity: int = 100_000,
        warmup: int = 1_000,
        batch_size: int = 64,
        update_every: int = 2,
        target_every: int = 128,
        target_rate: float = 1.0,
        exploration_final: float = 0.04,
        exploration_steps: int = 8_000,
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
        self.target_network = deepcopy(network).requires_grad_(False)

    def memory(self) -> dict[str, Any]:
        """The replay buffer."""
        return {"replay": self.replay.state_dict()}

    @property
    def numbers_held(self) -> int:
        """Those of a full replay buffer."""
        return self.replay.numel

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Take back what :meth:`memory` gave."""
        self.replay.load_state_dict(memory["replay"])

    def watched(self) -> dict[str, float]:
        """How much is explored."""
        return {"exploration": self.exploration()}

    def exploration(self) -> float:
        """Epsilon at this point of the run."""
        done = min(self.env_steps / self.exploration_steps, 1.0)
        return 1.0 + done * (self.exploration_final - 1.0)

    def advance(self, runs: Runs) -> None:
        """One step of the environments, and the optimizer steps that are due after it."""
        self._act(runs)
        while self.updates < (self.env_steps - self.warmup) // self.update_every:
            self._learn(runs)

    @torch.no_grad()
    def _act(self, runs: Runs) -> None:
        play, shape = runs.play, (len(runs.modules), -1)
        values = runs.outputs("network", play.observations.unflatten(0, shape))
        actions = [
            explored(own, run.exploration(), run.stream(Purpose.EXPLORATION, run.env_steps))
            for run, own in zip(runs.modules, values, strict=True)
        ]
        step = play.step(torch.cat(actions))
        count_step(runs, step)
        columns = [getattr(step, name).unflatten(0, shape) for name in Transitions._fields]
        for place, run in enumerate(runs.modules):
            run.replay.add(Transitions(*(column[place] for column in columns)))

    def _learn(self, runs: Runs) -> None:
        """One optimizer step."""
        drawn = [
            run.replay.sample(self.batch_size, run.stream(Purpose.REPLAY, run.updates))
            for run in runs.modules
        ]
        columns = (torch.stack(column).to(self.device) for column in zip(*drawn, strict=True))
        rows = dict(zip(Transitions._fields, columns, strict=True))
        outputs = {"q": runs.outputs("network", rows["observations"])}
        with torch.no_grad():
            following = rows["next_observations"]
            outputs["next_q_target"] = runs.outputs("target_network", following)
            if any(run.asks_online for run in runs.modules):
                outputs["next_q_online"] = runs.outputs("network", following)
        runs.update(outputs, rows)
        if self.updates % self.target_every == 0:
            self._move_target(runs)

    @torch.no_grad()
    def _move_target(self, runs: Runs) -> None:
        """Bring the target network nearer to the network."""
        target, own = runs.parameters("target_network"), runs.parameters("network")
        torch._foreach_lerp_(target, own, self.target_rate)

    # --- of one run ----------------------------------------------------------------------------

    def asked(self, outputs: Rows, rows: Rows) -> tuple[Tensor, TransitionTarget]:
        """Q-values and transitions."""
        following = outputs["next_q_target"], outputs.get("next_q_online")
        transitions = rows["actions"], rows["rewards"], rows["terminated"]
        return outputs["q"], TransitionTarget(*transitions, *following)

    def shows_facts(self) -> bool:
        """Only now and then: there are many steps."""
        return self.updates % self.every == 0

    @property
    def asks_online(self) -> bool:
        """Whether the loss reads what the online network makes of what follows."""
        return bool(getattr(self.loss, "double_q", True))

    def example(self, count: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Outputs and rows such as the objective gets."""
        numbers = torch.linspace(-1, 1, count)
        values = numbers[:, None] * torch.ones(self.task.outputs)
        outputs = dict.fromkeys(("q", "next_q_target", "next_q_online"), values)
        rows = {
            "actions": torch.arange(count) % self.task.outputs,
            "rewards": numbers,
            "terminated": numbers > 0,
        }
        return outputs, rows


def explored(values: Tensor, epsilon: float, draws: torch.Generator) -> Tensor:
    """The actions of the highest values, but with probability epsilon any action.

    Args:
        values: ``(N, A)``.
        epsilon: between 0 and 1.
        draws: on the CPU.

    Returns:
        int64 ``(N,)``, on the CPU.
    """
    count, actions = values.shape
    explores = torch.rand(count, generator=draws) < epsilon
    other = torch.randint(actions, (count,), generator=draws)
    return torch.where(explores, other, values.argmax(dim=1).cpu())
