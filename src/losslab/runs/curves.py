"""A run's curves, ``metrics.csv``: one row a value, exact, and continued after a kill."""

import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from losslab.runs.folder import RunFolder, replace_file

if TYPE_CHECKING:
    import pandas

COLUMNS = ("epoch", "step", "seconds", "name", "value")


class Point(NamedTuple):
    """One row: a metric's value after so many steps, within an epoch counted from 0."""

    epoch: int
    step: int
    seconds: float
    name: str
    value: float


class Curves:
    """The writer of one ``metrics.csv``.

    Rows wait in memory until :meth:`flush`; between flushes no file is open, so that a thousand
    runs trained together need no thousand file handles, and the writer can go to another process.

    Args:
        path: the file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[Point] = []

    def append(self, rows: Iterable[Point]) -> None:
        """Add rows; they are on disk after the next :meth:`flush`."""
        self._waiting.extend(rows)

    def flush(self) -> None:
        """Put the waiting rows on disk, to survive a crash of the machine."""
        if not self._waiting and self.path.exists():
            return
        text = _csv(self._waiting)
        with self.path.open("a", encoding="utf-8", newline="") as file:
            if file.tell() == 0:
                file.write(",".join(COLUMNS) + "\n")
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self._waiting.clear()

    def cut(self, step: int, drop: str | None = None) -> None:
        """Remove the rows beyond a step, as a run that resumes there will write them again.

        Args:
            step: the step of the checkpoint; rows of this step stay.
            drop: a prefix, such as ``"test/"``, whose rows go whatever their step.
        """
        self._waiting.clear()
        if not self.path.exists():
            return
        header, *lines = _whole_lines(self.path)
        kept = [line for line in lines if _stays(line, step, drop)]
        replace_file(self.path, (header + "".join(kept)).encode())


def read_curves(folder: Path) -> "pandas.DataFrame":
    """The curves of a run, one row a value, in the order written.

    Columns are ``epoch``, ``step``, ``seconds``, ``name``, ``value``. A last row that a kill cut
    short is left out.

    Raises:
        FileNotFoundError: if the folder holds no curves.
        ValueError: if the file is none of ours.
    """
    import pandas as pd  # noqa: PLC0415  (a third of a second that training does not need)

    path = RunFolder(folder).metrics
    types = {"epoch": "int64", "step": "int64", "seconds": "float64", "value": "float64"}
    try:
        return pd.read_csv(
            io.StringIO("".join(_whole_lines(path))),
            dtype={**types, "name": "str"},
            keep_default_na=False,  # a metric may be named "NA"
            na_values={"value": ["nan"]},
            float_precision="round_trip",
        )
    except ValueError as error:
        raise ValueError(f"{path} is no table of curves: {error}") from error


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
    """The header and the complete rows."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()  # a kill in mid-write
    if not lines:
        return [",".join(COLUMNS) + "\n"]
    if lines[0].strip() != ",".join(COLUMNS):
        raise ValueError(f"{path} must begin with {','.join(COLUMNS)}, got {lines[0].strip()!r}")
    return lines


def _stays(line: str, step: int, drop: str | None) -> bool:
    _, its_step, _, name, _ = next(csv.reader([line]))
    return int(its_step) <= step and (drop is None or not name.startswith(drop))
