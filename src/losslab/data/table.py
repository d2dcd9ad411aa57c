"""Your own data as a table in a .csv or .parquet file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import pandas as pd

from losslab.data import checks, frame_file, parquet_file
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.columns import Categories
from losslab.data.csv_file import CsvFile, CsvOptions
from losslab.data.files import Changes
from losslab.data.frame_file import FrameFile
from losslab.data.frames import Impute, Roles, names_of
from losslab.data.parquet_file import ParquetFile
from losslab.data.raw import StandardizeTargets

READERS: dict[str, type[FrameFile] | type[ParquetFile]] = {
    **dict.fromkeys(frame_file.SUFFIXES, FrameFile),
    **dict.fromkeys(parquet_file.SUFFIXES, ParquetFile),
}
"""Classes that read files whose columns have types, by suffix."""
_LAST: dict[tuple[object, ...], Raw] = {}
"""The table that was read last, for the check, the runs and the seeds of one command."""


class Table(InMemoryData):
    """A ``.csv`` or ``.parquet`` file with a header and one or more target columns.

    Numeric columns are features; text and boolean columns are encoded. An empty field is a missing
    value, and so is a word like ``NA`` among numbers; in a column of text it is text like any
    other, unless ``missing`` names it. A missing number is replaced by the median of the training
    split, and a further column says where; missing text is a category of its own. Targets and the
    columns of splits, groups and weights must be complete.

    Args:
        path: path of the file, which may be compressed (``.csv.gz``).
        target: target column, or a list of columns for several values or labels.
        group: column of groups; rows of one group stay in the same split.
        weight: column with the weight of each row in the loss.
        split: column with ``train``, ``val``, ``test`` or 0, 1, 2; a missing split is drawn from
            train.
        drop: columns to ignore, such as identifiers.
        text: columns to read as text, though their entries are numbers.
        missing: words that mark a missing value in every column.
        impute: ``"median"``, or ``"refuse"`` to raise an error for missing values.
        categories: ``"one_hot"`` for a column of 0 and 1 per entry of a text column, or
            ``"ordinal"`` for the number of the entry in sorted order.
        separator: between fields; ``"auto"`` finds ``,``, ``;``, tab or ``|``.
        decimal: ``"."``, ``","``, or ``"auto"``, a comma if the numbers show that it is the mark.
        thousands: mark between thousands, if there is one.
        encoding: name of the encoding; ``"auto"`` is UTF-8, or UTF-16 if the file says so.
        target_kind: ``"classes"``, ``"values"``, ``"multilabel"``, or ``"auto"``, see
            :func:`~losslab.data.targets.read_targets`.
        standardize: whether to standardize numeric columns with the training split's means and
            standard deviations.
        standardize_targets: whether to train on standardized values, too; metrics stay in the unit
            of the target.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range or, in ``setup``, if the file is invalid.
        FileNotFoundError: in ``prepare_data``, if the file does not exist.
    """

    def __init__(
        self,
        path: str,
        target: str | Sequence[str],
        *,
        group: str | None = None,
        weight: str | None = None,
        split: str | None = None,
        drop: Sequence[str] = (),
        text: Sequence[str] = (),
        missing: Sequence[str] = (),
        impute: Impute = "median",
        categories: Categories = "one_hot",
        separator: str = "auto",
        decimal: str = "auto",
        thousands: str | None = None,
        encoding: str = "auto",
        target_kind: str = "auto",
        standardize: bool = True,
        standardize_targets: StandardizeTargets = True,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        self.path = path
        self.reading = CsvOptions(
            separator, decimal, thousands, encoding, names_of(missing), names_of(text)
        ).check()
        self.roles = Roles(
            names_of(target),
            group,
            weight,
            split,
            names_of(drop),
            impute,
            categories,
            target_kind,
            standardize,
            standardize_targets,
        )

    def prepare_data(self) -> None:
        """Raise ``FileNotFoundError`` if the file does not exist."""
        checks.require_file(self.path, "a .csv or .parquet file")

    def load(self) -> Raw:
        """Read features, targets and the columns of splits, groups and weights."""
        file = checks.require_file(self.path, "a .csv or .parquet file")
        state = file.stat()
        options = repr((self.roles, self.reading))
        key = (file.resolve(), state.st_mtime_ns, state.st_size, options)
        if key not in _LAST:
            _LAST.clear()  # before the next one takes memory
            changes = Changes()
            _LAST[key] = self.roles.raw(self._read(file, changes), changes)
        return _LAST[key]

    def _read(self, file: Path, changes: Changes) -> pd.DataFrame:
        """Read the table and check that the named columns exist."""
        kind = READERS.get(file.suffix.lower(), CsvFile)
        opened = kind(file, self.reading, changes)
        for name in (*self.roles.named(), *self.reading.text):
            if name not in opened.header and not name.startswith("Unnamed: "):
                raise ValueError(
                    f"{file} must have the column {name!r}, got {', '.join(opened.header)}"
                )
        return opened.frame(
            drop=[name for name in self.roles.drop if name not in self.roles.target],
            gaps=self.roles.gaps(opened.header),
        )
