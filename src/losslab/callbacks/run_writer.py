"""Callback that drives the run writer: curves, checkpoints, early stopping, record, scores."""

import signal
import threading
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from losslab.modules.cost import StepTimer, begin_memory, loss_cost, memory_cost
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
        self.timer = StepTimer()
        self._validated: tuple[int, int] | None = None
        self._on_sigterm: Any = None

    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        """Keep the handler of SIGTERM, which Lightning is about to replace."""
        self._on_sigterm = signal.getsignal(signal.SIGTERM)

    def _handle_sigterm(self) -> None:
        """Put the handler back: Lightning's would wait for ranks that wait for this one."""
        if callable(self._on_sigterm) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._on_sigterm)

    def on_test_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Handle signals as the command does."""
        self._handle_sigterm()

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Begin to measure time and memory; a resumed run that had stopped stops again."""
        self._handle_sigterm()
        self.timer = StepTimer(trainer.global_step)
        begin_memory(pl_module.device)
        stop = trainer.is_global_zero and self.writer.record["stopped"] is not None
        trainer.should_stop = bool(trainer.strategy.broadcast(stop)) or trainer.should_stop

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Let the last epoch be validated, whose weights the run ends with."""
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Start the clock, which validation stops."""
        self.timer.start()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Stop the clock."""
        self.timer.stop()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Note which weights the module's metrics belong to."""
        self._validated = (trainer.current_epoch, trainer.global_step)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the values of the training steps if they are due."""
        if not getattr(pl_module, "due", False):
            return
        step = trainer.global_step
        values = pl_module.step_values.drain(self.name, step)
        if trainer.optimizers:
            values["train/lr"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        if trainer.is_global_zero:
            self.writer.log(trainer.current_epoch, step, values)
            for logger in trainer.loggers:
                logger.log_metrics(values, step)

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Save the scores of the test samples, and measure the cost of the run.

        Nothing follows that the measurement could affect. It is left out with several processes,
        since a loss may wait for the others.
        """
        if not trainer.is_global_zero:
            return
        if pl_module.scores is not None:
            self.writer.scores(pl_module.scores)
        cost = self.timer.cost() | memory_cost(pl_module.device)
        if trainer.world_size == 1:
            with trainer.precision_plugin.train_step_context():
                cost |= loss_cost(pl_module.loss_call)
        self.writer.note({"cost": self.writer.record["cost"] | cost})

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Save the checkpoints and decide whether to stop, if the epoch was validated."""
        self.timer.end_epoch(trainer.global_step)
        if self._validated != (trainer.current_epoch, trainer.global_step):
            return  # the module still holds the metrics of earlier weights
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
                trainer.current_epoch,
                trainer.global_step,
                metrics,
                hand_over,
                pl_module.tie_break,
            )
        trainer.should_stop = bool(trainer.strategy.broadcast(stop)) or trainer.should_stop

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Record that a callback of the user ended the training, if one did."""
        if trainer.is_global_zero and trainer.should_stop and not self.writer.record["stopped"]:
            self.writer.note({"stopped": "callback"})
