"""Batches of in-memory data: one indexed gather per batch, without workers or collation."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Sampler, SequentialSampler

from losslab.rng import Purpose, generator


class Split(NamedTuple):
    """Samples of one split, along the first dimension of each tensor.

    Inputs that are not in memory are :class:`~losslab.data.streaming.StreamedInputs`.
    """

    inputs: Any
    targets: Tensor
    weights: Tensor | None = None

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self.inputs)

    def tensors(self) -> tuple[Tensor, ...]:
        """Return inputs, targets and, if there are any, weights."""
        both = (self.inputs, self.targets)
        return both if self.weights is None else (*both, self.weights)

    def take(self, index: Tensor) -> "Split":
        """Select the samples with the given indices, in that order."""
        return Split(*(tensor.index_select(0, index) for tensor in self.tensors()))

    def to(self, device: torch.device | str) -> "Split":
        """Move the split to a device."""
        return Split(*(tensor.to(device) for tensor in self.tensors()))


class Batches:
    r"""Iterable over the batches of a split, used by Lightning like a ``DataLoader``.

    The order of epoch :math:`e` is ``torch.randperm(n)`` seeded by ``(seed, "batches", e)`` and
    depends on nothing else, so runs of the same seed see the same batches, and a resumed run
    continues like an uninterrupted one. The epoch is read when the first batch is requested.

    With several processes, rank ``r`` takes every ``world_size``-th sample of the same global
    batch, starting with the ``r``-th. The last, smaller batch is kept; if it has fewer than
    ``smallest`` samples per rank, it is merged into the batch before it.

    Args:
        split: the samples.
        batch_size: samples per global batch.
        seed: seed of the run.
        shuffle: whether to shuffle each epoch; otherwise batches are views in stored order.
        device: device to which the split is moved once.
        rank: index of this process.
        world_size: number of processes.
        smallest: fewest samples of a batch per process: 2 for batch normalization in training.

    Raises:
        ValueError: if the split or the batch size is smaller than the number of processes.

    Example:
        >>> split = Split(torch.arange(5.0), torch.arange(5))
        >>> batches = Batches(split, 2, seed=0, shuffle=True)
        >>> [len(targets) for _, targets in batches]
        [2, 2, 1]
        >>> torch.equal(batches.order(3), batches.order(3))
        True
    """

    batch_sampler = None  # read by Lightning if there is a sampler

    def __init__(
        self,
        split: Split,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool,
        device: torch.device | str | None = None,
        rank: int = 0,
        world_size: int = 1,
        smallest: int = 1,
    ) -> None:
        if batch_size < max(1, world_size):
            raise ValueError(f"batch_size must be >= {max(1, world_size)}, got {batch_size}")
        if split.size < world_size:
            raise ValueError(f"split must hold >= {world_size} samples, got {split.size}")
        self.split = split if device is None else split.to(device)
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.smallest = smallest
        self.epoch = 0

    @property
    def sampler(self) -> "Batches | Sampler[int]":
        """Sampler whose ``set_epoch`` Lightning calls."""
        return self if self.shuffle else SequentialSampler(range(self.split.size))

    @property
    def device(self) -> torch.device:
        """Device of the batches."""
        device: torch.device = self.split.targets.device
        return device

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that determines the order of the next iteration."""
        self.epoch = epoch

    def order(self, epoch: int) -> Tensor:
        """Return the sample indices of an epoch in order, ``(n,)`` on the CPU."""
        if not self.shuffle:
            return torch.arange(self.split.size)
        return torch.randperm(
            self.split.size, generator=generator(self.seed, Purpose.BATCHES, epoch)
        )

    def positions(self) -> Tensor:
        """Return where in the split this process's samples are, in stored order of the batches.

        Example:
            >>> split = Split(torch.arange(6.0), torch.arange(6))
            >>> Batches(split, 4, shuffle=False, rank=1, world_size=2).positions()
            tensor([1, 3, 5])
        """
        stored = torch.arange(self.split.size)
        return torch.cat([stored[part] for part in self._parts()])

    def to(self, device: torch.device | str) -> "Batches":
        """Return the same batches on a device."""
        moved = Batches(
            self.split,
            self.batch_size,
            seed=self.seed,
            shuffle=self.shuffle,
            device=device,
            rank=self.rank,
            world_size=self.world_size,
            smallest=self.smallest,
        )
        moved.set_epoch(self.epoch)
        return moved

    def __len__(self) -> int:
        """Return the number of batches per epoch, the same on every rank."""
        return len(self._bounds())

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        """Iterate over one epoch of ``(inputs, targets)`` or ``(inputs, targets, weights)``."""
        return self.iterate()

    def iterate(self, first: int = 0) -> Iterator[tuple[Tensor, ...]]:
        """Iterate over an epoch from a batch on."""
        tensors = self.split.tensors()
        if self.shuffle:
            order = self.order(self.epoch).to(self.device)
            for part in self._parts(first):
                index = order[part]
                yield tuple(tensor.index_select(0, index) for tensor in tensors)
        else:
            for part in self._parts(first):
                yield tuple(tensor[part] for tensor in tensors)

    def first(self) -> tuple[Tensor, ...]:
        """Return the first batch of the epoch."""
        return next(self.iterate())

    def positions_by_batch(self, first: int = 0) -> list[Tensor]:
        """Return where in the split the samples of each batch of this process are."""
        order = self.order(self.epoch)
        return [order[part] for part in self._parts(first)]

    def _parts(self, first: int = 0) -> list[slice]:
        """Return which part of the order each batch of this process is."""
        bounds = self._bounds()[first:]
        return [slice(start + self.rank, stop, self.world_size) for start, stop in bounds]

    def _bounds(self) -> list[tuple[int, int]]:
        """Return start and stop of each global batch."""
        starts = list(range(0, self.split.size, self.batch_size))
        fewest = min(self.smallest * self.world_size, self.batch_size)
        if len(starts) > 1 and self.split.size - starts[-1] < fewest:
            starts.pop()
        return list(zip(starts, [*starts[1:], self.split.size], strict=True))
