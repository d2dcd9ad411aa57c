"""The base class of this project's LightningModules."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from losslab.data.streaming import batches_of
from losslab.losses import SumLoss
from losslab.modules.cost import LossCall
from losslab.modules.scores import ScoreOptions
from losslab.runs.scores import Scores


def forget_copies(checkpoint: dict[str, Any]) -> None:
    """Remove the second copy of a loss that earlier versions saved for data with sample weights."""
    weights = checkpoint["state_dict"]
    for name in [name for name in weights if str(name).startswith("sample_loss.")]:
        del weights[name]


class Module(pl.LightningModule):
    """LightningModule that keeps its metrics in float64 and sets plain attributes fast."""

    shares_batches: ClassVar[bool] = True
    """Whether several processes can train it together, each with a part of a batch."""
    divides_weights: ClassVar[bool] = False
    """Whether it trains a network whose weights are divided between processes."""
    saved_entries: ClassVar[tuple[str, ...]] = ()
    """Entries of a checkpoint, each a mapping, that a module adds and needs to resume."""
    loss: Any
    metrics: dict[str, dict[str, float]]
    """Metrics of the last evaluation by split, as records hold them."""
    score_options: ScoreOptions | None
    """What to keep of the test samples; ``None`` to keep nothing."""
    scores: Scores | None
    """Scores of the test samples, once they are evaluated on the first rank."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics = {}
        self.score_options = None
        self.scores = None

    @property
    def test_index(self) -> Tensor:
        """Identity of each sample of the test split that is evaluated."""
        datamodule: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        index: Tensor = datamodule.data.test_index
        return index

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Read checkpoints of earlier versions, too."""
        forget_copies(checkpoint)

    def on_train_epoch_start(self) -> None:
        """Begin the epoch."""
        self.begin_epoch(self.trainer.current_epoch)

    def begin_epoch(self, epoch: int) -> None:
        """Set the weights of a sum of losses to those of an epoch, counted from 0."""
        if isinstance(self.loss, SumLoss):
            self.loss.set_epoch(epoch)

    def tie_break(self) -> dict[str, float]:
        """Measure what decides between this epoch and one with an equal monitor, if anything."""
        return {}

    def loss_call(self) -> LossCall | None:
        """Return the loss of one training batch, to measure its cost; ``None`` if there is none."""
        return None

    def first_batch(self) -> tuple[Tensor, ...]:
        """Return the first batch of the training, while the run is tested."""
        trainer: Any = self.trainer
        data = trainer.datamodule.data
        batches = batches_of(
            data.train,
            data.batch_size,
            seed=data.seed,
            shuffle=True,
            smallest=data.smallest_batch,
        )
        moved: tuple[Tensor, ...] = trainer.strategy.batch_to_device(
            trainer.precision_plugin.convert_input(batches.first())
        )
        return moved

    def positions(self, index: int, count: int) -> Tensor:
        """Return where in its split the samples are that this process evaluated.

        Args:
            index: index of the dataloader.
            count: number of the samples, the first of the dataloader.
        """
        trainer: Any = self.trainer
        loaders = trainer.test_dataloaders if trainer.testing else trainer.val_dataloaders
        loader = loaders[index] if isinstance(loaders, list) else loaders
        positions: Tensor = loader.positions()
        return positions[:count]

    def gathered(self, index: int, *columns: Tensor) -> list[Tensor]:
        """Gather what all ranks keep of the samples of a dataloader, in stored order.

        Args:
            index: index of the dataloader.
            columns: tensors of this rank's samples, the first of the dataloader.
        """
        world_size = self.trainer.world_size
        if world_size == 1:
            return list(columns)
        parts: list[Any] = [None] * world_size
        own = [*(column.cpu() for column in columns), self.positions(index, len(columns[0]))]
        dist.all_gather_object(parts, own)
        *whole, positions = (torch.cat(column) for column in zip(*parts, strict=True))
        order = positions.argsort()
        return [column[order].to(self.device) for column in whole]

    def report(self, split: str, values: Mapping[str, Any]) -> None:
        """Keep the metrics of a split, and log them with Lightning.

        Lightning's copy, for schedulers and loggers, is rounded to float32.

        Args:
            split: ``val`` or ``test``.
            values: numbers by name, without the split; they are added to those already reported.
        """
        numbers = {name: float(value) for name, value in values.items()}
        self.metrics[split] = self.metrics.get(split, {}) | numbers
        self.log_dict({f"{split}/{name}": value for name, value in numbers.items()})

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, without the search for parameters if it is a plain value.

        Lightning sets the name of the current hook some forty times per step; with the
        ``__setattr__`` of ``nn.Module`` this takes a tenth of a small network's step.
        """
        if value is None or type(value) in (str, bool, int):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step a scheduler after an epoch; one that reads a metric waits for the validation."""
        if not isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step()

    def step_plateau(self, monitor: str) -> None:
        """Step a scheduler that reads a metric, after a validation.

        Lightning would step it after each epoch, with the metric of an earlier one if an epoch is
        not validated, and after the checkpoint is saved, so that a resumed run would miss a step.
        """
        scheduler: Any = self.lr_schedulers()
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(self.trainer.callback_metrics[f"val/{monitor}"])
