"""Batches of many runs at once, one row per run."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from losslab.data.batches import Batches, Split
from losslab.data.streaming import Readers, StreamedBatches, is_streamed, read_together
from losslab.data.workers import Workers


class StackedBatches:
    """Splits of K runs; runs on the same data share them.

    Args:
        data: data module of each run, after ``setup``, with splits of the same sizes.
        device: device of the batches.
        dtype: floating-point type of the batches.
    """

    def __init__(self, data: Sequence[Any], device: torch.device, dtype: torch.dtype) -> None:
        self._workers: dict[str, Workers] = {}
        self._data = {id(one): one for one in data}
        self._rows = [list(self._data).index(id(one)) for one in data]
        self._device, self._dtype = device, dtype
        self._splits: dict[tuple[int, str], Split] = {}

    def batches(
        self, split: str, epoch: int | None = None, first: int = 0
    ) -> Iterator[tuple[Tensor, ...]]:
        """Iterate over a split once, in tensors (K, B, *).

        Args:
            split: ``"train"``, ``"val"`` or ``"test"``.
            epoch: epoch that determines the order of samples; ``None`` for the stored order.
            first: batch to begin with.
        """
        index = torch.tensor(self._rows, device=self._device)
        each_its_own = self._rows == list(range(len(self._data)))
        streams = [self.of(data, split, epoch) for data in self._data.values()]
        for parts in self._read(split, streams, first):
            columns = [torch.stack(column) for column in zip(*parts, strict=True)]
            yield tuple(columns if each_its_own else (column[index] for column in columns))

    def _read(
        self, split: str, streams: Sequence[Batches], first: int
    ) -> Iterator[tuple[tuple[Tensor, ...], ...]]:
        """Iterate over the batches of runs on different data; the same workers read all of them."""
        streamed = [each for each in streams if isinstance(each, StreamedBatches)]
        if not streamed:
            yield from zip(*(each.iterate(first) for each in streams), strict=True)
            return
        if split not in self._workers:
            keep = split == "train"
            self._workers[split] = Workers(
                Readers(streamed), streamed[0].number_of_workers, keep=keep
            )
        yield from read_together(streamed, self._workers[split], first)

    def first(self) -> tuple[Tensor, ...]:
        """Return the first training batch, in tensors (K, B, *), read by this process."""
        parts = [self.of(data, "train", 0).first() for data in self._data.values()]
        index = torch.tensor(self._rows, device=self._device)
        return tuple(torch.stack(column)[index] for column in zip(*parts, strict=True))

    def close(self) -> None:
        """End the processes that read samples."""
        for workers in self._workers.values():
            workers.close()
        self._workers = {}

    def count(self, split: str) -> int:
        """Return the number of batches of a split."""
        return len(self.of(next(iter(self._data.values())), split))

    def of(self, data: Any, split: str, epoch: int | None = None) -> Batches:
        """Return the batches of one run's data; see :meth:`batches`."""
        key = (id(data), split)
        samples: Split = self._splits.get(key) or getattr(data, split)
        options: dict[str, Any] = {
            "seed": data.seed,
            "shuffle": epoch is not None,
            "smallest": data.smallest_batch if split == "train" else 1,
        }
        batches: Batches
        if is_streamed(samples):
            options |= {"device": self._device, "convert": self._converted}
            batches = StreamedBatches(samples, data.batch_size, **options)
        else:
            if key not in self._splits:
                self._splits[key] = Split(*self._converted(samples.tensors()))
            batches = Batches(self._splits[key], data.batch_size, **options)
        batches.set_epoch(epoch or 0)
        return batches

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these runs, in this order, and release data that none of them uses."""
        before = list(self._data)
        kept = [list(self._data.values())[self._rows[row]] for row in rows]
        self._data = {id(one): one for one in kept}
        self._rows = [list(self._data).index(id(one)) for one in kept]
        self._splits = {key: split for key, split in self._splits.items() if key[0] in self._data}
        if list(self._data) != before:
            self.close()  # workers of other streams

    def _converted(self, columns: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(
            column.to(self._device, self._dtype if column.is_floating_point() else None)
            for column in columns
        )
