"""A .csv file as a table of numbers and text, without guessing what cannot be known.

pandas reads NA, None and null as gaps, doubled names as new ones, surplus fields as an index, and a
column of numbers with one odd word as text. Here a word is a gap only if it was named or stands
among numbers, and whatever would be read wrongly is refused with its line and column.
"""

import codecs
import io
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from losslab.data import checks
from losslab.data.columns import require_whole
from losslab.data.csv_text import CsvText
from losslab.data.files import Changes

GAPS = (
    *("na", "n/a", "n.a.", "nan", "-nan", "#n/a", "#na", "<na>", "null", "nil", "none"),
    *("missing", "unknown", "?", "-", "--", "."),
)
"""Words, in lower case, that mark a missing number where they stand among numbers."""
COMMA = re.compile(r"[-+]?\d+,\d+([eE][-+]?\d+)?")
THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+")
ROWS_AT_ONCE = 100_000
"""Number of rows that are held as text, which takes much more memory than numbers."""
LIKE_A_NUMBER = re.compile(r"[€$£¥]?\s*[-+]?\d[\d.,'\s]*[%€$£¥]?")


class CsvOptions(NamedTuple):
    """How a file is to be read.

    Args:
        separator: between fields; ``"auto"`` finds ``,``, ``;``, tab or ``|`` from the first rows.
        decimal: decimal mark; ``"auto"`` takes a comma if numbers show that it is none of
            thousands.
        thousands: mark between thousands, if there is one.
        encoding: name of the encoding; ``"auto"`` is UTF-8, or UTF-16 if the file says so.
        missing: words that mark a missing value in every column, beside the empty field.
        text: columns to read as text, though they look like numbers.
    """

    separator: str = "auto"
    decimal: str = "auto"
    thousands: str | None = None
    encoding: str = "auto"
    missing: Sequence[str] = ()
    text: Sequence[str] = ()

    def check(self) -> "CsvOptions":
        """Return the options, checked before a file is read.

        Raises:
            ValueError: if one is out of range.
        """
        checks.require_choice("decimal", self.decimal, ("auto", ".", ","))
        if self.separator != "auto" and len(self.separator) != 1:
            raise ValueError(f"separator must be 'auto' or one sign, got {self.separator!r}")
        if self.thousands is not None and self.thousands in ("", self.decimal):
            raise ValueError(f"thousands must be another sign than decimal, got {self.thousands!r}")
        if self.encoding != "auto":
            try:
                codecs.lookup(self.encoding)
            except LookupError as error:
                raise ValueError(f"encoding must be one of Python's: {error}") from error
        return self

    def require_none_for_text(self, file: Path) -> None:
        """Check that no option is about the text of a file, for one whose columns have types.

        Raises:
            ValueError: if one is.
        """
        for name in ("separator", "decimal", "thousands", "encoding"):
            if (value := getattr(self, name)) != self._field_defaults[name]:
                raise ValueError(f"{name} is for .csv files, got {value!r} with {file.name}")


class CsvFile:
    """A file whose columns are checked before they become numbers or text.

    Args:
        file: path of the file, which may be compressed.
        options: how to read it.
        changes: counts what was converted or left out.

    Raises:
        ValueError: if the file is not text in the encoding, or two columns have one name.
    """

    def __init__(self, file: Path, options: CsvOptions, changes: Changes) -> None:
        self.file = file
        self.options = options
        self.changes = changes
        self.source = CsvText(file, options.separator, options.encoding, changes)
        self.header = self.source.header

    def frame(self, drop: Sequence[str] = (), gaps: Sequence[str] = ()) -> pd.DataFrame:
        """Return the table.

        Args:
            drop: columns that are not checked.
            gaps: columns that may have missing values, which are NaN.

        Raises:
            ValueError: if a row or a column cannot be read right.
        """
        table = self._without_unnamed(self._numbers(gaps), drop)
        used = table.drop(columns=[name for name in drop if name in table])
        require_whole(self.file, used, gaps, lambda row: f"line {self.source.line(row)}")
        for column in self._texts(used):
            self._require_text(column)
        self._count_lost_zeros(used)
        for name in used.columns:
            if not pd.api.types.is_numeric_dtype(used[name]):
                text = used[name].dropna().astype(str)
                stripped = text.str.strip()
                table[name] = stripped
                if (stripped != text).any():
                    self.changes.add("spaces around text removed", f"column {name!r}")
        return table

    def _numbers(self, gaps: Sequence[str]) -> pd.DataFrame:
        """Parse the file with the decimal mark that it turns out to have."""
        decimal = self.options.decimal
        if decimal == "auto":
            decimal = "," if self.options.thousands == "." else "."
        table = self._parsed(decimal)
        if self.options.decimal == "auto":
            known = (
                _without_gaps(each) if each.name in gaps else each for each in self._texts(table)
            )
            if any(map(_has_decimal_commas, known)):
                decimal = ","
                table = self._parsed(decimal)
        if decimal == ",":
            self.changes.add("decimal commas", "line 2")
        for column in self._texts(table):
            if column.name in gaps and len(numbers := self._among_gaps(column, decimal)):
                table[column.name] = numbers
                for word, count in column[~column.index.isin(numbers.index)].value_counts().items():
                    where = f"{word!r} in column {column.name!r}"
                    self.changes.add("words among numbers read as missing", where, count)
        return table

    def _among_gaps(self, column: "pd.Series[str]", decimal: str) -> "pd.Series[float]":
        """Return the numbers of a column that has only numbers and words for gaps, else none."""
        words = _without_gaps(column)
        if self.options.thousands is not None:
            words = words.str.replace(self.options.thousands, "", regex=False)
        numbers = pd.to_numeric(words.str.replace(decimal, ".", regex=False), errors="coerce")
        return numbers if numbers.notna().all() else numbers.iloc[:0]

    def _parsed(self, decimal: str) -> pd.DataFrame:
        text = dict.fromkeys(map(str, self.options.text), str)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                table: pd.DataFrame = self._read(decimal=decimal, dtype=text)
        except pd.errors.ParserWarning as error:
            fields = max(len(row) for _, row in self.source.rows())
            raise ValueError(
                f"{self.file} must have as many names in its header as fields in its rows, got "
                f"{len(self.header)} names and {fields} fields"
            ) from error
        except ValueError as error:  # which parser errors are
            reason = " ".join(str(error).split())
            raise ValueError(
                f"{self.file} must be a .csv file with a header, got {reason}"
            ) from error
        table.columns = table.columns.map(lambda name: str(name).strip())
        return table

    def _read(self, **options: Any) -> Any:
        return pd.read_csv(
            io.BytesIO(self.source.content),
            sep=self.source.separator,
            thousands=self.options.thousands,
            keep_default_na=False,
            na_values=["", *map(str, self.options.missing)],
            skipinitialspace=True,
            index_col=False,  # else surplus fields become one
            low_memory=False,  # in pieces, a column can get two types
            **options,
        )

    def _texts(self, table: pd.DataFrame) -> "Iterator[pd.Series[str]]":
        """Iterate over the columns of text that were not asked for."""
        for name in table.columns:
            if name not in self.options.text and not pd.api.types.is_numeric_dtype(table[name]):
                yield table[name].dropna().astype(str).str.strip()

    def _without_unnamed(self, table: pd.DataFrame, drop: Sequence[str]) -> pd.DataFrame:
        """Leave out unnamed columns that are empty or number the rows, and refuse others."""
        for place, (head, name) in enumerate(zip(self.header, table.columns, strict=False)):
            if head or name in drop:
                continue
            column = table[name]
            counted = pd.api.types.is_integer_dtype(column) and (column.diff()[1:] == 1).all()
            if not column.isna().all() and not (place == 0 and counted):
                raise ValueError(f"{self.file} must have a name for column {place + 1}")
            what = "unnamed empty columns" if column.isna().all() else "unnamed row numbers"
            self.changes.add(f"{what} left out", f"column {place + 1}")
            table = table.drop(columns=name)
        return table

    def _require_text(self, column: "pd.Series[str]") -> None:
        """Refuse a column of text in which numbers could not be read, and say which words it has.

        Args:
            column: all its entries.
        """
        known = column.drop_duplicates()
        number = pd.to_numeric(known, errors="coerce").notna()
        words = known[~number]
        gaps = words[words.str.lower().isin(GAPS)]
        if words.empty:
            self._refuse(column, known, "integers of at most 18 digits", "shorten them")
        if number.any() and len(gaps) == len(words):
            self._refuse(column, words, "numbers without gaps", "fill or remove these rows")
        if column.isin(known[number]).mean() > 0.5:
            self._refuse(column, words, "numbers only", "correct it")
        if known.map(lambda entry: bool(LIKE_A_NUMBER.fullmatch(entry))).all():
            self._refuse(column, known, "numbers", "set data.decimal or data.thousands")
        for word in gaps:
            found = column == word
            where = f"line {self.source.line(int(found.to_numpy().argmax()))}"
            what = f"{word!r} in column {column.name!r} read as text"
            self.changes.add(what, where, int(found.sum()))

    def _refuse(
        self, column: "pd.Series[str]", words: "pd.Series[str]", expected: str, advice: str
    ) -> None:
        word = words.iloc[0]
        line = self.source.line(int((column == word).to_numpy().argmax()))
        raise ValueError(
            f"{self.file} must have {expected} in column {column.name!r}, got {word!r} in line "
            f"{line}: {advice}, or add data.text=[{column.name}] to read the column as text"
        )

    def _count_lost_zeros(self, used: pd.DataFrame) -> None:
        """Count integers whose leading zeros are lost, as those of codes are."""
        names = [name for name in used.columns if name in self.header and _is_whole(used[name])]
        begin = rb'(^|["\s]|%s)0\d' % re.escape(self.source.separator).encode()
        if not names or not re.search(begin, self.source.content):
            return
        first: dict[str, int] = {}
        lost: Counter[str] = Counter()
        places = [self.header.index(name) for name in names]
        for part in self._read(usecols=places, dtype=str, chunksize=ROWS_AT_ONCE):
            for name, (_, column) in zip(names, part.items(), strict=True):
                words = column[column.str.startswith(("0", " "), na=False)]  # few, quickly found
                rows = words.index[words.str.strip().str.fullmatch(r"0\d+")]
                if len(rows):
                    first.setdefault(name, int(rows[0]))
                    lost[name] += len(rows)
        for name, row in first.items():
            what = f"leading zeros of column {name!r} lost"
            self.changes.add(what, f"line {self.source.line(row)}", lost[name])


def _without_gaps(column: "pd.Series[str]") -> "pd.Series[str]":
    return column[~column.str.lower().isin(GAPS)]


def _is_whole(column: "pd.Series[Any]") -> bool:
    """Return whether a column holds integers, which gaps among them have turned to floats."""
    if not column.hasnans:
        return pd.api.types.is_integer_dtype(column)
    return pd.api.types.is_numeric_dtype(column) and not (column.dropna() % 1).any()


def _has_decimal_commas(column: "pd.Series[str]") -> bool:
    """Return whether all entries are numbers if a comma is the decimal mark, and only then."""
    known = column.drop_duplicates()
    words = known[pd.to_numeric(known, errors="coerce").isna()].tolist()
    return all(map(COMMA.fullmatch, words)) and not all(map(THOUSANDS.fullmatch, words))
