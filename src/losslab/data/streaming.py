"""Samples that are read when they are needed, by worker processes, in the order of the batches.

A split of such data has :class:`StreamedInputs` in the place of the tensor of its inputs, and
:func:`batches_of` makes batches of either. What is random when a sample is read, augmentation and
transforms of the user's, is a function of (seed, epoch, sample), so that it does not matter which
process reads it, after what, or for which loss.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from losslab.config.errors import described
from losslab.data.augmentation import Augmentation
from losslab.data.batches import Batches, Split
from losslab.data.content import Content, Statistics
from losslab.data.source import Source, TensorSource, reading, seed_sample
from losslab.data.workers import Workers, reads

Batch = tuple[Tensor, ...]


class Request(NamedTuple):
    """Samples of a source to be read as a batch.

    Attributes:
        epoch: training epoch, from which random transforms are drawn; ``None`` for evaluation,
            which augments nothing, and draws the same in each epoch.
        samples: their indices.
    """

    epoch: int | None
    samples: NDArray[np.int64]


class StreamedInputs:
    """Inputs of a split that are read when they are needed, in the place of a tensor ``(n, *)``.

    Args:
        source: what reads them.
        index: samples of the source that belong to the split, ``(n,)``; by default all.
        workers: number of worker processes.
        content: what is known of all samples of the source; not for tensors.
        masks: whether reading a sample gives its target, a mask.
        scaling: mean and scale with which inputs are standardized.
        augment: transforms of training samples.
        seed: seed of the run.
    """

    def __init__(
        self,
        source: Source,
        index: Tensor | None = None,
        *,
        workers: int,
        content: Content | None = None,
        masks: bool = False,
        scaling: tuple[Tensor, Tensor] | None = None,
        augment: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        self.source, self.sample_shape = source, source.shape()
        self.index = torch.arange(len(source)) if index is None else index
        self.workers, self.content, self.masks = workers, content, masks
        self.scaling, self.augment, self.seed = scaling, augment, seed

    def __len__(self) -> int:
        return len(self.index)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape that a tensor of the inputs would have."""
        return (len(self), *self.sample_shape)

    def index_select(self, dim: int, index: Tensor) -> "StreamedInputs":
        """Select samples, as ``Tensor.index_select`` does along the first dimension."""
        return self.using(index=self.index.index_select(dim, index))

    def using(self, **options: Any) -> "StreamedInputs":
        """Return the same inputs with other options."""
        other = copy.copy(self)
        vars(other).update(options)
        return other

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return means and standard deviations of these samples, as they were found in a scan."""
        return self._statistics().moments(self.index, len(self.sample_shape))

    def range(self) -> tuple[float, float]:
        """Return the smallest and the largest value of these samples, without augmentation."""
        low, high = self._statistics().range(self.index, len(self.sample_shape))
        if self.scaling is not None:
            mean, scale = self.scaling
            low, high = (low - mean) / scale, (high - mean) / scale
        return float(low.min()), float(high.max())

    def _statistics(self) -> Statistics:
        assert self.content is not None
        if self.content.statistics is None:
            raise ValueError(
                "the range of values is needed, but images were not decoded before training: set "
                "data.standardize=true or data.in_memory=true"
            )
        return self.content.statistics

    def identity(self) -> list[Tensor]:
        """Return tensors that identify these samples and how they are scaled."""
        if isinstance(self.source, TensorSource):
            samples = self.source.inputs[self.index]
        else:
            assert self.content is not None
            samples = torch.from_numpy(self.content.digests[self.index.numpy()])
        return [samples, *(self.scaling or ())]

    def request(self, positions: Tensor, epoch: int | None) -> Request:
        """Return the request of the samples at these positions of the split."""
        return Request(epoch, self.index[positions].numpy())

    def read(self, request: Request) -> tuple[Tensor, Tensor | None]:
        """Read the inputs of a batch, and their masks if there are any.

        Raises:
            ValueError: if one cannot be read or differs in shape; the message names it.
        """
        with reading():
            samples = [self._sample(request.epoch, index) for index in request.samples.tolist()]
        # into shared memory, if this is a worker
        inputs: Tensor = default_collate([each for each, _ in samples])
        if self.scaling is not None:
            mean, scale = self.scaling
            inputs = inputs.float().sub_(mean).div_(scale)
        masks = [mask for _, mask in samples if mask is not None]
        return inputs, torch.stack(masks) if self.masks else None

    def _sample(self, epoch: int | None, index: int) -> tuple[Tensor, Tensor | None]:
        reads(self.source.label(index))
        seed_sample(self.seed, epoch, index)
        inputs, mask = self.source.read(index)
        if self.augment is not None and epoch is not None:
            try:
                inputs, mask = self.augment(inputs, mask)
            except Exception as error:  # the user's transform may raise anything
                label = self.source.label(index)
                raise ValueError(f"augment fails on {label}: {described(error)}") from error
        expected = self.sample_shape
        if mask is not None and tuple(mask.shape) != expected[1:]:
            raise ValueError(
                f"{self.source.label(index)} has a mask of shape {tuple(mask.shape)}, others have "
                f"{expected[1:]}"
            )
        if tuple(inputs.shape) != expected:
            after = " after augment" if self.augment is not None and epoch is not None else ""
            raise ValueError(
                f"{self.source.label(index)} has the shape {tuple(inputs.shape)}{after}, others "
                f"have {expected}: all samples must have one shape"
            )
        return inputs, mask


class StreamedBatches(Batches):
    """Batches of a split whose inputs are read when they are needed.

    They have the order of :class:`~losslab.data.batches.Batches`. The worker processes that read
    them read ahead; those of training live until :meth:`close`.

    Args:
        split: the samples.
        batch_size: samples per global batch.
        device: device to which each batch is moved.
        convert: what is done with each batch, such as another precision.
        options: options of :class:`~losslab.data.batches.Batches`.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        convert: Callable[[Batch], Batch] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(split, batch_size, **options)
        self._inputs: StreamedInputs = split.inputs
        self._device = torch.device("cpu" if device is None else device)
        self._convert = convert
        self._workers = Workers(Readers([self]), self._inputs.workers, keep=self.shuffle)

    @property
    def device(self) -> torch.device:
        """Device of the batches."""
        return self._device

    def first(self) -> Batch:
        """Return the first batch, read by this process."""
        positions = self.positions_by_batch()[0]
        return self.finished(positions, self.read(self.request(positions)))

    def iterate(self, first: int = 0) -> Iterator[Batch]:
        """Iterate over an epoch from a batch on."""
        for (batch,) in read_together([self], self._workers, first):
            yield batch

    @property
    def number_of_workers(self) -> int:
        """Number of the worker processes."""
        return self._inputs.workers

    def close(self) -> None:
        """End the worker processes."""
        self._workers.close()

    def request(self, positions: Tensor) -> Request:
        """Return the request of a batch of samples at these positions of the split."""
        return self._inputs.request(positions, self.epoch if self.shuffle else None)

    def read(self, request: Request) -> tuple[Tensor, Tensor | None]:
        """Read what a request asks for."""
        return self._inputs.read(request)

    def finished(self, positions: Tensor, read: tuple[Tensor, Tensor | None]) -> Batch:
        """Return a batch of what was read, with the targets and weights that are in memory."""
        inputs, masks = read
        _, *columns = self.split.tensors()
        kept = [column.index_select(0, positions) for column in columns]
        batch: Batch = (inputs, *kept) if masks is None else (inputs, masks, *kept[1:])
        if self._convert is not None:
            batch = self._convert(batch)
        return tuple(column.to(self._device, non_blocking=True) for column in batch)


class Readers:
    """Function that reads what is asked of one of several splits, for :class:`Workers`."""

    def __init__(self, splits: Sequence[StreamedBatches]) -> None:
        self._inputs = [batches._inputs for batches in splits]

    def __call__(self, request: tuple[int, Request]) -> tuple[Tensor, Tensor | None]:
        """Read what is asked of the split with a number."""
        number, asked = request
        return self._inputs[number].read(asked)


def read_together(
    splits: Sequence[StreamedBatches], workers: Workers, first: int = 0
) -> Iterator[tuple[Batch, ...]]:
    """Iterate over the batches of several splits at once, read by the same workers.

    Args:
        splits: batches of each split.
        workers: workers that call :class:`Readers` of these.
        first: batch to begin with.
    """
    steps = list(zip(*(batches.positions_by_batch(first) for batches in splits), strict=True))
    requests = (
        (number, batches.request(positions))
        for step in steps
        for number, (batches, positions) in enumerate(zip(splits, step, strict=True))
    )
    results = workers.map(requests)
    for step in steps:
        yield tuple(
            batches.finished(positions, next(results))
            for batches, positions in zip(splits, step, strict=True)
        )


def is_streamed(split: Split) -> bool:
    """Return whether the inputs of a split are read when they are needed."""
    return isinstance(split.inputs, StreamedInputs)


def are_in_memory(split: Split) -> bool:
    """Return whether the inputs of a split are in memory, although they may be augmented."""
    return not is_streamed(split) or isinstance(split.inputs.source, TensorSource)


def whole_inputs(split: Split) -> Tensor:
    """Return the inputs of a split as one tensor, without augmentation.

    Raises:
        ValueError: if they are not in memory.
    """
    inputs: Any = split.inputs
    if not are_in_memory(split):
        raise ValueError("all inputs of a split are needed at once: add data.in_memory=true")
    if not is_streamed(split):
        return cast(Tensor, inputs)
    chosen: Tensor = inputs.source.inputs[inputs.index]
    if inputs.scaling is None:
        return chosen
    mean, scale = inputs.scaling
    scaled: Tensor = (chosen - mean) / scale
    return scaled


def value_range(split: Split) -> tuple[float, float]:
    """Return the smallest and the largest input value of a split, without augmentation.

    Raises:
        ValueError: if its inputs are neither in memory nor were decoded.
    """
    if are_in_memory(split):
        inputs = whole_inputs(split)
        return float(inputs.min()), float(inputs.max())
    found: tuple[float, float] = split.inputs.range()
    return found


def batches_at(split: Split, positions: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over inputs, without augmentation, and targets at the given positions of a split."""
    read: Iterator[Tensor]
    if are_in_memory(split):
        whole = whole_inputs(split)
        read = (whole[chosen] for chosen in positions)
    else:
        inputs: StreamedInputs = split.inputs
        requests = (inputs.request(chosen, epoch=None) for chosen in positions)
        read = (each for each, _ in Workers(inputs.read, inputs.workers).map(requests))
    for chosen, samples in zip(positions, read, strict=True):
        yield samples, split.targets[chosen]


def batches_of(split: Split, batch_size: int, **options: Any) -> Batches:
    """Return the batches of a split, in memory or streamed; see :class:`StreamedBatches`."""
    convert = options.pop("convert", None)
    if convert is not None:  # once: Lightning's loops convert each batch, but other readers do not
        split = convert(split)
    if is_streamed(split):
        return StreamedBatches(split, batch_size, convert=convert, **options)
    return Batches(split, batch_size, **options)
