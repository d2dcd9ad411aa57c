"""Evaluation of several splits of a data set in one pass."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch

from losslab.data import checks
from losslab.data.base import InMemoryData
from losslab.data.limits import FirstBatches, limited_count


class ValThenTest(pl.LightningDataModule):
    """Data module whose test loaders are the given splits of a data set, in that order.

    Args:
        data: data set, after ``setup``.
        splits: any of ``"train"``, ``"val"`` and ``"test"``.
        limits: of the number of batches by split, see
            :func:`~losslab.data.limits.limited_count`; Lightning has one for all test loaders.

    Raises:
        ValueError: if a split has another name.
    """

    def __init__(
        self,
        data: InMemoryData,
        splits: Iterable[str] = ("val", "test"),
        limits: Mapping[str, float | None] | None = None,
    ) -> None:
        super().__init__()
        self.data = data
        self.limits = dict(limits or {})
        self.splits = tuple(splits)
        for split in self.splits:
            checks.require_choice("split", split, ("train", "val", "test"))

    def test_dataloader(self) -> list[Any]:
        """Return one loader per split, each in stored order."""
        return list(map(self._loader, self.splits))

    def _loader(self, split: str) -> Any:
        loader = self.data.batches(getattr(self.data, split), trainer=self.trainer)
        count = limited_count(len(loader), self.limits.get(split))
        return loader if count == len(loader) else FirstBatches(loader, count)

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Move a batch as the data set does."""
        return self.data.transfer_batch_to_device(batch, device, dataloader_idx)
