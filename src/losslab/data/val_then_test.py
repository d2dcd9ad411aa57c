"""Evaluation of several splits of a data set in one pass."""

from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch

from losslab.data import checks
from losslab.data.base import InMemoryData
from losslab.data.batches import Batches


class ValThenTest(pl.LightningDataModule):
    """Data module whose test loaders are the given splits of a data set, in that order.

    Args:
        data: data set, after ``setup``.
        splits: any of ``"train"``, ``"val"`` and ``"test"``.

    Raises:
        ValueError: if a split has another name.
    """

    def __init__(self, data: InMemoryData, splits: Iterable[str] = ("val", "test")) -> None:
        super().__init__()
        self.data = data
        self.splits = tuple(splits)
        for split in self.splits:
            checks.require_choice("split", split, ("train", "val", "test"))

    def test_dataloader(self) -> list[Batches]:
        """Return one loader per split, each in stored order."""
        return [
            self.data.batches(getattr(self.data, split), trainer=self.trainer)
            for split in self.splits
        ]

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Move a batch as the data set does."""
        return self.data.transfer_batch_to_device(batch, device, dataloader_idx)
