"""Files of ratings as MovieLens has them, whose lines are refused if they cannot be read right."""

import io
from pathlib import Path

import numpy as np
import pandas as pd

from losslab.data.csv_file import CsvFile, CsvOptions
from losslab.data.files import Changes, open_bytes

COLUMNS = {"userId": "user", "movieId": "item", "rating": "rating", "timestamp": "time"}
"""Columns of ``ratings.csv``, and what they are called here."""
LINES = {b"::": "1::1193::5::978300760", b"\t": "196\t242\t3\t881250949"}
"""Separators of the files without a header, ``ratings.dat`` and ``u.data``, and a line of each."""
GREATEST = 1000
"""A rating as a grade has the gain 2^grade - 1 in NDCG, which float64 cannot hold much beyond."""


def read_movielens(file: Path, changes: Changes) -> pd.DataFrame:
    """Read the columns ``user``, ``item``, ``rating`` and, if there is one, ``time``.

    Args:
        file: ``ratings.csv``, ``ratings.dat`` or ``u.data``, recognized by the first line; it may
            be compressed.
        changes: counts what is left out: earlier ratings of an item that a user rates again.

    Raises:
        ValueError: if a line cannot be read, or its rating is not from 0 to :data:`GREATEST`.
    """
    try:
        with open_bytes(file) as handle:
            first = handle.readline()
            separator = _separator(first)
            content = b"" if separator is None else first + handle.read()
    except (OSError, EOFError) as error:
        raise ValueError(f"{file} must be a file of ratings, got: {error}") from error
    if separator is None:
        table = _with_header(file, changes)
    else:
        table = _without_header(file, content, separator)
    if "time" in table:
        table = table.sort_values("time", kind="stable")
    again = table.duplicated(["user", "item"], keep="last")
    if again.any():
        what = "earlier ratings of an item rated again left out"
        changes.add(what, f"user {table['user'][again].iloc[0]}", int(again.sum()))
    return table[~again]


def with_enough(table: pd.DataFrame, least: int, file: Path, changes: Changes) -> pd.DataFrame:
    """Leave out users and items with few ratings, until each has at least ``least``.

    Args:
        table: columns ``user`` and ``item``.
        least: least number of ratings.
        file: file of the table, for messages.
        changes: counts the users and items that are left out.

    Raises:
        ValueError: if nothing is left.
    """
    before = -1
    while len(table) != before:
        before = len(table)
        for name in ("item", "user"):
            counts = table[name].value_counts()
            few = counts.index[counts < least]
            if len(few):
                what = f"{name}s with fewer than {least} ratings left out"
                changes.add(what, f"{name} {few.min()}", len(few))
                table = table[~table[name].isin(few)]
    if table.empty:
        raise ValueError(
            f"{file} must have users and items with {least} ratings each, got none: lower data.core"
        )
    return table


def _separator(first: bytes) -> bytes | None:
    """Return what separates the numbers of a file, ``None`` if its first line is a header."""
    if b"rating" in first:
        return None
    return next((separator for separator in LINES if first.count(separator) == 3), None)


def _with_header(file: Path, changes: Changes) -> pd.DataFrame:
    opened = CsvFile(file, CsvOptions(), changes)
    needed = list(COLUMNS)[:3]
    if not set(needed) <= set(opened.header):
        raise ValueError(
            f"{file} must have the columns {', '.join(needed)}, or lines such as "
            f"{' or '.join(map(repr, LINES.values()))}, got {', '.join(opened.header)[:80]}"
        )
    frame = opened.frame(drop=[name for name in opened.header if name not in COLUMNS])
    table = frame[[name for name in COLUMNS if name in frame]].rename(columns=COLUMNS)
    for name, greatest in (("rating", GREATEST), ("time", np.inf)):
        if name in table:
            wrong = ~pd.to_numeric(table[name], errors="coerce").between(0, greatest)
            if wrong.any():
                row = int(wrong.to_numpy().argmax())
                raise ValueError(
                    f"{file}, line {opened.source.line(row)}, must have a {name} from 0 to "
                    f"{greatest}, got {table[name].iloc[row]}"
                )
    return table


def _without_header(file: Path, content: bytes, separator: bytes) -> pd.DataFrame:
    names = list(COLUMNS.values())
    text = io.BytesIO(content.replace(separator, b"\t"))
    try:
        table = pd.read_csv(text, sep="\t", header=None, names=names, dtype=np.float64)
    except ValueError:  # which parser errors are
        table = pd.DataFrame({name: [np.nan] for name in names})
    right = np.isfinite(table).all(axis=None) and table["rating"].between(0, GREATEST).all()
    if not right or content.count(separator) != 3 * len(table):
        raise ValueError(_first_wrong(file, content, separator))
    return table.astype({"user": np.int64, "item": np.int64})


def _first_wrong(file: Path, content: bytes, separator: bytes) -> str:
    """Describe the first line that cannot be read."""
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            _, _, rating, _ = map(float, line.split(separator))
            right = 0 <= rating <= GREATEST
        except ValueError:
            right = not line.strip()
        if not right:
            found = line.decode(errors="replace")[:80]
            return (
                f"{file}, line {number}, must be such as {LINES[separator]!r}, with a rating from "
                f"0 to {GREATEST}, got {found!r}"
            )
    return f"{file} must have lines such as {LINES[separator]!r}"
