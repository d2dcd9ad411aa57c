"""What all reinforcement learning shares: counting, judging, going on."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim.lr_scheduler import ReduceLROnPlateau

from losslab.config.errors import UserError
from losslab.losses.base import InverseLink, Loss, TargetFormat
from losslab.modules.base import Module
from losslab.modules.objective import loss_components, sum_of
from losslab.modules.step_values import StepValues
from losslab.rng import Purpose, derive_seed, generator, seed_global
from losslab.tasks.base import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.rl.environments import Environments
    from losslab.rl.rollout import RolloutEnvironments, Step
    from losslab.rl.vector import VectorEnvironment

Rows = Mapping[str, Tensor]

EPISODES_OF_THE_MEAN = 100
"""Training episodes whose mean return says whether the environment is solved."""


class Control(Task):
    """Acting in environments; the module plays, so there are no targets to give."""

    standard_inverse_link: ClassVar[InverseLink | None] = None

    def __init__(self, data: "Environments") -> None:
        super().__init__(data)
        self.environments = data

    def pair(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """There are none: only a loss that says what it reads can be used.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"the loss does not say what it reads, and here only {self.provides[0].value} are given"
        )


class PolicyControl(Control):
    """The network gives a logit an action, and the loss moves its log-probabilities."""

    provides = (TargetFormat.ADVANTAGES,)


class ValueControl(Control):
    """The network gives a value an action, and the loss moves these."""

    provides = (TargetFormat.ACTION_VALUES,)


class Runs(Protocol):
    """Runs that play and learn in step: one alone, or several trained together.

    An algorithm says in their terms what all of them do; the first axis of a tensor is the runs'.
    """

    modules: Sequence[Any]
    """The runs: of one algorithm, with the same options."""

    @property
    def play(self) -> "RolloutEnvironments":
        """The environments of all runs, those of the first run first."""

    def outputs(self, network: str, inputs: Tensor) -> Tensor:
        """What each run's network of this name makes of its inputs, ``(K, B, *)`` of both."""

    def parameters(self, network: str) -> list[Tensor]:
        """The weights of this name's networks."""

    def update(
        self,
        outputs: Rows,
        rows: Rows,
        counts: Sequence[int] | None = None,
    ) -> None:
        """One optimizer step of each run on its :meth:`ReinforcementModule.objective`.

        Args:
            outputs: of the networks, ``(K, B, *)`` each.
            rows: what is learnt from, ``(K, B, *)`` each.
            counts: how many of the B rows are each run's own, the first ones; ``None``: all.
        """


class Alone:
    """One run, by itself.

    Args:
        module: the run.
    """

    def __init__(self, module: "ReinforcementModule") -> None:
        self.modules: Sequence[Any] = [module]

    @property
    def play(self) -> "RolloutEnvironments":
        """See :class:`Runs`."""
        play: RolloutEnvironments = self.modules[0].play
        return play

    def outputs(self, network: str, inputs: Tensor) -> Tensor:
        """See :class:`Runs`."""
        [module] = self.modules
        outputs: Tensor = module.network_of(network, inputs[0])
        return outputs[None]

    def parameters(self, network: str) -> list[Tensor]:
        """See :class:`Runs`."""
        return list(getattr(self.modules[0], network).parameters())

    def update(
        self,
        outputs: Rows,
        rows: Rows,
        counts: Sequence[int] | None = None,
    ) -> None:
        """See :class:`Runs`."""
        self.modules[0].update(only(outputs), only(rows))


def count_step(runs: Runs, step: "Step", playing: Tensor | None = None) -> None:
    """Count one step of the environments of each run, and the episodes that ended with it.

    Args:
        runs: those that took it.
        step: of all their environments.
        playing: which of these took it, bool ``(K, N)``; ``None``: all.
    """
    ended = step.ended.view(len(runs.modules), -1)
    taken = [ended.shape[1]] * len(ended) if playing is None else playing.sum(dim=1).tolist()
    over, returns = ended.any(dim=1).tolist(), step.returns.view(ended.shape)
    for row, run in enumerate(runs.modules):
        run.env_steps += taken[row]
        if over[row]:
            own = returns[row][ended[row]].tolist()
            run.returns += own
            run.ended_at += [run.env_steps] * len(own)


def only(values: Rows, run: int = 0, count: int | None = None) -> dict[str, Tensor]:
    """One run's entries, and of its rows the first so many."""
    return {name: value[run, :count] for name, value in values.items()}


class ReinforcementModule(Module):
    """Plays, learns and is judged by greedy episodes.

    A subclass is an algorithm: :meth:`advance` says what runs do that are trained with it, alone or
    together, and :meth:`objective` what one of them learns.

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
        every: optimizer steps between values in the curves.
        returns: the training episodes' returns, in the order in which they ended.
        ended_at: the environment steps done when they ended.
    """

    networks: ClassVar[tuple[str, ...]]
    """The attributes that hold the networks."""
    trained: ClassVar[tuple[str, ...]]
    """Those that the optimizer trains."""

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
        self.every = 1
        self.alone = Alone(self)
        self.env_steps = 0
        self.updates = 0
        self.returns: list[float] = []
        self.ended_at: list[int] = []
        self.final: dict[str, float] = {}
        self.final_returns: Tensor | None = None
        self.test_returns = torch.zeros(0)
        self._optimizer, self._scheduler = optimizer, scheduler
        self._play: RolloutEnvironments | None = None
        self._written = 0
        self._judged: dict[int, list[Tensor]] = {}

    def forward(self, observations: Tensor) -> Tensor:
        """One number an action."""
        output: Tensor = self.network(observations)
        return output

    def network_of(self, name: str, observations: Tensor) -> Tensor:
        """What one of the networks makes of observations."""
        dtype: Any = self.dtype
        output: Tensor = getattr(self, name)(observations.to(self.device, dtype))
        return output

    # --- what an algorithm says ----------------------------------------------------------------

    def advance(self, runs: Runs) -> None:
        """Take some environment steps, and learn from them where there is enough.

        Args:
            runs: those that do so, among them this one.
        """
        raise NotImplementedError(f"{type(self).__name__} must have a method advance(runs)")

    def objective(
        self,
        outputs: Rows,
        rows: Rows,
        parameters: Rows,
    ) -> dict[str, Tensor]:
        """The parts that sum to this run's objective, by name: a function of its arguments alone.

        Args:
            outputs: of the networks, ``(B, *)`` each.
            rows: what is learnt from, ``(B, *)`` each.
            parameters: of the network, by name, where a regularizer penalises them.
        """
        parts = loss_components(self.loss, *self.asked(outputs, rows)) | self.own_parts(
            outputs, rows
        )
        if self.regularizer is None:
            return parts
        return parts | {"regularizer": self.regularizer(parameters)}

    def asked(self, outputs: Rows, rows: Rows) -> tuple[Any, Any]:
        """The prediction and the target that the loss gets; see :meth:`objective`."""
        raise NotImplementedError(f"{type(self).__name__} must have a method asked()")

    def own_parts(self, outputs: Rows, rows: Rows) -> dict[str, Tensor]:
        """What the objective holds beside the loss; see there."""
        return {}

    def diagnostics(self, outputs: Rows, rows: Rows) -> dict[str, Tensor]:
        """What the loss shows beside its value, by the name of the curve."""
        if not isinstance(self.loss, Loss):
            return {}
        diagnostics = self.loss.diagnostics(*self.asked(outputs, rows))
        return {f"fact/{name}": value for name, value in diagnostics.items()}

    def shows_facts(self) -> bool:
        """Whether the diagnostics of the last optimizer step are kept for the curves."""
        return True

    def example(self, count: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Outputs and rows such as :meth:`objective` gets, to try a loss on."""
        raise NotImplementedError(f"{type(self).__name__} must have a method example()")

    def watched(self) -> dict[str, float]:
        """What else the curves should show."""
        return {}

    def memory(self) -> dict[str, Any]:
        """What a checkpoint must hold beside the weights and where the environments stand."""
        return {}

    @property
    def numbers_held(self) -> int:
        """How many numbers :meth:`memory` can hold."""
        return 0

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Take back what :meth:`memory` gave."""

    # --- training ------------------------------------------------------------------------------

    @property
    def play(self) -> "RolloutEnvironments":
        """The training environments."""
        if self._play is None:
            self._play = self.task.environments.rollout_environments()
        return self._play

    def on_fit_start(self) -> None:
        """Refuse several processes, since each would play the same episodes.

        Raises:
            ValueError: if the trainer has several.
        """
        if self.trainer.world_size > 1:
            raise ValueError(
                "reinforcement learning runs in one process, got "
                f"trainer.devices for {self.trainer.world_size}"
            )
        self.every = int(self.trainer.log_every_n_steps)  # type: ignore[attr-defined]

    def training_step(self, batch: tuple[Tensor], batch_index: int) -> None:
        """Play and learn until the batch's environment steps are done."""
        # a network's dropout depends on nothing but (seed, epoch, step): resumed runs repeat it
        seed_global(
            derive_seed(self.seed, Purpose.DROPOUT, self.current_epoch, batch_index), self.device
        )
        until = self.current_epoch * self.task.environments.steps_per_epoch + int(batch[0])
        while self.env_steps < until:
            self.advance(self.alone)
        self.end_batch()
        if batch_index + 1 == self.trainer.num_training_batches:
            self._step_scheduler(plateau=False)

    def end_batch(self) -> None:
        """Find out whether there is something to write, and where the run stands then."""
        self.due = self.updates > self._written
        if self.due:
            self._written = self.updates
            self.step_values.watch({k: torch.tensor(v) for k, v in self._progress().items()})

    def update(self, outputs: Rows, rows: Rows) -> None:
        """One optimizer step on the objective; see there."""
        penalised = self.regularizer is not None
        parameters = dict(self.network.named_parameters()) if penalised else {}
        parts = self.objective(outputs, rows, parameters)
        objective = sum_of(parts)
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(objective)
        if self.watches_gradient():
            gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
            self.step_values.watch({"grad_norm": get_total_norm(gradients)})
        if self.max_grad_norm is not None:
            for name in self.trained:
                clip_grad_norm_(getattr(self, name).parameters(), self.max_grad_norm)
        optimizer.step()
        self.note_update(objective, parts)
        if self.shows_facts():
            with torch.no_grad():
                self.step_values.watch(self.diagnostics(outputs, rows))

    def watches_gradient(self) -> bool:
        """Whether the norm of the next optimizer step's gradient is kept for the curves."""
        return (self.updates + 1 - self._written) % self.every == 0

    def note_update(self, objective: Tensor, parts: Rows) -> None:
        """Count an optimizer step, and keep its objective and parts for the curves."""
        self.updates += 1
        self.step_values.add(objective, parts if len(parts) > 1 else {})

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
        parameters = [p for name in self.trained for p in getattr(self, name).parameters()]
        optimizer = self._optimizer(parameters)
        if self._scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self._scheduler(optimizer)}}

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
        means = {"return_choice": judged[0].mean(), "return_mean": judged[1].mean()}
        self.report("val", means)
        if self.trainer.state.fn == TrainerFn.FITTING:
            self._step_scheduler(plateau=True)

    def on_fit_end(self) -> None:
        """Judge the final policy on the test's episodes, before the best checkpoint is loaded."""
        if "test" not in self.splits:
            return
        with torch.inference_mode():
            self.network.eval()
            self.judge_final(self.greedy_returns(self.task.environments.test))

    def judge_final(self, returns: Tensor) -> None:
        """Keep what the final policy reached in the test's episodes, ``(n,)``."""
        self.final_returns = returns
        self.final = {"return_mean_final": float(returns.mean())}
        steps = self.steps_to_solve()
        if steps is not None:
            self.final["steps_to_solve"] = steps

    def on_test_epoch_end(self) -> None:
        """Report each split; beside the test of the best checkpoint, that of the final policy."""
        judged, self._judged = self._returns(), {}
        for index, split in enumerate(self.splits):
            self.report(split, {"return_mean": judged[index].mean()})
        if "test" in self.splits:
            self.test_returns = judged[self.splits.index("test")]
            self.report("test", self.final)

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
        environments = self.task.environments
        return greedy_returns(
            partial(self.alone.outputs, "network"),
            environments.vector(len(seeds)),
            seeds[None],
            environments.first_action,
        )[0]

    def figures(self) -> "dict[str, Figure]":
        """The returns of training and of the test."""
        return {"returns": returns_figure(self)}

    # --- going on ------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep where the run stands."""
        checkpoint["reinforcement"] = self.standing(self.play.state_dict())

    def standing(self, play: Mapping[str, Any]) -> dict[str, Any]:
        """Where the run stands; a copy.

        Args:
            play: the state of its environments.
        """
        return {
            "env_steps": self.env_steps,
            "updates": self.updates,
            "returns": torch.tensor(self.returns, dtype=torch.float32),
            "ended_at": torch.tensor(self.ended_at, dtype=torch.int64),
            "play": dict(play),
            "memory": self.memory(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Stand there again, to train on; a policy that is only judged needs its weights alone."""
        if self.trainer.state.fn != TrainerFn.FITTING:
            return
        super().on_load_checkpoint(checkpoint)
        state = checkpoint["reinforcement"]
        self.env_steps, self.updates = state["env_steps"], state["updates"]
        self._written = self.updates
        self.returns, self.ended_at = state["returns"].tolist(), state["ended_at"].tolist()
        self.play.load_state_dict(state["play"])
        self.remember(state["memory"])

    def stream(self, purpose: Purpose, counter: int) -> torch.Generator:
        """The random numbers for one purpose at one point of the run."""
        return generator(self.seed, purpose, counter)


def greedy_returns(
    values: Callable[[Tensor], Tensor],
    environments: "VectorEnvironment",
    seeds: Tensor,
    first_action: int,
) -> Tensor:
    """The returns of K runs' episodes in which the action of the highest value is always taken.

    Args:
        values: of what the environments show, ``(K, m, *)``: a value an action, ``(K, m, A)``.
        environments: K n of them.
        seeds: one an episode, ``(K, n)``.
        first_action: gymnasium's number of the action that is 0 here.

    Returns:
        Undiscounted returns, float32 ``(K, n)``, on the CPU.
    """
    shown = np.arange(seeds.numel()).reshape(seeds.shape)  # the places that the networks see
    seen = environments.reset(shown.flatten(), seeds.flatten().tolist()).astype(np.float32)
    returns = np.zeros(seeds.numel(), dtype=np.float32)
    actions = np.zeros(seeds.numel(), dtype=np.int64)
    playing = np.ones(seeds.numel(), dtype=np.bool_)
    while (index := np.flatnonzero(playing)).size:
        most = playing.reshape(seeds.shape).sum(axis=1).max()
        if most <= shown.shape[1] // 2:  # leave out those whose episodes are over
            order = np.argsort(~playing[shown], axis=1, kind="stable")[:, :most]
            shown = np.take_along_axis(shown, order, axis=1)
        chosen = values(torch.from_numpy(seen[shown])).argmax(dim=-1)
        actions[shown] = chosen.cpu().numpy() + first_action
        seen[index], rewards, terminated, truncated = environments.step(index, actions[index])
        returns[index] += rewards
        playing[index] = ~(terminated | truncated)
    environments.close()
    return torch.from_numpy(returns.reshape(seeds.shape))


def returns_figure(module: ReinforcementModule) -> "Figure":
    """Returns while learning, and how those of the test are spread."""
    from matplotlib.figure import Figure  # noqa: PLC0415 (only where a picture is drawn)

    from losslab.tasks.drawing import BLUE, GREY, ORANGE  # noqa: PLC0415

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
