"""Tables of OpenML, by their number, which scikit-learn downloads once."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Unpack

import pandas as pd
from sklearn.datasets import fetch_openml

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.columns import Categories, require_whole
from losslab.data.files import Changes
from losslab.data.frames import Impute, Roles, names_of
from losslab.data.raw import StandardizeTargets


class OpenML(InMemoryData):
    """A table of https://www.openml.org.

    Args:
        id: number of the data set, as in its address.
        target: target column, or a list of columns; by default the one that OpenML names.
        drop: columns to ignore; those that OpenML marks as identifiers are ignored anyway.
        impute: ``"median"``, or ``"refuse"`` to raise an error for missing values, see
            :class:`~losslab.data.table.Table`.
        categories: ``"one_hot"`` or ``"ordinal"`` numbers for text.
        data_dir: folder in whose folder ``openml`` the files are kept.
        target_kind: ``"classes"``, ``"values"``, ``"multilabel"``, or ``"auto"``, see
            :func:`~losslab.data.targets.read_targets`.
        standardize: whether to standardize numeric columns with the training split's means and
            standard deviations.
        standardize_targets: whether to train on standardized values, too; metrics stay in the unit
            of the target.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        FileNotFoundError: in ``prepare_data``, if the files are missing and cannot be downloaded.
        ValueError: if an option is out of range or, in ``setup``, if the table is not as described.

    Source:
        Vanschoren et al., "OpenML: networked science in machine learning", 2013.
    """

    def __init__(
        self,
        id: int,
        target: str | Sequence[str] | None = None,
        *,
        drop: Sequence[str] = (),
        impute: Impute = "median",
        categories: Categories = "one_hot",
        data_dir: str = "data",
        target_kind: str = "auto",
        standardize: bool = True,
        standardize_targets: StandardizeTargets = True,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("id", id, 1)
        self.id = id
        self.data_dir = Path(data_dir).expanduser()
        self.target = names_of(target)
        self.roles = Roles(
            self.target or ("the default",),
            drop=names_of(drop),
            impute=impute,
            categories=categories,
            target_kind=target_kind,
            standardize=standardize,
            standardize_targets=standardize_targets,
        )

    def prepare_data(self) -> None:
        """Download the table if it is missing."""
        self._table()

    def load(self) -> Raw:
        """Return the samples."""
        table, default = self._table()
        roles = replace(self.roles, target=self.target or default)
        for name in roles.named():
            if name not in table:
                raise ValueError(
                    f"data set {self.id} of OpenML must have the column {name!r}, got "
                    f"{', '.join(table.columns)}"
                )
        used = table.drop(columns=[name for name in roles.drop if name not in roles.target])
        whose = f"data set {self.id} of OpenML"
        require_whole(whose, used, roles.gaps(list(table.columns)), lambda row: f"row {row + 1}")
        return roles.raw(used, Changes())

    def _table(self) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Return the table and the names of its targets.

        Raises:
            FileNotFoundError: if it is neither here nor can be downloaded.
        """
        try:
            return _fetched(self.id, str(self.data_dir.resolve()))
        except OSError as error:
            raise FileNotFoundError(
                f"data set {self.id} of OpenML is not in {self.data_dir.absolute() / 'openml'}, "
                "and it could not be downloaded from openml.org: set paths.data_dir to the folder "
                "that contains openml, or use data=iris, which needs no files"
            ) from error


@lru_cache(maxsize=1)  # read once per process, for all jobs of a sweep
def _fetched(number: int, data_dir: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    with warnings.catch_warnings(action="ignore"):  # of a second try
        bunch = fetch_openml(data_id=number, data_home=data_dir, as_frame=True, n_retries=1)
    return bunch.frame, tuple(bunch.target_names)
