"""Curves of a run in ``metrics.csv``: one row per value, exact floats, resumable after a kill."""

import csv
import io
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from losslab.runs.disk import append
from losslab.runs.files import FileError, read_text
from losslab.runs.folder import RunFolder, replace_file

if TYPE_CHECKING:
    import numpy as np
    import pandas

COLUMNS = ("epoch", "step", "seconds", "name", "value")


class Point(NamedTuple):
    """One row: value of a metric after a number of steps; epochs are counted from 0."""

    epoch: int
    step: int
    seconds: float
    name: str
    value: float


class CurveWriter:
    """Writer of one ``metrics.csv``.

    Rows are buffered until :meth:`flush`. No file is open between flushes, so a thousand stacked
    runs do not need a thousand file handles, and the writer can be sent to another process.

    Args:
        path: path of the file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[Point] = []

    def append(self, rows: Iterable[Point]) -> None:
        """Add rows to the buffer."""
        self._waiting.extend(rows)

    def flush(self) -> None:
        """Write the buffered rows to disk durably."""
        if not self._waiting and self.path.exists():
            return
        begins = not self.path.exists() or self.path.stat().st_size == 0
        header = ",".join(COLUMNS) + "\n" if begins else ""
        append(self.path, (header + _csv(self._waiting)).encode())
        self._waiting.clear()

    def cut(self, step: int, drop: str | None = None) -> None:
        """Remove the rows after a step, since a run that resumes there will write them again.

        Args:
            step: step of the checkpoint; rows of this step are kept.
            drop: prefix, such as ``"test/"``, whose rows are removed at any step.
        """
        self._waiting.clear()
        if not self.path.exists():
            return
        header, *lines = _whole_lines(self.path)
        kept = [line for line in lines if _stays(line, step, drop)]
        replace_file(self.path, (header + "".join(kept)).encode())


@dataclass(frozen=True, eq=False)
class Curves:
    """Curves of a run as columns, one entry per value, in the order written."""

    epoch: "np.ndarray"
    step: "np.ndarray"
    seconds: "np.ndarray"
    name: "np.ndarray"
    """Names, as objects: of many runs, each name is one text."""
    value: "np.ndarray"

    def of(self, name: str) -> "np.ndarray":
        """Return the values of one curve."""
        values: np.ndarray = self.value[self.name == name]
        return values


def no_curves() -> Curves:
    """Return columns without entries."""
    import numpy as np  # noqa: PLC0415 (refused commands read no curves)

    return Curves(*(np.array([], kind) for kind in ("int64", "int64", "float64", "O", "float64")))


def read_columns(folder: Path) -> Curves:
    """Read the curves of a run as columns, which takes a tenth of the time of a data frame.

    An incomplete last row, left by a kill, is ignored.

    Raises:
        FileNotFoundError: if the folder has no curves.
        FileError: if the file does not have the expected format.
    """
    import numpy as np  # noqa: PLC0415 (refused commands read no curves)

    path = RunFolder(folder).metrics
    _, *rows = csv.reader(_whole_lines(path))
    if not rows:
        return no_curves()
    try:
        epoch, step, seconds, name, value = zip(*rows, strict=True)
        return Curves(
            np.array([*map(int, epoch)], dtype="int64"),
            np.array([*map(int, step)], dtype="int64"),
            np.array([*map(float, seconds)]),
            np.array([*map(sys.intern, name)], dtype=object),
            np.array([*map(float, value)]),
        )
    except (ValueError, OverflowError, csv.Error) as error:
        raise FileError(path, f"is not a table of curves: {error}") from error


def read_curves(folder: Path) -> "pandas.DataFrame":
    """Read the curves of a run, one row per value, in the order written.

    Columns are ``epoch``, ``step``, ``seconds``, ``name``, ``value``. See :func:`read_columns`.
    """
    return as_frame(read_columns(folder))


def as_frame(curves: Curves) -> "pandas.DataFrame":
    """Convert curves to a data frame, see :func:`read_curves`."""
    import pandas as pd  # noqa: PLC0415  (a third of a second that training does not need)

    columns = {column: getattr(curves, column) for column in COLUMNS}
    return pd.DataFrame(columns).astype({"name": "str"})


def _csv(rows: Iterable[Point]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    # repr is the shortest text that reads back as the same float
    writer.writerows(
        (row.epoch, row.step, f"{row.seconds:.3f}", row.name, repr(float(row.value)))
        for row in rows
    )
    return buffer.getvalue()


def _whole_lines(path: Path) -> list[str]:
    """Return the header and the complete rows."""
    # a kill may have cut the last character
    lines = read_text(path, errors="replace").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()  # incomplete after a kill
    if not lines:
        return [",".join(COLUMNS) + "\n"]
    if lines[0].strip() != ",".join(COLUMNS):
        got = lines[0].strip()
        raise FileError(path, f"must begin with {','.join(COLUMNS)}, got {got!r:.60}")
    return lines


def _stays(line: str, step: int, drop: str | None) -> bool:
    _, its_step, _, name, _ = next(csv.reader([line]))
    return int(its_step) <= step and (drop is None or not name.startswith(drop))
