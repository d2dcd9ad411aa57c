"""What all reinforcement learning shares: counting, judging, going on."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim.lr_scheduler import ReduceLROnPlateau

from losslab.build import WrongInput
from losslab.draws import draw_seed, generator, seed_global
from losslab.losses.base import Link, Loss, Reads
from losslab.tasks.base import Task
from losslab.tasks.steps import StepValues
from losslab.tasks.supervision import loss_parts, sum_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.data.environments import Environments, Play

EPISODES_OF_THE_MEAN = 100
"""Training episodes whose mean return says whether the environment is solved."""


class Control(Task):
    """Acting in environments; the module plays, so there are no targets to give."""

    standard_link: ClassVar[Link | None] = None

    def __init__(self, data: "Environments") -> None:
        super().__init__(data)
        self.environments = data

    def pair(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """There are none: only a loss that says what it reads can be used.

        Raises:
            WrongInput: always.
        """
        raise WrongInput(
            f"the loss does not say what it reads, and here only {self.offers[0].value} are given"
        )


class PolicyControl(Control):
    """The network gives a logit an action, and the loss moves its log-probabilities."""

    offers = (Reads.ADVANTAGES,)


class ValueControl(Control):
    """The network gives a value an action, and the loss moves these."""

    offers = (Reads.ACTION_VALUES,)


class ReinforcementModule(pl.LightningModule):
    """Plays, learns and is judged by greedy episodes; a subclass has :meth:`advance`.

    A training batch says how many environment steps of the epoch are done after it; the module
    plays until they are. All it draws depends on the seed, on what is drawn and on how far the run
    is, and the checkpoint holds where each environment stands: a resumed run goes on as the
    unbroken one would have.

    Args:
        network: maps observations to one number an action.
        loss: the loss of the algorithm.
        task: has the environments.
        optimizer: makes the optimizer from the parameters.
        scheduler: makes a scheduler from the optimizer, or ``None``; it steps once an epoch.
        regularizer: called with the network's named parameters, or ``None``.
        seed: the run's seed.
        name: the loss's name, for messages.
        monitor: the validation metric that schedulers watch.
        max_grad_norm: gradients of each network are scaled down to this norm; ``None``: never.

    Attributes:
        env_steps: environment steps done.
        updates: optimizer steps done.
        returns: the training episodes' returns, in the order in which they ended.
        ended_at: the environment steps done when they ended.
    """

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
        max_grad_norm: float | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network
        self.loss = loss
        self.task = task
        self.regularizer = regularizer
        self.seed = seed
        self.name = name
        self.monitor = monitor
        self.max_grad_norm = max_grad_norm
        self.step_values = StepValues()
        self.due = False
        self.splits: tuple[str, ...] = ("val", "test")
        self.env_steps = 0
        self.updates = 0
        self.returns: list[float] = []
        self.ended_at: list[int] = []
        self.final: dict[str, float] = {}
        self.final_returns: Tensor | None = None
        self.test_returns = torch.zeros(0)
        self._optimizer, self._scheduler = optimizer, scheduler
        self._play: Play | None = None
        self._running = torch.zeros(0)
        self._written = 0
        self._judged: dict[int, list[Tensor]] = {}

    def forward(self, observations: Tensor) -> Tensor:
        """One number an action."""
        output: Tensor = self.network(observations)
        return output

    # --- what an algorithm says ----------------------------------------------------------------

    def advance(self) -> None:
        """Take some environment steps, and learn from them where there is enough."""
        raise NotImplementedError(f"{type(self).__name__} must have a method advance()")

    def trained(self) -> Iterable[nn.Module]:
        """The networks that the optimizer trains."""
        return [self.network]

    def watched(self) -> dict[str, float]:
        """What else the curves should show."""
        return {}

    def memory(self) -> dict[str, Any]:
        """What a checkpoint must hold beside the weights and where the environments stand."""
        return {}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Take back what :meth:`memory` gave."""

    # --- training ------------------------------------------------------------------------------

    @property
    def play(self) -> "Play":
        """The training environments."""
        if self._play is None:
            self._play = self.task.environments.play()
            self._running = torch.zeros(self._play.size)
        return self._play

    def on_fit_start(self) -> None:
        """Refuse several processes: each would play the same episodes.

        Raises:
            ValueError: if the trainer has several.
        """
        if self.trainer.world_size > 1:
            raise ValueError(
                "reinforcement learning runs in one process, got "
                f"trainer.devices for {self.trainer.world_size}"
            )

    def training_step(self, batch: tuple[Tensor], batch_index: int) -> None:
        """Play and learn until the batch's environment steps are done."""
        # a network's dropout depends on nothing but (seed, epoch, step): resumed runs repeat it
        seed_global(draw_seed(self.seed, "dropout", self.current_epoch, batch_index), self.device)
        until = self.current_epoch * self.task.environments.steps_per_epoch + int(batch[0])
        while self.env_steps < until:
            self.advance()
        last = batch_index + 1 == self.trainer.num_training_batches
        self.due = self.updates > self._written
        if self.due:
            self._written = self.updates
            self.step_values.watch({k: torch.tensor(v) for k, v in self._progress().items()})
        if last:
            self._step_scheduler(plateau=False)

    def count(self, rewards: Tensor, ended: Tensor, playing: Tensor | None = None) -> None:
        """Count one step of the environments, or of those of them that still play.

        Args:
            rewards: ``(N,)``.
            ended: bool ``(N,)``.
            playing: bool ``(N,)``; ``None``: all.
        """
        playing = torch.ones_like(ended) if playing is None else playing
        self.env_steps += int(playing.sum())
        self._running += rewards
        over = ended & playing
        self.returns += self._running[over].tolist()
        self.ended_at += [self.env_steps] * int(over.sum())
        self._running[ended] = 0

    def forget_running(self) -> None:
        """Start the returns anew, where the environments were restarted."""
        self._running = torch.zeros_like(self._running)

    def update(self, parts: dict[str, Tensor]) -> None:
        """One optimizer step on the sum of the parts and of the regularizer's penalty."""
        if self.regularizer is not None:
            penalty = self.regularizer(dict(self.network.named_parameters()))
            parts = parts | {"regularizer": penalty}
        objective = sum_of(parts)
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(objective)
        if (self.updates + 1 - self._written) % self.every == 0:
            self._watch_gradient()
        if self.max_grad_norm is not None:
            for network in self.trained():
                clip_grad_norm_(network.parameters(), self.max_grad_norm)
        optimizer.step()
        self.updates += 1
        self.step_values.add(objective, parts if len(parts) > 1 else {})

    def parts(self, prediction: Any, target: Any) -> dict[str, Tensor]:
        """The loss's parts, by name."""
        return loss_parts(self.loss, prediction, target)

    def watch_facts(self, prediction: Any, target: Any) -> None:
        """Keep the loss's facts for the curves."""
        if isinstance(self.loss, Loss):
            with torch.no_grad():
                facts = self.loss.facts(prediction, target)
            self.step_values.watch({f"fact/{name}": value for name, value in facts.items()})

    @property
    def every(self) -> int:
        """Optimizer steps between values in the curves."""
        return int(self.trainer.log_every_n_steps)  # type: ignore[attr-defined]

    def _watch_gradient(self) -> None:
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        self.step_values.watch({"grad_norm": get_total_norm(gradients)})

    def _progress(self) -> dict[str, float]:
        values = {"environment_steps": float(self.env_steps)} | self.watched()
        recent = self.returns[-EPISODES_OF_THE_MEAN:]
        if recent:
            values["return_mean"] = sum(recent) / len(recent)
        return values

    def steps_to_solve(self) -> float | None:
        """Environment steps until the mean of 100 training episodes reached the threshold."""
        threshold = self.task.environments.solved_at
        if threshold is None or len(self.returns) < EPISODES_OF_THE_MEAN:
            return None
        means = torch.tensor(self.returns).double().unfold(0, EPISODES_OF_THE_MEAN, 1).mean(dim=1)
        solved = (means >= threshold).nonzero()
        if not len(solved):
            return None
        return float(self.ended_at[int(solved[0]) + EPISODES_OF_THE_MEAN - 1])

    def configure_optimizers(self) -> Any:
        """The chosen optimizer and scheduler."""
        parameters = [p for network in self.trained() for p in network.parameters()]
        optimizer = self._optimizer(parameters)
        if self._scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": self._scheduler(optimizer)}

    def _step_scheduler(self, *, plateau: bool) -> None:
        # Lightning leaves schedulers alone where the module optimizes
        scheduler: Any = self.lr_schedulers()
        if scheduler is None or isinstance(scheduler, ReduceLROnPlateau) != plateau:
            return
        if plateau:
            scheduler.step(self.trainer.callback_metrics[f"val/{self.monitor}"])
        else:
            scheduler.step()

    # --- judging -------------------------------------------------------------------------------

    def validation_step(
        self,
        batch: tuple[Tensor],
        batch_index: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Play greedy episodes: those that choose the checkpoint, then those of the validation."""
        self._judged.setdefault(dataloader_idx, []).append(self.greedy_returns(batch[0]))

    def test_step(
        self,
        batch: tuple[Tensor],
        batch_index: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Play greedy episodes of one of the splits."""
        self._judged.setdefault(dataloader_idx, []).append(self.greedy_returns(batch[0]))

    def on_validation_epoch_end(self) -> None:
        """Report what chooses the checkpoint, and the validation."""
        judged, self._judged = self._returns(), {}
        if self.trainer.sanity_checking:
            return
        self.log_dict({"val/return_choice": judged[0].mean(), "val/return_mean": judged[1].mean()})
        if self.trainer.state.fn == TrainerFn.FITTING:
            self._step_scheduler(plateau=True)

    def on_fit_end(self) -> None:
        """Judge the final policy on the test's episodes, before the best checkpoint is loaded."""
        if "test" not in self.splits:
            return
        with torch.inference_mode():
            self.network.eval()
            played = self.greedy_returns(self.task.environments.test)
        self.final_returns = played
        self.final = {"return_mean_final": float(played.mean())}
        steps = self.steps_to_solve()
        if steps is not None:
            self.final["steps_to_solve"] = steps

    def on_test_epoch_end(self) -> None:
        """Report each split; beside the test of the best checkpoint, that of the final policy."""
        judged, self._judged = self._returns(), {}
        for index, split in enumerate(self.splits):
            self.log(f"{split}/return_mean", judged[index].mean())
        if "test" in self.splits:
            self.test_returns = judged[self.splits.index("test")]
            self.log_dict({f"test/{name}": value for name, value in self.final.items()})

    def _returns(self) -> dict[int, Tensor]:
        return {index: torch.cat(parts) for index, parts in self._judged.items()}

    @torch.no_grad()
    def greedy_returns(self, seeds: Tensor) -> Tensor:
        """The returns of episodes in which the action of the highest output is always taken.

        Args:
            seeds: one an episode, ``(n,)``.

        Returns:
            Undiscounted returns, float32 ``(n,)``.
        """
        environments = self.task.environments.vector(len(seeds))
        start = self.task.environments.first_action
        seen, _ = environments.reset(seed=seeds.tolist())
        returns = torch.zeros(len(seeds))
        playing = torch.ones(len(seeds), dtype=torch.bool)
        while bool(playing.any()):
            outputs = self.network(torch.as_tensor(seen, dtype=torch.float32, device=self.device))
            actions = outputs.argmax(dim=1).cpu().numpy() + start
            seen, rewards, terminated, truncated, _ = environments.step(actions)
            # gymnasium resets what ended in the next step and plays on: no longer counted
            returns += torch.where(playing, torch.from_numpy(rewards).float(), 0)
            playing &= ~torch.from_numpy(terminated | truncated)
        environments.close()
        return returns

    def figures(self) -> "dict[str, Figure]":
        """The returns of training and of the test."""
        return {"returns": returns_figure(self)}

    # --- going on ------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep where the run stands."""
        checkpoint["reinforcement"] = {
            "env_steps": self.env_steps,
            "updates": self.updates,
            "returns": torch.tensor(self.returns),
            "ended_at": torch.tensor(self.ended_at),
            "play": self.play.state_dict(),
            "running": self._running,
            "memory": self.memory(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Stand there again, to train on; a policy that is only judged needs its weights alone."""
        if self.trainer.state.fn != TrainerFn.FITTING:
            return
        state = checkpoint["reinforcement"]
        self.env_steps, self.updates = state["env_steps"], state["updates"]
        self._written = self.updates
        self.returns, self.ended_at = state["returns"].tolist(), state["ended_at"].tolist()
        self.play.load_state_dict(state["play"])
        self._running = state["running"]
        self.remember(state["memory"])

    def stream(self, purpose: str, counter: int) -> torch.Generator:
        """The random numbers for one purpose at one point of the run."""
        return generator(self.seed, purpose, counter)


def returns_figure(module: ReinforcementModule) -> "Figure":
    """Returns while learning, and how those of the test are spread."""
    from matplotlib.figure import Figure  # noqa: PLC0415 (only where a picture is drawn)

    from losslab.tasks.pictures import BLUE, GREY, ORANGE  # noqa: PLC0415

    figure = Figure(figsize=(9, 4), layout="constrained")
    learning, test = figure.subplots(1, 2, width_ratios=[2, 1])
    returns, steps = torch.tensor(module.returns), torch.tensor(module.ended_at)
    learning.plot(steps, returns, ".", color=GREY, markersize=2, label="an episode")
    if len(returns) >= EPISODES_OF_THE_MEAN:
        means = returns.unfold(0, EPISODES_OF_THE_MEAN, 1).mean(dim=1)
        label = f"mean of {EPISODES_OF_THE_MEAN} episodes"
        learning.plot(steps[EPISODES_OF_THE_MEAN - 1 :], means, color=BLUE, label=label)
    threshold = module.task.environments.solved_at
    if threshold is not None:
        learning.axhline(threshold, color=ORANGE, linestyle="--", label="solved")
    learning.set(xlabel="environment steps", ylabel="return", title="Training episodes")
    learning.legend(loc="best")
    played = {"best checkpoint": (module.test_returns, BLUE)}
    if module.final_returns is not None:
        played["final policy"] = (module.final_returns, ORANGE)
    for name, (values, colour) in played.items():
        ranked = values.sort().values
        test.plot(range(1, len(ranked) + 1), ranked, color=colour, label=name)
    test.set(xlabel="episode, ranked", ylabel="return", title="Greedy test episodes")
    test.legend(loc="best")
    return figure
