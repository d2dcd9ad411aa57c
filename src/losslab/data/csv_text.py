"""The text of a .csv file: its encoding, its separator, its rows and their lines."""

import codecs
import csv
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

from losslab.data import checks
from losslab.data.files import Changes, open_bytes

SEPARATORS = (",", ";", "\t", "|")
ROWS_TRIED = 20
"""Number of rows whose fields are counted to find the separator."""
BINARY = "got binary data: save a spreadsheet as .csv"


class CsvText:
    """The text of a file as UTF-8, with its separator and the names of its columns.

    Args:
        file: path of the file, which may be compressed.
        separator: between fields; ``"auto"`` takes the one of ``,``, ``;``, tab and ``|`` with the
            most fields that all of the first rows have.
        encoding: name of the encoding; ``"auto"`` is UTF-8, or UTF-16 if the file says so.
        changes: counts what differs from UTF-8 and commas.

    Raises:
        ValueError: if the file is not text in the encoding, or two columns have one name.
    """

    def __init__(self, file: Path, separator: str, encoding: str, changes: Changes) -> None:
        self.file = file
        self.content, found = self._decoded(encoding)
        if found != "utf-8":
            changes.add(f"text decoded from {found}", "line 1")
        self.separator = self._separator() if separator == "auto" else separator
        if self.separator != ",":
            changes.add(f"fields separated by {self.separator!r}", "line 1")
        _, header = next(self.rows(), (1, []))
        if not header:
            raise ValueError(f"{file} must be a .csv file with a header, got an empty file")
        self.header = [name.strip() for name in header]
        checks.require_distinct_names(file, filter(None, self.header))

    def line(self, row: int) -> int:
        """Return the line in which a row below the header begins."""
        return next(number for place, (number, _) in enumerate(self.rows(), -1) if place == row)

    def rows(self, separator: str | None = None) -> Iterator[tuple[int, list[str]]]:
        """Iterate over the rows that are not blank, each with the line in which it begins."""
        # decoded line by line: a large text as a whole takes up to 4 bytes per character
        lines = io.TextIOWrapper(io.BytesIO(self.content), encoding="utf-8", newline="")
        reader = csv.reader(lines, delimiter=separator or self.separator, skipinitialspace=True)
        begin = 1
        try:
            for row in reader:
                if len(row) > 1 or "".join(row).strip():
                    yield begin, row
                begin = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(f"{self.file}, line {begin}, must be a row: {error}") from error

    def _decoded(self, encoding: str) -> tuple[bytes, str]:
        """Return the text as UTF-8, and the name of the encoding that it had."""
        try:
            with open_bytes(self.file) as handle:
                content = handle.read()
            if encoding == "auto":
                utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
                encoding = "utf-16" if utf_16 else "utf-8"
            text = content.decode(encoding)
            if "\0" in text:
                raise ValueError(f"{self.file} must be text, {BINARY}")
        except UnicodeDecodeError as error:
            if b"\0" in content:
                raise ValueError(f"{self.file} must be text, {BINARY}") from error
            line = content[: error.start].count(b"\n") + 1
            raise ValueError(
                f"{self.file} must be {encoding} text, got the byte {content[error.start]:#x} in "
                f"line {line}: set data.encoding, such as data.encoding=cp1252"
            ) from error
        except (OSError, EOFError) as error:
            raise ValueError(f"{self.file} must be a .csv file, got: {error}") from error
        return content if encoding == "utf-8" else text.encode(), encoding

    def _separator(self) -> str:
        best, most = SEPARATORS[0], 1
        for separator in SEPARATORS:
            widths = {len(row) for _, row in itertools.islice(self.rows(separator), ROWS_TRIED)}
            if len(widths) == 1 and max(widths) > most:
                best, most = separator, max(widths)
        return best
