"""Batches of data that lie in memory: one indexed gather a batch, no workers, no collating."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Sampler, SequentialSampler

from losslab.rng import Purpose, generator


class Split(NamedTuple):
    """The samples of one split; the first dimension of each tensor counts them."""

    inputs: Tensor
    targets: Tensor
    weights: Tensor | None = None

    @property
    def size(self) -> int:
        """The number of samples."""
        return len(self.inputs)

    def tensors(self) -> tuple[Tensor, ...]:
        """Inputs, targets and, where there are some, weights."""
        both = (self.inputs, self.targets)
        return both if self.weights is None else (*both, self.weights)

    def take(self, index: Tensor) -> "Split":
        """The samples at these places, in this order."""
        return Split(*(tensor.index_select(0, index) for tensor in self.tensors()))

    def to(self, device: torch.device | str) -> "Split":
        """The split on a device; its own tensors where they are there already."""
        return Split(*(tensor.to(device) for tensor in self.tensors()))


class Batches:
    r"""The batches of a split, as an iterable that Lightning takes like a ``DataLoader``.

    Epoch :math:`e` of shuffled batches follows ``torch.randperm(n)`` drawn from
    ``(seed, "batches", e)``: the order depends on nothing else, so that runs are paired and a
    resumed run goes on as the unbroken one. The epoch is taken when the first batch is asked for.

    With several processes, rank ``r`` takes every ``world_size``-th sample of the same global
    batch, beginning with the ``r``-th. The last, short batch is kept; one too short to give each
    rank a sample joins the batch before it.

    Args:
        split: the samples.
        batch_size: samples in a global batch.
        seed: the run's seed.
        shuffle: whether each epoch has its own order; otherwise batches are views in stored order.
        device: where the batches are; the split is moved there once.
        rank: the index of this process.
        world_size: the number of processes.

    Raises:
        ValueError: if a batch, or the split, cannot give each rank a sample.

    Example:
        >>> split = Split(torch.arange(5.0), torch.arange(5))
        >>> batches = Batches(split, 2, seed=0, shuffle=True)
        >>> [len(targets) for _, targets in batches]
        [2, 2, 1]
        >>> torch.equal(batches.order(3), batches.order(3))
        True
    """

    batch_sampler = None  # Lightning asks for it wherever it finds a sampler

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
        self.epoch = 0

    @property
    def sampler(self) -> "Batches | Sampler[int]":
        """What decides the order; Lightning tells the epoch to ``sampler.set_epoch``."""
        return self if self.shuffle else SequentialSampler(range(self.split.size))

    @property
    def device(self) -> torch.device:
        """Where the batches are."""
        return self.split.inputs.device

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch

    def order(self, epoch: int) -> Tensor:
        """The order of an epoch, ``(n,)`` indices on the CPU."""
        if not self.shuffle:
            return torch.arange(self.split.size)
        return torch.randperm(
            self.split.size, generator=generator(self.seed, Purpose.BATCHES, epoch)
        )

    def to(self, device: torch.device | str) -> "Batches":
        """The same batches on a device."""
        moved = Batches(
            self.split,
            self.batch_size,
            seed=self.seed,
            shuffle=self.shuffle,
            device=device,
            rank=self.rank,
            world_size=self.world_size,
        )
        moved.set_epoch(self.epoch)
        return moved

    def __len__(self) -> int:
        """The number of batches in an epoch, the same on every rank."""
        return len(self._bounds())

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        """One epoch of ``(inputs, targets)`` or ``(inputs, targets, weights)``."""
        tensors = self.split.tensors()
        if self.shuffle:
            order = self.order(self.epoch).to(self.device)
            for start, stop in self._bounds():
                index = order[start + self.rank : stop : self.world_size]
                yield tuple(tensor.index_select(0, index) for tensor in tensors)
        else:
            for start, stop in self._bounds():
                part = slice(start + self.rank, stop, self.world_size)
                yield tuple(tensor[part] for tensor in tensors)

    def _bounds(self) -> list[tuple[int, int]]:
        """Where each global batch begins and ends."""
        starts = list(range(0, self.split.size, self.batch_size))
        if self.split.size - starts[-1] < self.world_size:
            starts.pop()
        return list(zip(starts, [*starts[1:], self.split.size], strict=True))
