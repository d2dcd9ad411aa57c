"""What one pass over all samples finds: their identity, moments and targets.

A run needs it before it begins: the split is stratified by targets, inputs are standardized by the
training split, and runs are paired only if their data are the same. The pass also finds samples
that cannot be read before hours of training depend on them. Means and squared deviations are kept
per sample, so that each seed adds up those of its own training split.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losslab.data.source import Source
from losslab.data.workers import Workers

CHUNK = 32
"""Samples that a worker looks at before it reports."""
FEWEST_CHUNKS = 4
"""Chunks for which it is worth while to start a worker."""
DIGEST_BYTES = 8


class Content(NamedTuple):
    """What is known of all samples of a source.

    Attributes:
        digests: hashes, uint8 ``(n, 8)``.
        means: means per channel, column, or overall, float64 ``(n, S)``; ``None`` if unknown.
        spreads: sums of squared deviations from them, ``(n, S)``.
        numbers: how many numbers a mean is over.
        found: what else the source wanted to know of each sample.
        inputs: all inputs, if they were asked for.
    """

    digests: Tensor
    means: Tensor | None
    spreads: Tensor | None
    numbers: int
    found: list[Any]
    inputs: Tensor | None = None

    def moments(self, index: Tensor, dims: int) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of some samples, with 1 for that of a constant.

        Args:
            index: the samples.
            dims: number of dimensions of an input, to which the results are broadcast.
        """
        assert self.means is not None
        assert self.spreads is not None
        means = self.means.index_select(0, index)
        mean = means.mean(0)
        # the deviations within samples, and between them
        between = self.numbers * (means - mean).square().sum(0)
        total = self.spreads.index_select(0, index).sum(0) + between
        scale = (total / (self.numbers * len(index))).sqrt()
        shape = (1, *([1] * dims if len(mean) == 1 else [-1, *[1] * (dims - 1)]))
        scale = torch.where(scale > 0, scale, 1)
        return mean.float().reshape(shape), scale.float().reshape(shape)


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


def scan(source: Source, *, workers: int, moments: bool, keep: bool = False) -> Content:
    """Look at all samples of a source once; again only if this process has not done so.

    Args:
        source: the samples.
        workers: number of worker processes.
        moments: whether to compute means and deviations of the inputs.
        keep: whether to return the inputs.

    Raises:
        ValueError: if a sample cannot be read, or has numbers that are not finite.
    """
    key = (type(source), source.key(), moments, keep)
    if key not in _KNOWN:
        _KNOWN[key] = scan_again(source, workers=workers, moments=moments, keep=keep)
        while len(_KNOWN) > MOST_KNOWN:
            _KNOWN.popitem(last=False)
    return _KNOWN[key]


_KNOWN: OrderedDict[Hashable, Content] = OrderedDict()
"""The last scans of this process: seeds and losses share the samples of a source."""
MOST_KNOWN = 3


def scan_again(source: Source, *, workers: int, moments: bool, keep: bool) -> Content:
    """Look at all samples of a source, whether this process has done so or not; see `scan`."""
    chunks = np.array_split(np.arange(len(source)), -(-len(source) // CHUNK))
    workers = min(workers, len(chunks) // FEWEST_CHUNKS)
    parts = Workers(_Look(source, moments=moments, keep=keep), workers).map(chunks)
    columns: Any = zip(*parts, strict=True)
    digests, means, spreads, numbers, found, inputs = columns
    return Content(
        torch.from_numpy(np.concatenate(digests)),
        torch.from_numpy(np.concatenate(means)) if moments else None,
        torch.from_numpy(np.concatenate(spreads)) if moments else None,
        numbers[0],
        [each for part in found for each in part],
        torch.cat(inputs) if keep else None,
    )


class _Look:
    """Function that looks at samples in a worker process."""

    def __init__(self, source: Source, *, moments: bool, keep: bool) -> None:
        self._source, self._moments, self._keep = source, moments, keep

    def __call__(self, indices: NDArray[np.int64]) -> tuple[Any, ...]:
        decode = self._moments or self._keep
        samples = [self._source.look(index, decode=decode) for index in indices.tolist()]
        digests = np.frombuffer(b"".join(each.digest for each in samples), dtype=np.uint8)
        inputs = [each.inputs for each in samples if each.inputs is not None]
        for index, each in zip(indices.tolist(), inputs, strict=False):
            label = self._source.label(index)
            if tuple(each.shape) != self._source.shape():
                raise ValueError(
                    f"{label} has the shape {tuple(each.shape)}, others have "
                    f"{self._source.shape()}: all samples must have one shape"
                )
            if not bool(each.isfinite().all()):
                raise ValueError(f"{label} must hold finite numbers, got NaN or infinite ones")
        means, spreads, numbers = [], [], 1
        for each in inputs if self._moments else ():
            mean, spread, numbers = _moments(each)
            means.append(mean)
            spreads.append(spread)
        return (
            digests.reshape(-1, DIGEST_BYTES).copy(),
            np.array(means),
            np.array(spreads),
            numbers,
            [each.found for each in samples],
            torch.stack(inputs) if self._keep else None,
        )


def _moments(inputs: Tensor) -> tuple[NDArray[Any], NDArray[Any], int]:
    """Return means, sums of squared deviations, and how many numbers they are over.

    They are per channel of ``(C, H, W)``, per column of ``(F,)``, or else overall.
    """
    rows = inputs.reshape(len(inputs) if inputs.ndim in (1, 3) else 1, -1)
    variance, mean = torch.var_mean(rows.double(), dim=1, correction=0)
    return mean.numpy(), (variance * rows.shape[1]).numpy(), rows.shape[1]
