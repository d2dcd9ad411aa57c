"""A .parquet file as a table of numbers and text, whose types the file says itself."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from losslab.config.extras import is_installed, not_installed
from losslab.data import checks
from losslab.data.columns import require_whole, without_marks
from losslab.data.csv_file import CsvOptions
from losslab.data.files import Changes

SUFFIXES = (".parquet", ".pq")
INDEX = "__index_level_"
"""Start of the name of a column that holds the row labels of a DataFrame."""


class ParquetFile:
    """A file whose columns are checked, like those of :class:`~losslab.data.csv_file.CsvFile`.

    Args:
        file: path of the file.
        options: only ``missing`` and ``text`` apply.
        changes: counts what was left out.

    Raises:
        ValueError: if pyarrow is not installed, the file is invalid, or an option is for text.
    """

    def __init__(self, file: Path, options: CsvOptions, changes: Changes) -> None:
        options.require_none_for_text(file)
        if not is_installed("pyarrow"):
            raise ValueError(f"{file.name}: {not_installed('pyarrow')}")
        self.file = file
        self.options = options
        names = [str(name) for name in self._read(lambda opened: opened.schema_arrow.names)]
        self.header = [name for name in names if not name.startswith(INDEX)]
        if len(names) > len(self.header):
            changes.add("row labels of a DataFrame left out", names[-1])
        checks.require_distinct_names(file, self.header)

    def frame(self, drop: Sequence[str] = (), gaps: Sequence[str] = ()) -> pd.DataFrame:
        """Return the table.

        Args:
            drop: columns that are not read.
            gaps: columns that may have missing values, which are NaN.

        Raises:
            ValueError: if a column is neither of numbers nor of text.
        """
        names = [name for name in self.header if name not in drop]
        kept = self._read(lambda opened: opened.read(columns=names))
        for place, field in enumerate(kept.schema):
            kept = kept.set_column(place, field.name, self._simple(field, kept.column(place)))
        table = without_marks(kept.to_pandas(ignore_metadata=True), self.options.missing)
        require_whole(self.file, table, gaps, lambda row: f"row {row + 1}")
        return table

    def _simple(self, field: Any, column: Any) -> Any:
        """Convert a column to floats, integers, booleans or strings."""
        from pyarrow import types  # noqa: PLC0415 (optional)

        kind = field.type.value_type if types.is_dictionary(field.type) else field.type
        if types.is_decimal(kind):
            return column.cast("float64")
        if field.name in self.options.text or types.is_null(kind):
            return column.cast("string")
        numbers = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
        if not (numbers or types.is_string(kind) or types.is_large_string(kind)):
            raise ValueError(
                f"{self.file} must have numbers or text in column {field.name!r}, got {kind}: "
                f"convert it, or exclude it with data.drop=[{field.name}]"
            )
        return column.cast(kind)

    def _read(self, read: Callable[[Any], Any]) -> Any:
        """Return what a function reads of the opened file."""
        from pyarrow import ArrowException, parquet  # noqa: PLC0415 (optional)

        try:
            with parquet.ParquetFile(self.file) as opened:
                return read(opened)
        except (ArrowException, OSError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{self.file} must be a .parquet file, got: {reason}") from error
