"""What is known of all samples of a source: their identity, moments and targets.

Moments are kept per sample, so that each seed adds up those of its own training split.
"""

import hashlib
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losslab.data.files import Changes

DIGEST_BYTES = 8


class Statistics(NamedTuple):
    """Statistics of each sample per channel, per column, or overall, ``(n, S)``.

    Attributes:
        means: means, float64.
        spreads: sums of squared deviations from them, float64.
        lows: smallest values.
        highs: largest values.
        numbers: how many numbers a mean is over.
    """

    means: NDArray[np.float64]
    spreads: NDArray[np.float64]
    lows: NDArray[np.float32]
    highs: NDArray[np.float32]
    numbers: int

    @classmethod
    def of(cls, inputs: Tensor) -> "Statistics":
        """Compute those of one sample: per channel of ``(C, H, W)``, or column of ``(F,)``."""
        rows = inputs.reshape(len(inputs) if inputs.ndim in (1, 3) else 1, -1)
        variance, mean = torch.var_mean(rows.double(), dim=1, correction=0)
        low, high = rows.aminmax(dim=1)
        found = (mean, variance * rows.shape[1], low, high)
        means, spreads, lows, highs = (each.numpy()[None] for each in found)
        return cls(means, spreads, lows, highs, rows.shape[1])

    @classmethod
    def joined(cls, parts: Sequence["Statistics"]) -> "Statistics":
        """Join those of several samples."""
        columns = zip(*parts, strict=True)
        means, spreads, lows, highs = map(np.concatenate, itertools.islice(columns, 4))
        return cls(means, spreads, lows, highs, parts[0].numbers)

    def moments(self, index: Tensor, dims: int) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of some samples, with 1 for that of a constant.

        Args:
            index: the samples.
            dims: number of dimensions of an input, to which the results are broadcast.
        """
        means = torch.from_numpy(self.means).index_select(0, index)
        mean = means.mean(0)
        # the deviations within samples, and between them
        between = self.numbers * (means - mean).square().sum(0)
        total = torch.from_numpy(self.spreads).index_select(0, index).sum(0) + between
        scale = (total / (self.numbers * len(index))).sqrt()
        scale = torch.where(scale > 0, scale, 1)
        return _broadcast(mean.float(), dims), _broadcast(scale.float(), dims)

    def range(self, index: Tensor, dims: int) -> tuple[Tensor, Tensor]:
        """Return the smallest and largest values of some samples; see :meth:`moments`."""
        chosen = index.numpy()
        low, high = self.lows[chosen].min(axis=0), self.highs[chosen].max(axis=0)
        return _broadcast(torch.from_numpy(low), dims), _broadcast(torch.from_numpy(high), dims)


def _broadcast(values: Tensor, dims: int) -> Tensor:
    """Return values per channel or column with the dimensions of a batch of inputs."""
    return values.reshape(1, *([1] * dims if len(values) == 1 else [-1, *[1] * (dims - 1)]))


class Content(NamedTuple):
    """What is known of all samples of a source.

    Attributes:
        digests: hashes, uint8 ``(n, 8)``.
        statistics: statistics of the inputs; ``None`` if they were not decoded for them.
        found: what else the source wanted to know of each sample.
        changes: what reading them changed.
        inputs: all inputs, if they were asked for.
    """

    digests: NDArray[np.uint8]
    statistics: Statistics | None
    found: list[Any]
    changes: Changes
    inputs: Tensor | None = None

    @classmethod
    def joined(cls, parts: Sequence["Content"]) -> "Content":
        """Join what is known of several parts of the samples."""
        changes = Changes()
        for part in parts:
            changes.merge(part.changes)
        statistics = [part.statistics for part in parts if part.statistics is not None]
        inputs = [part.inputs for part in parts if part.inputs is not None]
        return cls(
            np.concatenate([part.digests for part in parts]),
            Statistics.joined(statistics) if statistics else None,
            [each for part in parts for each in part.found],
            changes,
            torch.cat(inputs) if inputs else None,
        )


def digest(*parts: bytes | NDArray[Any]) -> bytes:
    """Hash bytes and arrays."""
    found = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        if isinstance(part, bytes):
            found.update(part)
            continue
        array = np.char.encode(part, "utf-8") if part.dtype.kind == "U" else part
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.digest()
