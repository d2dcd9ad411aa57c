"""Tables of scikit-learn: four that it includes, and one that it downloads."""

import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from sklearn import datasets

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.downloads import Downloaded
from losslab.data.raw import StandardizeTargets

INCLUDED: dict[str, Callable[[], Any]] = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
    "diabetes": lambda: datasets.load_diabetes(scaled=False),
}
"""Functions that load the tables that need no download, by name."""
ARCHIVE = "cal_housing_py3.pkz"
"""File in which scikit-learn keeps the California housing data."""


class SklearnSet(InMemoryData):
    """A table that scikit-learn includes.

    Args:
        name: ``"iris"``, ``"wine"`` or ``"breast_cancer"``, of classes, or ``"diabetes"``, of
            values.
        standardize: whether to standardize the inputs with the training split's means and standard
            deviations.
        standardize_targets: whether to train on standardized values, too; metrics stay in the unit
            of the target.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if there is no such table.

    Example:
        >>> data = SklearnSet("iris")
        >>> data.setup()
        >>> data.input_shape, data.class_names
        ((4,), ['setosa', 'versicolor', 'virginica'])
    """

    def __init__(
        self,
        name: str,
        *,
        standardize: bool = True,
        standardize_targets: StandardizeTargets = True,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_choice("name", name, tuple(INCLUDED))
        self.table = name
        self.standardize = standardize
        self.standardize_targets = standardize_targets

    def load(self) -> Raw:
        """Return the numbers of the table, and its classes or values."""
        bunch = INCLUDED[self.table]()
        names = getattr(bunch, "target_names", None)
        return Raw(
            torch.from_numpy(bunch.data).float(),
            torch.from_numpy(bunch.target.astype(np.float32 if names is None else np.int64)),
            class_names=None if names is None else [str(name) for name in names],
            standardize=self.standardize,
            standardize_targets=self.standardize_targets,
        )


class CaliforniaHousing(Downloaded):
    """Median values of houses in 20,640 districts of California, in 100,000 dollars.

    Its file is in ``data_dir`` itself. It has no test split of its own.

    Args:
        standardize: whether to standardize the inputs with the training split's means and standard
            deviations.
        standardize_targets: whether to train on standardized values, too; metrics stay in the unit
            of the target.
        options: options of :class:`~losslab.data.downloads.Downloaded`.

    Source:
        Pace and Barry, "Sparse Spatial Autoregressions", 1997.
    """

    own_test = False
    full_name = "California housing"
    place = "."
    files = (ARCHIVE,)
    without_files = "data=diabetes"

    def __init__(
        self,
        *,
        data_dir: str = "data",
        download: bool = True,
        standardize: bool = True,
        standardize_targets: StandardizeTargets = True,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(data_dir=data_dir, download=download, **options)
        self.standardize = standardize
        self.standardize_targets = standardize_targets

    def fetch(self, data_dir: str) -> None:
        """Download the file."""
        with warnings.catch_warnings(action="ignore"):  # of the second try
            datasets.fetch_california_housing(data_home=data_dir, n_retries=1)

    def load(self) -> Raw:
        """Return eight numbers per district, and the median value of a house."""
        inputs, values = _california(self.require_files())
        return Raw(
            inputs,
            values,
            standardize=self.standardize,
            standardize_targets=self.standardize_targets,
        )


@lru_cache(maxsize=1)  # read once per process, for all jobs of a sweep
def _california(folder: str) -> tuple[torch.Tensor, torch.Tensor]:
    try:
        bunch = datasets.fetch_california_housing(data_home=folder, download_if_missing=False)
    except Exception as error:  # what unpickling a damaged file raises
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{Path(folder) / ARCHIVE} must be scikit-learn's file, got an invalid one "
            f"({reason:.100}): remove it to download it again"
        ) from error
    return torch.from_numpy(bunch.data).float(), torch.from_numpy(bunch.target).float()
