"""Batches of many runs at once, one row per run."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from losslab.data.batches import Batches, Split


class StackedBatches:
    """Splits of K runs; runs on the same data share them.

    Args:
        data: data module of each run, after ``setup``, with splits of the same sizes.
        device: device of the batches.
        dtype: floating-point type of the batches.
    """

    def __init__(self, data: Sequence[Any], device: torch.device, dtype: torch.dtype) -> None:
        self._data = {id(one): one for one in data}
        self._rows = [list(self._data).index(id(one)) for one in data]
        self._device, self._dtype = device, dtype
        self._splits: dict[tuple[int, str], Split] = {}

    def batches(self, split: str, epoch: int | None = None) -> Iterator[tuple[Tensor, ...]]:
        """Iterate over a split once, in tensors (K, B, *).

        Args:
            split: ``"train"``, ``"val"`` or ``"test"``.
            epoch: epoch that determines the order of samples; ``None`` for the stored order.
        """
        index = torch.tensor(self._rows, device=self._device)
        each_its_own = self._rows == list(range(len(self._data)))
        streams = [self.of(data, split, epoch) for data in self._data.values()]
        for parts in zip(*streams, strict=True):
            columns = [torch.stack(column) for column in zip(*parts, strict=True)]
            yield tuple(columns if each_its_own else (column[index] for column in columns))

    def count(self, split: str) -> int:
        """Return the number of batches of a split."""
        return len(self.of(next(iter(self._data.values())), split))

    def of(self, data: Any, split: str, epoch: int | None = None) -> Batches:
        """Return the batches of one run's data; see :meth:`batches`."""
        key = (id(data), split)
        if key not in self._splits:
            self._splits[key] = _converted(getattr(data, split), self._device, self._dtype)
        batches = Batches(
            self._splits[key],
            data.batch_size,
            seed=data.seed,
            shuffle=epoch is not None,
            smallest=data.smallest_batch if split == "train" else 1,
        )
        batches.set_epoch(epoch or 0)
        return batches

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these runs, in this order, and release data that none of them uses."""
        kept = [list(self._data.values())[self._rows[row]] for row in rows]
        self._data = {id(one): one for one in kept}
        self._rows = [list(self._data).index(id(one)) for one in kept]
        self._splits = {key: split for key, split in self._splits.items() if key[0] in self._data}


def _converted(split: Split, device: torch.device, dtype: torch.dtype) -> Split:
    return Split(
        *(
            tensor.to(device, dtype if tensor.is_floating_point() else None)
            for tensor in split.tensors()
        )
    )
