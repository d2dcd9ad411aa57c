"""One run of a typical template: a DataLoader with transforms, and logging of each step.

``python -m benchmarks.usual MNIST_FOLDER RUN_FOLDER SEED`` trains 20 epochs of 100 steps; the
measurement ``whole`` times it.
"""

import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, random_split
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score
from torchvision.datasets import MNIST
from torchvision.transforms import Compose, Normalize, ToTensor


class Classifier(pl.LightningModule):
    """Classifier 784-128-10 with cross-entropy and metric objects."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)
        )
        self.loss = nn.CrossEntropyLoss()
        self.metrics = nn.ModuleDict(
            {
                split: nn.ModuleDict(
                    {"accuracy": MulticlassAccuracy(10), "f1": MulticlassF1Score(10)}
                )
                for split in ("fit", "val", "test")
            }
        )

    def _step(self, split: str, batch: Any) -> Tensor:
        inputs, targets = batch
        logits = self.network(inputs)
        loss: Tensor = self.loss(logits, targets)
        self.log(f"{split}/loss", loss)
        for name, metric in self.metrics[split].items():
            metric(logits, targets)
            self.log(f"{split}/{name}", metric)
        return loss

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        """Log loss and metrics of training."""
        return self._step("fit", batch)

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Log loss and metrics of validation."""
        self._step("val", batch)

    def test_step(self, batch: Any, batch_index: int) -> None:
        """Log loss and metrics of test."""
        self._step("test", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=2e-3)


def main(data_dir: str, folder: str, seed: str) -> None:
    """Train, save the best checkpoint and test it."""
    pl.seed_everything(int(seed))
    torch.set_num_threads(1)
    transform = Compose([ToTensor(), Normalize(0.1307, 0.3081)])
    whole = MNIST(data_dir, train=True, transform=transform)
    validation, training = random_split(whole, [len(whole) - 6400, 6400])
    testing: Subset[Any] | MNIST = MNIST(data_dir, train=False, transform=transform)
    trainer = pl.Trainer(
        max_epochs=20,
        accelerator="cpu",
        logger=TensorBoardLogger(folder),
        callbacks=[ModelCheckpoint(Path(folder), monitor="val/accuracy", mode="max")],
        enable_progress_bar=False,
    )
    module = Classifier()
    trainer.fit(
        module,
        DataLoader(training, batch_size=64, shuffle=True),
        DataLoader(validation, batch_size=64),
    )
    trainer.test(module, DataLoader(testing, batch_size=64), ckpt_path="best")


if __name__ == "__main__":
    main(*sys.argv[1:])
