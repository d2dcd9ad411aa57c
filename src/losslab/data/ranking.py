"""Queries with graded documents: synthetic or read from LETOR files."""

from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.files import Changes
from losslab.data.letor import Documents, read_letor
from losslab.rng import Purpose, generator

GRADES = 5


class Ranking(InMemoryData):
    r"""Queries whose documents have grades 0 to 4 by a non-linear score of their features.

    .. math:: s = w^\top x + \tfrac12 \sin(2 v^\top x), \quad x \sim N(0, I)

    Documents are graded by the quintiles of s over all documents. Only training grades are noisy.

    Args:
        queries: number of queries.
        documents: documents per query.
        features: features per document.
        noise: standard deviation of the noise on s for training grades, relative to that of s.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Inputs are ``(n, documents, features)``, targets grades ``(n, documents)``.

    Raises:
        ValueError: if an option is out of range.

    Example:
        >>> data = Ranking(queries=100)
        >>> data.setup()
        >>> data.input_shape, tuple(data.train.targets.shape)
        ((20, 16), (60, 20))
    """

    fresh_per_seed = True

    def __init__(
        self,
        *,
        queries: int = 1000,
        documents: int = 20,
        features: int = 16,
        noise: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("queries", queries, 10)
        checks.require_whole("documents", documents, 2)
        checks.require_whole("features", features, 1)
        checks.require_number("noise", noise, 0)
        self.queries, self.documents, self.features = queries, documents, features
        self.noise = noise

    def load(self) -> Raw:
        """Generate documents and grades; the first queries are training."""
        stream = generator(self.data_seed, Purpose.QUERIES)
        inputs = torch.randn(self.queries, self.documents, self.features, generator=stream)
        weights = torch.randn(2, self.features, generator=stream) / self.features**0.5
        scores = inputs @ weights[0] + torch.sin(2 * inputs @ weights[1]) / 2
        grades = _graded(scores)
        noise = torch.randn(scores.shape, generator=generator(self.data_seed, Purpose.GRADE_NOISE))
        noisy = _graded(scores + self.noise * scores.std() * noise)
        counts = [round(self.queries * share) for share in (self.val_fraction, self.test_fraction)]
        fixed = torch.zeros(self.queries, dtype=torch.int64)
        fixed[-sum(counts) :] = 1
        fixed[-counts[1] :] = 2
        targets = torch.where((fixed == 0).unsqueeze(1), noisy, grades)
        return Raw(inputs, targets, target_kind="relevance", fixed=fixed, outputs=1)


class Letor(InMemoryData):
    """Queries of a LETOR or SVMLight file with lines ``grade qid:1 1:0.3 2:0.5 ...``.

    Grades are numbers >= 0, whole or not. Queries are padded to equal length with documents that
    losses and metrics ignore; targets then say which they are, ``(n, documents, 2)``, see
    :class:`~losslab.data.kinds.Relevance`.

    Args:
        path: path of the file, which may be compressed (``.gz``, ``.bz2``, ``.xz``).
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if a line does not have this format.
    """

    def __init__(self, *, path: str, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.path = path

    def prepare_data(self) -> None:
        """Raise ``FileNotFoundError`` if the file does not exist."""
        checks.require_file(self.path, "a LETOR file")

    def load(self) -> Raw:
        """Read and pad the queries, with features standardized over all documents."""
        documents = read_letor(checks.require_file(self.path, "a LETOR file"))
        features = documents.features
        features = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-8)
        changes = Changes()
        inputs, targets = _padded(documents._replace(features=features), changes)
        notes = ("features standardized over all documents", *changes.notes())
        return Raw(inputs, targets, target_kind="relevance", outputs=1, notes=notes)


def _padded(documents: Documents, changes: Changes) -> tuple[Tensor, Tensor]:
    """Return features ``(n, documents, F)`` and targets of each query, see :class:`Letor`."""
    features, grades, query = documents
    names, places = np.unique(query, return_inverse=True)
    counts = np.bincount(places)
    longest = int(counts.max())
    whole = np.array_equal(grades, np.round(grades))
    inputs = torch.zeros(len(names), longest, features.shape[1])
    grade_type = torch.int64 if whole else torch.float32
    targets = torch.zeros(len(names), longest, 2, dtype=grade_type)
    of_query = np.split(places.argsort(kind="stable"), counts.cumsum()[:-1])
    for place, (name, rows) in enumerate(zip(names, of_query, strict=True)):
        inputs[place, : len(rows)] = torch.from_numpy(features[rows])
        targets[place, : len(rows), 0] = torch.from_numpy(grades[rows])
        targets[place, : len(rows), 1] = 1
        if rows[-1] - rows[0] >= len(rows):
            changes.add("queries joined from several blocks of lines", f"qid {name}")
        if len(rows) < longest:
            changes.add(f"queries padded to {longest} documents", f"qid {name}")
        if len(np.unique(grades[rows])) == 1:
            changes.add("queries of one grade, which metrics leave out", f"qid {name}")
    return inputs, targets if counts.min() < longest else targets[..., 0].contiguous()


def _graded(scores: Tensor) -> Tensor:
    """Convert scores to grades 0 to 4 by the quintiles of all scores."""
    edges = torch.quantile(scores.flatten()[:1_000_000], torch.arange(1, GRADES) / GRADES)
    return torch.bucketize(scores, edges)
