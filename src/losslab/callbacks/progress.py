"""Progress bar with the monitored metric."""

from typing import Any

import pytorch_lightning as pl
from tqdm import tqdm


class Progress(pl.Callback):
    """Callback that shows one progress bar over the run's steps, with epoch and monitored metric.

    Nothing is drawn if stderr is not a terminal.

    Args:
        metric: metric to show, such as ``val/accuracy``.
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self._bar: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar at the current step."""
        if not trainer.is_global_zero:
            return
        steps = int(trainer.num_training_batches)
        self._bar = tqdm(
            total=steps * (trainer.max_epochs or 0),
            initial=steps * trainer.current_epoch,
            disable=None,
            unit="step",
            leave=False,
            miniters=1,
            bar_format="{desc} {bar:30} {percentage:3.0f}% {elapsed}<{remaining}{postfix}",
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance the bar; tqdm draws at most ten times per second."""
        if self._bar is not None:
            self._bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show epoch and metric."""
        if self._bar is not None:
            value = trainer.callback_metrics.get(self.metric)
            self._bar.set_description_str(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}")
            if value is not None:
                self._bar.set_postfix_str(f"{self.metric} {float(value):.4f}")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Close the bar, so that the error is printed on its own line."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
