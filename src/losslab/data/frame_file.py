"""A DataFrame in a file of plain arrays, in which columns keep their types and all digits."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losslab.data import checks
from losslab.data.columns import require_whole, without_marks
from losslab.data.csv_file import CsvOptions
from losslab.data.files import Changes

SUFFIXES = (".npz", ".npy")
COLUMNS = "columns"
"""Array with the names of the columns and the entries of those of text, as JSON."""
WHOSE = "the DataFrame"
NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")


def plain_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a DataFrame whose columns are numbers, booleans or text, with NaN for gaps.

    Row labels are left out, and other columns, such as dates, become text.

    Raises:
        ValueError: if two columns have one name.
    """
    names = [str(name) for name in frame.columns]
    checks.require_distinct_names(WHOSE, names)
    return pd.DataFrame({name: _plain(frame.iloc[:, i]) for i, name in enumerate(names)})


def _plain(column: "pd.Series[Any]") -> NDArray[Any]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return column.to_numpy()
    kind = pd.api.types.infer_dtype(column, skipna=True)
    missing = column.isna().to_numpy()
    if kind == "integer" and not missing.any():
        return np.asarray(pd.to_numeric(column))
    if kind in NUMBERS or missing.all():
        return column.to_numpy(dtype=float, na_value=np.nan)
    if kind == "boolean" and not missing.any():
        return column.to_numpy(dtype=bool)
    entries = zip(column, missing, strict=True)
    return np.array([np.nan if gap else str(entry) for entry, gap in entries], dtype=object)


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write a DataFrame of plain columns, see :func:`plain_frame`."""
    arrays: dict[str, NDArray[Any]] = {}
    columns: list[tuple[str, list[str] | None]] = []
    for place, (name, column) in enumerate(frame.items()):
        values, entries = column.to_numpy(), None
        if not pd.api.types.is_numeric_dtype(column):
            values, known = pd.factorize(column)
            entries = list(known)
        arrays[str(place)] = values
        columns.append((str(name), entries))
    arrays[COLUMNS] = np.frombuffer(json.dumps(columns).encode(), np.uint8)
    np.savez(path, **arrays)  # type: ignore[arg-type]


class FrameFile:
    """A file of :func:`write_frame`, read like a :class:`~losslab.data.csv_file.CsvFile`.

    Args:
        file: path of the file.
        options: only ``missing`` and ``text`` apply.
        changes: not used, since nothing is left out.

    Raises:
        ValueError: if the file is another one, or an option is for text.
    """

    def __init__(self, file: Path, options: CsvOptions, changes: Changes) -> None:
        options.require_none_for_text(file)
        self.options = options
        try:
            with np.load(file, allow_pickle=False) as archive:
                self._arrays = dict(archive)
            self._columns: dict[str, list[str] | None] = dict(
                json.loads(self._arrays.pop(COLUMNS).tobytes())
            )
        except (ValueError, OSError, EOFError, KeyError, TypeError, BadZipFile) as error:
            raise ValueError(
                f"{file} holds arrays, but data=table reads .csv and .parquet files: use "
                f"data=arrays data.path={file}, without data.target"
            ) from error
        self.header = list(self._columns)

    def frame(self, drop: Sequence[str] = (), gaps: Sequence[str] = ()) -> pd.DataFrame:
        """Return the table.

        Args:
            drop: columns that are not read.
            gaps: columns that may have missing values, which are NaN.

        Raises:
            ValueError: if there are other gaps, infinite numbers, or words among numbers.
        """
        columns = {
            name: self._column(name, values)
            for name, values in zip(self._columns, self._arrays.values(), strict=True)
            if name not in drop
        }
        table = without_marks(pd.DataFrame(columns), self.options.missing)
        require_whole(WHOSE, table, gaps, lambda row: f"row {row}")
        for name in table.select_dtypes(exclude=["number", "bool"]):
            if name not in self.options.text:
                _require_text(table[name].dropna())
        return table

    def _column(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        entries = self._columns[name]
        if entries is not None:
            values = np.array([*entries, np.nan], dtype=object)[values]
        elif name in self.options.text:
            values = values.astype(str).astype(object)
        return values


def _require_text(column: "pd.Series[str]") -> None:
    """Refuse numbers as text among which there are a few words, as for gaps."""
    number = pd.to_numeric(column, errors="coerce").notna()
    if 0.5 < number.mean() < 1:
        name, row = column.name, int(column.index[~number][0])
        raise ValueError(
            f"{WHOSE} must have numbers or text in column {name!r}, got numbers as text, and "
            f"{column[row]!r} in row {row}: convert it by pandas.to_numeric, or add "
            f"data.text=[{name}] to read the column as text"
        )
