"""The LightningModule of supervised tasks."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from losslab.losses.base import TargetFormat, sum_of
from losslab.losses.links import InverseLink
from losslab.losses.totals import Totals
from losslab.models.freezing import keep_statistics
from losslab.models.layers import decayed_groups, require_own_rates
from losslab.modules.accumulation import Window
from losslab.modules.base import Module
from losslab.modules.component_gradients import gradient_values
from losslab.modules.cost import LossCall, supervised_call
from losslab.modules.global_batch import GlobalBatch, average_over_ranks, gradients_of
from losslab.modules.objective import Supervision
from losslab.modules.sharding import (
    FullyShardedStrategy,
    clip,
    fit_to_parts,
    gathered_weights,
    is_divided,
    shard,
    total_norm,
)
from losslab.modules.shared_draws import SharedDraws
from losslab.modules.step_values import Diverged, StepValues, is_due
from losslab.modules.zero import DividedOptimizer
from losslab.rng import Purpose, derive_seed, seed_global
from losslab.tasks.base import Task

Batch = tuple[Tensor, ...]
Pair = tuple[Tensor, Tensor]
"""Predictions and targets."""


class SupervisedModule(Module):
    """LightningModule that trains a network with a loss and evaluates it with the task's metrics.

    Args:
        network: maps inputs to predictions.
        loss: any module called as ``loss(prediction, target)``.
        task: provides targets, metrics and figures.
        target_format: target format that the loss accepts.
        inverse_link: how the loss converts logits to probabilities; ``None`` if it does not.
        optimizer: makes the optimizer from the parameters.
        scheduler: makes a scheduler from the optimizer, or ``None``.
        regularizer: called with the network's named parameters, or ``None``.
        references: reference losses of the task by name, with their target formats.
        seed: seed of the run, from which dropout masks are drawn.
        name: name of the loss, for messages.
        monitor: validation metric that schedulers watch.
        totals: computes totals and counts of a loss of another library.
        adds_up: whether totals and counts of parts of a batch add up to those of the batch.
        loss_lr: learning rate of the loss's own parameters; ``None`` for the optimizer's, 0 to
            keep their initial values.
        layer_decay: factor of the learning rate from each layer of the network to the one before
            it; ``None`` for one learning rate.
    """

    divides_weights = True

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        task: Task,
        *,
        target_format: TargetFormat,
        inverse_link: InverseLink | None,
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: Callable[..., Any] | None,
        regularizer: Callable[[Mapping[str, Tensor]], Tensor] | None,
        references: Mapping[str, tuple[nn.Module, TargetFormat]],
        seed: int,
        name: str,
        monitor: str,
        totals: Totals | None = None,
        adds_up: bool = False,
        loss_lr: float | None = None,
        layer_decay: float | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        # registered as submodules, so that their buffers move to the module's device
        self.loss = loss
        self._loss_lr, self._layer_decay = loss_lr, layer_decay
        if loss_lr == 0:
            loss.requires_grad_(False)
        self.reference_losses = nn.ModuleDict({key: ref for key, (ref, _) in references.items()})
        self.task = task
        self.supervision = Supervision(
            task,
            loss,
            target_format=target_format,
            inverse_link=inverse_link,
            regularizer=regularizer,
            references=references,
            totals=totals,
            adds_up=adds_up,
        )
        self.seed = seed
        self.name = name
        self.monitor = monitor
        self.step_values = StepValues()
        self._window = Window(self.supervision)
        self.component_gradients = False
        """Whether to log norms and cosines of the components' gradients."""
        self.due = False
        self._is_divided = False
        self.splits: tuple[str, ...] = ("val", "test")
        self.chosen: dict[str, float] = {}
        self._optimizer, self._scheduler = optimizer, scheduler
        self._seen: dict[int, list[Pair]] = {}
        self._validated: Pair | None = None

    def configure_model(self) -> None:
        """Divide the network's weights between the processes if the Trainer's strategy does."""
        trainer: Any = self.trainer
        self._is_divided = isinstance(trainer.strategy, FullyShardedStrategy)
        if self._is_divided:
            shard(self.network, trainer.world_size, trainer.strategy.root_device)

    def train(self, mode: bool = True) -> "SupervisedModule":
        """Set the mode; statistics of frozen layers stay as they are."""
        super().train(mode)
        keep_statistics(self.network)
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the network's prediction."""
        prediction: Tensor = self.network(inputs)
        return prediction

    # --- training ---------------------------------------------------------------------------

    def on_train_epoch_start(self) -> None:
        """Cache what is constant during an epoch: asking the trainer costs a percent of a step."""
        super().on_train_epoch_start()
        trainer: Any = self.trainer
        self._epoch = int(trainer.current_epoch)
        self._batches = int(trainer.num_training_batches)
        self._every = int(trainer.log_every_n_steps)
        self._accumulated = int(trainer.accumulate_grad_batches)
        self._ranks = int(trainer.world_size)
        self.supervision.sums_ranks = self._ranks > 1 and self.supervision.adds_up
        self._draws = True
        self._seed_device = self.device

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Compute the objective: the loss plus the regularizer, if any."""
        # dropout depends only on (seed, epoch, step), so that resumed runs repeat it
        seed_global(
            derive_seed(self.seed, Purpose.DROPOUT, 0, self._epoch, batch_index),
            self._seed_device,
        )
        inputs, target = self.task.pair(batch)
        whole = GlobalBatch(inputs) if self._ranks > 1 else None
        prediction = self._predicted(inputs, whole)
        weights = list(batch[2:])
        if whole is not None and not self.supervision.sums_ranks:
            prediction, target, *weights = map(whole.gather, (prediction, target, *weights))
        penalised = self.supervision.regularizer is not None
        parameters = dict(self.network.named_parameters()) if penalised else {}
        try:
            components = self.supervision.components(prediction, target, parameters, *weights)
            objective = sum_of(components)
            differentiated = objective
            if self._accumulated > 1:
                total = self.supervision.total(prediction, target, *weights)
                # Lightning divides by the number of accumulated batches
                differentiated = self._accumulated * self._window.add(*total)
        except Exception as error:  # a loss may raise anything when it is given NaN
            self._raise_if_diverged(prediction, error, steps=1)
            raise
        self.step_values.add(objective, components if len(components) > 1 else {})
        self.due = is_due(self._epoch, self._batches, batch_index, self._every)
        if self.due:
            self._watch(prediction, target, components, whole)
        return differentiated

    def _predicted(self, inputs: Tensor, whole: GlobalBatch | None) -> Tensor:
        """Compute the prediction of this rank's samples, with the draws of the global batch."""
        if whole is None or not self._draws:
            prediction: Tensor = self.network(inputs)
            return prediction
        with SharedDraws(whole) as draws:
            prediction = self.network(inputs)
        self._draws = draws.used  # in the rest of the epoch, too
        return prediction

    def _watch(
        self,
        prediction: Tensor,
        target: Tensor,
        components: Mapping[str, Tensor],
        whole: GlobalBatch | None,
    ) -> None:
        """Keep diagnostics of the loss and gradients of its components, to be logged."""
        if self.supervision.sums_ranks and whole is not None and self.supervision.has_diagnostics:
            prediction, target = whole.gather(prediction), whole.gather(target)
        self.step_values.watch(self.supervision.diagnostics(prediction, target))
        if self.component_gradients and len(components) > 1:
            own = [p for p in self.network.parameters() if p.requires_grad]
            self.step_values.watch(gradient_values(components, own))

    def _raise_if_diverged(self, prediction: Tensor, error: Exception, steps: int) -> None:
        """Raise ``Diverged`` if the network's predictions are not finite.

        Args:
            prediction: outputs of the network, for which a loss or a metric raised an error.
            error: that error.
            steps: steps begun, but not finished.
        """
        if not bool(prediction.isfinite().all()):
            raise Diverged(self.name, math.nan, int(self.trainer.global_step) + steps) from error

    def loss_call(self) -> LossCall:
        """Return the loss of the first training batch."""
        batch = self.first_batch()
        inputs, target = self.task.pair(batch)
        with torch.no_grad():
            prediction = self.network(inputs)
        return supervised_call(self.supervision, prediction, target, *batch[2:])

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Scale accumulated gradients, and keep the norm of the gradient before clipping."""
        trained = [each for group in optimizer.param_groups for each in group["params"]]
        if self._is_divided:
            average_over_ranks(gradients_of(each for each in trained if not is_divided(each)))
        if self._accumulated > 1:
            self._window.finish(optimizer, dict(self.network.named_parameters()))
        if self.due:
            if isinstance(optimizer, DividedOptimizer):
                norm = optimizer.gradient_norm()
            else:
                norm = total_norm(gradients_of(trained))
            self.step_values.watch({"grad_norm": norm})

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients, which may be divided between processes; DeepSpeed clips its own."""
        if gradient_clip_val and self._is_divided:
            trained = (each for group in optimizer.param_groups for each in group["params"])
            clip(trained, gradient_clip_val, by_value=gradient_clip_algorithm == "value")
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def configure_optimizers(self) -> Any:
        """Return the optimizer and the scheduler, which steps once per epoch.

        The loss's own parameters are the last group of the optimizer, without weight decay. With
        ``layer_decay`` each layer of the network is a group, the head first.
        """
        optimizer = self._optimizer(self._groups())
        if self._is_divided:
            fit_to_parts(optimizer)
        if self._scheduler is None:
            return optimizer
        before = [group["lr"] for group in optimizer.param_groups]
        scheduler = self._scheduler(optimizer)
        if self._layer_decay is not None:
            require_own_rates(scheduler, before)
        # without reduce_on_plateau, Lightning leaves it to lr_scheduler_step
        entry = {"scheduler": scheduler, "interval": "epoch", "reduce_on_plateau": False}
        return {"optimizer": optimizer, "lr_scheduler": entry}

    def _groups(self) -> Any:
        """Return what the optimizer trains: parameters, or groups of them."""
        own = [each for each in self.loss.parameters() if each.requires_grad]
        lr = {} if self._loss_lr is None else {"lr": self._loss_lr}
        of_loss = [{"params": own, "weight_decay": 0.0, **lr}] if own else []
        if self._layer_decay is None:
            trained = [each for each in self.network.parameters() if each.requires_grad]
            return [{"params": trained}, *of_loss] if of_loss else trained
        return [*decayed_groups(self.network, self._optimizer, self._layer_decay), *of_loss]

    # --- evaluation -------------------------------------------------------------------------

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Keep the predictions, since metrics are computed on whole splits."""
        self._keep(0, batch)

    def test_step(self, batch: Batch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Keep the predictions of one of the splits."""
        self._keep(dataloader_idx, batch)

    def _keep(self, index: int, batch: Batch) -> None:
        inputs, target = self.task.pair(batch)
        prediction = self.network(inputs)
        if prediction.dtype in (torch.float16, torch.bfloat16):
            prediction = prediction.float()
        if prediction.device.type == "mps":  # metrics are computed in float64, which it lacks
            prediction, target = prediction.cpu(), target.cpu()
        self._seen.setdefault(index, []).append((prediction, target))

    def on_validation_epoch_end(self) -> None:
        """Evaluate the validation split."""
        if not self.trainer.sanity_checking:
            self._validated = self._gather(0)
            self._report({"val": self._validated})
            self.step_plateau(self.monitor)
        self._seen = {}

    def tie_break(self) -> dict[str, float]:
        """Measure what decides between this epoch and one with an equal monitor."""
        if self._validated is None:
            return {}
        return self.task.tie_break(*self._validated, self.supervision.inverse_link)

    def on_train_epoch_end(self) -> None:
        """Release the predictions of the validation split, after the callbacks have read them."""
        self._validated = None

    def on_test_epoch_end(self) -> None:
        """Evaluate each split, after fitting thresholds and the like on validation."""
        gathered = {split: self._gather(index) for index, split in enumerate(self.splits)}
        if "val" in gathered:
            prediction, target = gathered["val"]
            self.chosen = self.task.choose(prediction, target, self.supervision.inverse_link)
        self._report(gathered)
        if self.score_options is not None and "test" in gathered and self.trainer.is_global_zero:
            prediction, target = gathered["test"]
            values = self.supervision.scores(prediction, target, self.chosen)
            sample = self.test_index[: len(prediction)]
            estimated = self.supervision.estimated(prediction)
            outputs = self.task.in_target_unit(estimated), self.task.in_target_unit(target)
            self.scores = self.score_options.scores(sample, values, self.task, outputs)
        self._seen = {}

    def _report(self, gathered: Mapping[str, Pair]) -> None:
        for split, (prediction, target) in gathered.items():
            values = self.evaluate(prediction, target)
            self.report(split, values)

    def evaluate(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        """Compute the loss, metrics and reference losses of a whole split, by name."""
        try:
            values = self.supervision.evaluate(prediction, target, self.chosen)
        except Exception as error:  # a metric may raise anything when it is given NaN
            self._raise_if_diverged(prediction, error, steps=0)
            raise
        numbers = torch.stack([value.to("cpu").double() for value in values.values()]).tolist()
        with gathered_weights(self.network):
            of_network = self.task.network_metrics(self.network)
        return dict(zip(values, numbers, strict=True)) | of_network

    def _gather(self, index: int) -> Pair:
        """Gather the split's predictions and targets from all ranks, in stored order."""
        kept = (torch.cat(column) for column in zip(*self._seen[index], strict=True))
        prediction, target = self.gathered(index, *kept)
        return prediction, target


# Lightning inspects the signature of training_step in each step; a stored one is faster
SupervisedModule.training_step.__signature__ = inspect.signature(  # type: ignore[attr-defined]
    SupervisedModule.training_step
)
