"""Callback that drives the run writer: curves, checkpoints, early stopping, record, scores."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from losslab.runs.writer import RunWriter


class RunWriterCallback(pl.Callback):
    """Callback that passes the module's logged values to the run writer, on the first rank.

    Args:
        writer: the run's writer.
        name: name of the loss, for the error of a run that diverges.
    """

    def __init__(self, writer: RunWriter, name: str) -> None:
        self.writer = writer
        self.name = name

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the values of the training steps if they are due."""
        if not getattr(pl_module, "due", False):
            return
        step = trainer.global_step
        values = pl_module.step_values.drain(self.name, step)
        if trainer.optimizers:
            values["lr"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        if trainer.is_global_zero:
            self.writer.log(trainer.current_epoch, step, values)
            for logger in trainer.loggers:
                logger.log_metrics(values, step)

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Save the scores of the test samples, in the process that evaluated them."""
        scores = getattr(pl_module, "scores", None)
        if scores is not None and trainer.is_global_zero:
            self.writer.scores(scores)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Save the checkpoints and decide whether to stop, if the epoch was validated."""
        if (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1):
            return  # Lightning still holds the metrics of an earlier epoch
        evaluated = pl_module.metrics.get("val", {})
        metrics = {f"val/{name}": value for name, value in evaluated.items()}
        stop = False
        # every rank calls save_checkpoint, in which strategies gather the state of all ranks
        saved = self.writer.folder / "checkpoints" / "epoch.tmp"
        trainer.save_checkpoint(saved)
        if trainer.is_global_zero:

            def hand_over(path: Path) -> None:
                saved.replace(path)

            stop = self.writer.end_epoch(
                trainer.current_epoch, trainer.global_step, metrics, hand_over
            )
        trainer.should_stop = bool(trainer.strategy.broadcast(stop)) or trainer.should_stop
