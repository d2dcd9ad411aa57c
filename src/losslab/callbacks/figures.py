"""Pictures of the predictions, in TensorBoard and in the run's folder."""

import io
from typing import Any

import pytorch_lightning as pl
import torch

from losslab.runs.figure_data import FigureData, to_bytes
from losslab.runs.writer import RunWriter


class Figures(pl.Callback):
    """Draws the task's pictures of the validation split while training and of the test at the end.

    A run that leaves the test split unread gets those of validation at its end too.

    Where the task has an embedding, TensorBoard's projector shows that of the last time.

    Args:
        writer: takes the pictures.
        every: epochs between pictures while training; ``None`` draws at the end only.
        samples: how many samples of the split the pictures show at most.
    """

    def __init__(self, writer: RunWriter, every: int | None = None, samples: int = 2000) -> None:
        self.writer = writer
        self.every = every
        self.samples = samples

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Draw every so many epochs."""
        if trainer.is_global_zero and self.is_due(trainer.current_epoch):
            self.draw(pl_module, trainer.val_dataloaders, "val", trainer.global_step)

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Draw the last split that was judged, with the weights that were."""
        if trainer.is_global_zero:
            loaders: Any = trainer.test_dataloaders
            batches = loaders[-1] if isinstance(loaders, list) else loaders
            split = str(getattr(pl_module, "splits", ("test",))[-1])
            self.draw(pl_module, batches, split, trainer.global_step)

    def is_due(self, epoch: int) -> bool:
        """Whether pictures are drawn after this epoch, counted from 0."""
        return bool(self.every and (epoch + 1) % self.every == 0)

    def draw(self, module: Any, batches: Any, split: str, step: int) -> None:
        """Draw the task's pictures of a split.

        Args:
            module: a run's, with the weights to show.
            batches: of the split.
            split: its name.
            step: the step that the pictures show.
        """
        if not hasattr(module, "task"):
            return
        if hasattr(module, "figures"):  # a module that owns its step draws what it saw
            figures = module.figures()
        else:
            inputs, prediction, target = self._predict(module, batches)
            figures = module.task.figures(inputs, prediction, target, module.network)
            shown = module.task.embedding(prediction, target)
            if shown is not None:
                self.writer.embedding(shown[0].tolist(), shown[1])
        for name, figure in figures.items():
            self._keep(f"{split}/{name}", figure, step)

    def _keep(self, tag: str, picture: Any, step: int) -> None:
        """Keep a figure; of arrays both themselves and their figure."""
        from losslab.report.figures.predictions import predictions  # noqa: PLC0415 (matplotlib)

        figure = picture
        if isinstance(picture, FigureData):
            self.writer.arrays(tag, to_bytes(picture))
            figure = predictions({"": picture})
        buffer = io.BytesIO()
        # the standard compression makes it a fifth smaller, in three times the time
        figure.savefig(buffer, format="png", dpi=100, pil_kwargs={"compress_level": 1})
        self.writer.image(tag, buffer.getvalue(), step)

    def _predict(self, module: Any, batches: Any) -> list[torch.Tensor]:
        """Inputs, predictions and targets of the first samples."""
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
