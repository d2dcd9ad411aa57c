"""LightningModules of reinforcement learning: one per algorithm, with the same hooks."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn

from losslab.modules.base import Module
from losslab.modules.cost import LossCall
from losslab.modules.objective import loss_components
from losslab.rl.algorithm import Algorithm
from losslab.rl.evaluation import BEST, FINAL, episode_returns, returns_figure
from losslab.rl.policy_gradient import PolicyGradient
from losslab.rl.progress import UpdateLog
from losslab.rl.q_learning import QLearning
from losslab.rl.single_run import SingleRun
from losslab.rng import Purpose, derive_seed, seed_global

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.rl.control import Control


class ReinforcementModule(Module):
    """LightningModule that trains with an algorithm and evaluates greedy episodes.

    The algorithm decides what is collected, learned and when; the module gives it Lightning's
    optimizer, and logs, evaluates and saves. A training batch is the number of environment steps,
    counted from the start of the epoch, up to which the algorithm advances.

    Args:
        network: network that maps observations to one number per action.
        loss: loss of the algorithm.
        task: task that holds the environments.
        optimizer: function that makes the optimizer from the parameters.
        scheduler: function that makes a scheduler from the optimizer, or ``None``; it steps once
            per epoch.
        regularizer: function of the network's named parameters, or ``None``.
        seed: seed of the run.
        name: name of the loss, for messages.
        monitor: validation metric that a scheduler may read.
        max_grad_norm: norm to which the gradients of each network are clipped, or ``None``.
        options: options of the algorithm.

    Attributes:
        algorithm: the algorithm, with its networks and the progress of the run.
        update_log: values of the optimizer steps that are logged next.
        final: test metrics of the final policy, once it is evaluated.
        test_returns: returns of the test episodes, by the name of the policy.
    """

    shares_batches = False  # each process would act in the same episodes
    saved_entries = ("reinforcement",)
    algorithm_class: ClassVar[type[Algorithm]]

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        task: "Control",
        *,
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: Callable[..., Any] | None,
        regularizer: Callable[[Mapping[str, Tensor]], Tensor] | None,
        seed: int,
        name: str,
        monitor: str,
        max_grad_norm: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.algorithm = self.algorithm_class(
            network, loss, task, seed=seed, regularizer=regularizer, **options
        )
        self.network, self.loss, self.task = network, loss, task
        for key, module in self.algorithm.networks.items():
            setattr(self, key, module)  # their weights are in checkpoints under these names
        self.seed = seed
        self.name = name
        self.monitor = monitor
        self.max_grad_norm = max_grad_norm
        self.splits: tuple[str, ...] = ("val", "test")
        self.single_run = SingleRun(self)
        self.update_log = UpdateLog(self.algorithm)
        self.step_values = self.update_log.step_values
        self.final: dict[str, float] = {}
        self.test_returns: dict[str, Tensor] = {}
        self._optimizer, self._scheduler = optimizer, scheduler
        self._evaluated: dict[int, list[Tensor]] = {}

    @property
    def due(self) -> bool:
        """Whether there are values to log after the current training batch."""
        return self.update_log.due

    def forward(self, observations: Tensor) -> Tensor:
        """Return one number per action."""
        output: Tensor = self.network(observations)
        return output

    # --- training ------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """Read how often values are logged."""
        self.update_log.every = int(self.trainer.log_every_n_steps)  # type: ignore[attr-defined]

    def training_step(self, batch: tuple[Tensor], batch_index: int) -> None:
        """Advance the algorithm until the batch's environment steps are taken."""
        # a network's dropout depends only on (seed, epoch, batch), so that resumed runs repeat it
        seed_global(
            derive_seed(self.seed, Purpose.DROPOUT, self.current_epoch, batch_index), self.device
        )
        end = self.current_epoch * self.task.environments.steps_per_epoch + int(batch[0])
        while self.algorithm.progress.env_steps < end:
            self.algorithm.advance(self.single_run)
        self.update_log.end_batch()
        if batch_index + 1 == self.trainer.num_training_batches:
            self._step_scheduler()

    def loss_call(self) -> LossCall:
        """Return the loss on example outputs of the network, in a batch of the run's size."""
        algorithm = self.algorithm
        outputs, batch = (
            {name: self._placed(value) for name, value in own.items()}
            for own in algorithm.example(algorithm.batch_rows)
        )

        def components(*values: Tensor) -> dict[str, Tensor]:
            own = dict(zip(outputs, values, strict=True))
            return loss_components(self.loss, *algorithm.loss_arguments(own, batch))

        return LossCall(components, tuple(outputs.values()), others=tuple(batch.values()))

    def _placed(self, values: Tensor) -> Tensor:
        """Move values to the device of the networks, and numbers to their precision."""
        dtype: Any = self.dtype
        return values.to(self.device, dtype if values.is_floating_point() else None)

    def configure_optimizers(self) -> Any:
        """Make the optimizer and the scheduler, if there is one."""
        networks = [self.algorithm.networks[name] for name in self.algorithm.trained]
        optimizer = self._optimizer([p for network in networks for p in network.parameters()])
        if self._scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self._scheduler(optimizer)}}

    def _step_scheduler(self) -> None:
        # Lightning does not step the schedulers of a module that optimizes by itself
        scheduler: Any = self.lr_schedulers()
        if scheduler is not None:
            self.lr_scheduler_step(scheduler, None)

    # --- evaluation ----------------------------------------------------------------------------

    @torch.no_grad()
    def greedy_returns(self, seeds: Tensor) -> Tensor:
        """Return the undiscounted returns of greedy episodes with these seeds, float32 ``(n,)``."""
        return self._episode_returns(seeds)

    @torch.no_grad()
    def sampled_returns(self, seeds: Tensor) -> Tensor | None:
        """Return the same if actions are sampled, as in training; ``None`` without a policy."""
        rng = self.algorithm.evaluation_rng()
        return None if rng is None else self._episode_returns(seeds, [rng])

    def _episode_returns(
        self, seeds: Tensor, rngs: Sequence[torch.Generator] | None = None
    ) -> Tensor:
        environments = self.task.environments
        return episode_returns(
            partial(self.single_run.outputs, "network"),
            environments.vector(len(seeds)),
            seeds[None],
            environments.first_action,
            rngs,
        )[0]

    def validation_step(
        self, batch: tuple[Tensor], batch_index: int, dataloader_idx: int = 0
    ) -> None:
        """Evaluate greedy episodes: those that choose the checkpoint, then those of validation."""
        self._evaluated.setdefault(dataloader_idx, []).append(self.greedy_returns(batch[0]))

    def test_step(self, batch: tuple[Tensor], batch_index: int, dataloader_idx: int = 0) -> None:
        """Evaluate greedy episodes of one of the splits."""
        self._evaluated.setdefault(dataloader_idx, []).append(self.greedy_returns(batch[0]))

    def _take_evaluated(self) -> list[Tensor]:
        """Return the returns of each dataloader, and forget them."""
        evaluated, self._evaluated = self._evaluated, {}
        return [torch.cat(evaluated[index]) for index in sorted(evaluated)]

    def on_validation_epoch_end(self) -> None:
        """Report the metric that chooses the checkpoint, and that of validation."""
        evaluated = self._take_evaluated()
        if self.trainer.sanity_checking:
            return
        choice, val = evaluated
        self.report("val", {"return_choice": choice.mean(), "return_mean": val.mean()})
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.step_plateau(self.monitor)

    def on_fit_end(self) -> None:
        """Evaluate the final policy on the test episodes, before the best one is loaded."""
        if "test" not in self.splits:
            return
        with torch.inference_mode():
            self.network.eval()
            test = self.task.environments.test
            self.evaluate_final(self.greedy_returns(test), self.sampled_returns(test))

    def evaluate_final(self, returns: Tensor, sampled: Tensor | None) -> None:
        """Compute the final policy's metrics from its returns in the test episodes.

        Args:
            returns: returns of greedy episodes, ``(n,)``.
            sampled: those of episodes with sampled actions; ``None`` without a policy.
        """
        self.test_returns[FINAL] = returns
        self.final = {"return_mean_final": float(returns.mean())}
        if sampled is not None:
            self.final["return_mean_sampled_final"] = float(sampled.mean())
        steps = self.algorithm.progress.steps_to_solve(self.task.environments.solved_at)
        if steps is not None:
            self.final["steps_to_solve"] = steps

    def on_test_epoch_end(self) -> None:
        """Report each split, and with the test split also the metrics of the final policy."""
        for split, returns in zip(self.splits, self._take_evaluated(), strict=True):
            self.report(split, {"return_mean": returns.mean()})
            if split == "test":
                self.test_returns[BEST] = returns
                self.report("test", self.final)
                self.keep_scores()

    def keep_scores(self) -> None:
        """Keep the returns of the test episodes as the scores of their metrics."""
        if self.score_options is None:
            return
        best = self.test_returns[BEST]
        values = {"return_mean": best}
        final = self.test_returns.get(FINAL)
        if final is not None and len(final) == len(best):  # the Trainer may limit the test
            values["return_mean_final"] = final
        sample = self.task.environments.test_index[: len(best)]
        self.scores = self.score_options.scores(sample, values, self.task)

    def figures(self) -> "dict[str, Figure]":
        """Plot the returns of training and of test."""
        threshold = self.task.environments.solved_at
        return {"returns": returns_figure(self.algorithm.progress, threshold, self.test_returns)}

    # --- checkpoints ---------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the training state to the checkpoint."""
        checkpoint["reinforcement"] = self.training_state(self.single_run.environments.state_dict())

    def training_state(self, environments: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of what a checkpoint holds besides weights and optimizer.

        Args:
            environments: state of the run's environments.
        """
        return {
            "progress": self.algorithm.progress.state_dict(),
            "environments": dict(environments),
            "algorithm": self.algorithm.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the training state if training resumes; an evaluation needs only the weights."""
        if self.trainer.state.fn != TrainerFn.FITTING:
            return
        state = current_state(checkpoint["reinforcement"])
        self.algorithm.progress.load_state_dict(state["progress"])
        self.algorithm.load_state_dict(state["algorithm"])
        self.single_run.environments.load_state_dict(state["environments"])
        self.update_log.resume()


class PolicyGradientModule(ReinforcementModule):
    """LightningModule of :class:`~losslab.rl.policy_gradient.PolicyGradient`."""

    algorithm_class = PolicyGradient


class QLearningModule(ReinforcementModule):
    """LightningModule of :class:`~losslab.rl.q_learning.QLearning`."""

    algorithm_class = QLearning


def current_state(saved: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the training state of a checkpoint with the keys of today.

    Version 0.1 saved the counters beside ``play``, the environments, and ``memory``, the algorithm,
    in which a policy gradient counted its rollouts as ``rounds``.
    """
    if "memory" not in saved:
        return saved
    counters = ("env_steps", "updates", "returns", "ended_at")
    return {
        "progress": {name: saved[name] for name in counters},
        "environments": saved["play"],
        "algorithm": {
            "rollouts" if name == "rounds" else name: value
            for name, value in saved["memory"].items()
        },
    }
