"""Figures of the predictions, in TensorBoard and in the run's folder."""

import io
from typing import Any, Literal

import pytorch_lightning as pl
import torch

from losslab.modules.sharding import gathered_weights
from losslab.runs.figure_data import FigureData, to_bytes
from losslab.runs.saved_sweep import first_seed
from losslab.runs.writer import RunWriter


class Figures(pl.Callback):
    """Callback that draws the task's figures, of validation during training and of test at the end.

    A run that does not read the test split gets figures of validation at its end.
    If the task has an embedding, TensorBoard's projector shows the latest one. Drawing can take
    longer than training in a stack, so of a sweep only the runs are drawn that its report shows.

    Args:
        writer: run writer that saves the figures.
        every: epochs between figures during training; ``None`` draws only at the end.
        samples: maximum number of samples of the split to show.
        seeds: runs of a sweep that are drawn: those of the ``"first"`` seed, or ``"all"``.
    """

    def __init__(
        self,
        writer: RunWriter,
        every: int | None = None,
        samples: int = 2000,
        seeds: Literal["first", "all"] = "first",
    ) -> None:
        self.writer = writer
        self.every = every
        self.samples = samples
        self.seeds = seeds

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Draw the validation split if figures are due."""
        if self.is_due(trainer.current_epoch):
            self._draw_on_first(trainer, pl_module, trainer.val_dataloaders, "val")

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Draw the last split that was evaluated, with the same weights."""
        loaders: Any = trainer.test_dataloaders
        batches = loaders[-1] if isinstance(loaders, list) else loaders
        split = str(getattr(pl_module, "splits", ("test",))[-1])
        self._draw_on_first(trainer, pl_module, batches, split)

    def _draw_on_first(self, trainer: pl.Trainer, module: Any, batches: Any, split: str) -> None:
        """Draw on the first rank, which gets the whole weights from the others."""
        with gathered_weights(module):
            if trainer.is_global_zero:
                self.draw(module, batches, split, trainer.global_step)

    def is_due(self, epoch: int) -> bool:
        """Return whether figures are drawn after this epoch, counted from 0."""
        return bool(self.every and (epoch + 1) % self.every == 0)

    def are_shown(self) -> bool:
        """Return whether this run is one that is drawn."""
        first = first_seed(self.writer.folder.parent.parent) if self.seeds == "first" else None
        return first in (None, self.writer.record["seed"])

    def draw(self, module: Any, batches: Any, split: str, step: int) -> None:
        """Draw the task's figures of a split.

        Args:
            module: the run's module, with the weights to show.
            batches: batches of the split.
            split: name of the split.
            step: step that the figures show.
        """
        if not hasattr(module, "task") or not self.are_shown():
            return
        if hasattr(module, "figures"):  # a module with its own training step draws its own figures
            figures = module.figures()
        else:
            inputs, prediction, target = self._predict(module, batches)
            estimated = module.supervision.estimated(prediction)
            figures = module.task.figures(inputs, estimated, target, module.network)
            embedding = module.task.embedding(prediction, target)
            if embedding is not None:
                self.writer.embedding(embedding[0].tolist(), embedding[1])
        for name, figure in figures.items():
            self._save(f"{split}/{name}", figure, step)

    def _save(self, tag: str, content: Any, step: int) -> None:
        """Save a figure, or figure data together with their figure."""
        # matplotlib: once there is something to draw
        from losslab.report.figures.predictions import predictions  # noqa: PLC0415
        from losslab.report.figures.style import laid_out  # noqa: PLC0415

        figure = content
        if isinstance(content, FigureData):
            self.writer.arrays(tag, to_bytes(content))
            figure = predictions({"": content})
        buffer = io.BytesIO()
        # the default compression makes the file a fifth smaller but takes three times as long
        with laid_out(figure):
            figure.savefig(buffer, format="png", dpi=100, pil_kwargs={"compress_level": 1})
        self.writer.image(tag, buffer.getvalue(), step)

    def _predict(self, module: Any, batches: Any) -> list[torch.Tensor]:
        """Return inputs, predictions and targets of the first samples."""
        seen: list[tuple[torch.Tensor, ...]] = []
        count = 0
        with torch.inference_mode():
            for batch in batches:
                inputs, target = module.task.pair([part.to(module.device) for part in batch])
                seen.append((inputs, module(inputs).float(), target))
                count += len(inputs)
                if count >= self.samples:
                    break
        return [torch.cat(column)[: self.samples] for column in zip(*seen, strict=True)]
