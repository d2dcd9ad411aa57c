"""Queries with graded documents: synthetic or read from LETOR files."""

from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from sklearn.datasets import load_svmlight_file
from torch import Tensor

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
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

    Queries are padded to equal length with documents of grade -1, which losses and metrics ignore.

    Args:
        path: path of the file.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file does not have this format.
    """

    def __init__(self, *, path: str, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.path = Path(path)

    def load(self) -> Raw:
        """Read and pad the queries, with features standardized over all documents."""
        if not self.path.is_file():
            raise FileNotFoundError(f"path must be a LETOR file, found none at {self.path}")
        try:
            features, grades, query = load_svmlight_file(str(self.path), query_id=True)
        except ValueError as error:
            raise ValueError(
                f"{self.path} must be an SVMLight file with qid, got: {error}"
            ) from error
        dense = np.asarray(features.todense(), dtype=np.float32)
        dense = (dense - dense.mean(axis=0)) / np.maximum(dense.std(axis=0), 1e-8)
        names, places = np.unique(query, return_inverse=True)
        longest = int(np.bincount(places).max())
        inputs = torch.zeros(len(names), longest, dense.shape[1])
        targets = torch.full((len(names), longest), -1, dtype=torch.int64)
        for place in range(len(names)):
            rows = np.flatnonzero(places == place)
            inputs[place, : len(rows)] = torch.from_numpy(dense[rows])
            targets[place, : len(rows)] = torch.from_numpy(grades[rows].astype(np.int64))
        return Raw(inputs, targets, target_kind="relevance", outputs=1)


def _graded(scores: Tensor) -> Tensor:
    """Convert scores to grades 0 to 4 by the quintiles of all scores."""
    edges = torch.quantile(scores.flatten()[:1_000_000], torch.arange(1, GRADES) / GRADES)
    return torch.bucketize(scores, edges)
