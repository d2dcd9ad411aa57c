"""One pass over all samples, which finds what a run has to know of them before it begins.

The split is stratified by targets, inputs are standardized by the training split, and runs are
paired only if their data are the same. The pass also finds samples that cannot be read before hours
of training depend on them. What it finds in files is kept for later commands.
"""

import logging
from collections import OrderedDict
from collections.abc import Hashable

import numpy as np
import torch
from numpy.typing import NDArray

from losslab.data import content_cache
from losslab.data.content import DIGEST_BYTES, Content, Statistics
from losslab.data.files import Changes
from losslab.data.source import Source
from losslab.data.workers import Workers, reads

log = logging.getLogger(__name__)

CHUNK = 32
"""Samples that a worker looks at before it reports."""
FEWEST_CHUNKS = 4
"""Chunks for which it is worth while to start a worker."""


def scan(source: Source, *, workers: int, moments: bool, keep: bool = False) -> Content:
    """Look at all samples of a source once; again only if this process has not done so.

    Args:
        source: the samples.
        workers: number of worker processes.
        moments: whether to compute statistics of the inputs.
        keep: whether to return the inputs.

    Raises:
        ValueError: if a sample cannot be read, or has numbers that are not finite.
    """
    state = source.key()
    key = (state, moments, keep)
    if key not in _KNOWN:
        if source.of_files and not keep:
            _KNOWN[key] = _once(source, state, workers=workers, moments=moments)
        else:
            _KNOWN[key] = scan_again(source, workers=workers, moments=moments, keep=keep)
        while len(_KNOWN) > MOST_KNOWN:
            _KNOWN.popitem(last=False)
    return _KNOWN[key]


_KNOWN: OrderedDict[Hashable, Content] = OrderedDict()
"""The last scans of this process: seeds and losses share the samples of a source."""
MOST_KNOWN = 3


def _once(source: Source, key: Hashable, *, workers: int, moments: bool) -> Content:
    """Return what an earlier command found in files with this key, or look at them."""
    name = content_cache.name_of(key, moments=moments)
    known = content_cache.load(name)
    if known is not None and len(known.digests) == len(source):
        return known
    log.info(f"Reading {len(source):,} samples once, for their moments and hashes")
    content = scan_again(source, workers=workers, moments=moments, keep=False)
    if source.key() == key:  # no file has changed meanwhile
        content_cache.save(name, content)
    return content


def scan_again(source: Source, *, workers: int, moments: bool, keep: bool) -> Content:
    """Look at all samples of a source, whether this process has done so or not; see `scan`."""
    chunks = np.array_split(np.arange(len(source)), -(-len(source) // CHUNK))
    workers = min(workers, len(chunks) // FEWEST_CHUNKS)
    look = _Look(source, moments=moments, keep=keep)
    return Content.joined(list(Workers(look, workers).map(chunks)))


class _Look:
    """Function that looks at samples in a worker process."""

    def __init__(self, source: Source, *, moments: bool, keep: bool) -> None:
        self._source, self._moments, self._keep = source, moments, keep

    def __call__(self, indices: NDArray[np.int64]) -> Content:
        changes, samples, inputs = Changes(), [], []
        for index in indices.tolist():
            label = self._source.label(index)
            reads(label)
            sample = self._source.look(index, changes, decode=self._moments or self._keep)
            if sample.inputs is not None:
                self._require_valid(sample.inputs, label)
                inputs.append(sample.inputs)
            samples.append(sample)
        digests = np.frombuffer(b"".join(each.digest for each in samples), dtype=np.uint8)
        return Content(
            digests.reshape(-1, DIGEST_BYTES),
            Statistics.joined([*map(Statistics.of, inputs)]) if self._moments else None,
            [each.found for each in samples],
            changes,
            torch.stack(inputs) if self._keep else None,
        )

    def _require_valid(self, inputs: torch.Tensor, label: str) -> None:
        if tuple(inputs.shape) != self._source.shape():
            raise ValueError(
                f"{label} has the shape {tuple(inputs.shape)}, others have "
                f"{self._source.shape()}: all samples must have one shape"
            )
        if not bool(inputs.isfinite().all()):
            raise ValueError(f"{label} must hold finite numbers, got NaN or infinite ones")
