"""Documents of a LETOR or SVMLight file, with every line checked that cannot be read right."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_svmlight_file

from losslab.data.files import open_bytes

GREATEST_GRADE = 1000
"""A grade has the gain 2^grade - 1 in NDCG, which float64 cannot hold much beyond this."""
FORM = "grade qid:1 1:0.3 2:0.5 ..."
UNREADABLE = (ValueError, OverflowError, OSError, EOFError)


class Documents(NamedTuple):
    """Documents in the order of the file."""

    features: NDArray[np.float32]
    """``(n, F)``; features that a line leaves out are 0."""
    grades: NDArray[np.float64]
    query: NDArray[np.int64]


def read_letor(file: Path) -> Documents:
    """Read the documents of a file, which may be compressed.

    Raises:
        ValueError: if a line has another form, lacks its qid, has a feature that is not finite, or
            has a grade that is negative, not finite or too large.
    """
    try:
        with open_bytes(file) as handle:
            features, grades, query = load_svmlight_file(handle, query_id=True)
    except UNREADABLE as error:
        raise ValueError(_unreadable(file) or f"{file} must be a file, got: {error}") from error
    if not len(grades):
        raise ValueError(f"{file} must hold lines {FORM!r}, got none")
    if len(query) != len(grades):  # scikit-learn reads on, one query number short
        number = next(number for number, line in _lines(file) if b"qid:" not in line)
        raise ValueError(f"{file}, line {number}, must have a qid, as in {FORM!r}")
    for place in np.flatnonzero(~np.isfinite(features.data))[:1]:
        row = int(np.searchsorted(features.indptr, place, side="right")) - 1
        raise ValueError(
            f"{file}, line {_number(file, row)}, must have finite features, got "
            f"{features.data[place]} for {features.indices[place] + 1}"
        )
    _require_grades(grades, file)
    return Documents(np.asarray(features.todense(), dtype=np.float32), grades, query)


def _require_grades(grades: NDArray[np.float64], file: Path) -> None:
    """Refuse grades without a gain in NDCG, such as -1 for irrelevant."""
    wrong = np.flatnonzero(~((grades >= 0) & (grades <= GREATEST_GRADE)))  # includes NaN
    if len(wrong):
        raise ValueError(
            f"{file}, line {_number(file, int(wrong[0]))}, must have a grade from 0 to "
            f"{GREATEST_GRADE}, got {grades[wrong[0]]:g}, as {len(wrong)} of {len(grades)} lines "
            f"have: shift or bin the grades, 0 being irrelevant (NDCG's gain is 2^grade - 1)"
        )


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """Iterate over the lines with a document, numbered from 1, without their comments."""
    with open_bytes(file) as handle:
        for number, line in enumerate(handle, start=1):
            document = line.partition(b"#")[0]
            if document.strip():
                yield number, document


def _number(file: Path, row: int) -> int:
    """Return the number of the line of a document."""
    return next(number for place, (number, _) in enumerate(_lines(file)) if place == row)


def _unreadable(file: Path) -> str | None:
    """Describe the first line that cannot be read, if there is one."""
    try:
        for number, line in _lines(file):
            try:
                load_svmlight_file(BytesIO(line), query_id=True)
            except UNREADABLE as error:
                return f"{file}, line {number}, must be {FORM!r}, got: {error}"
    except OSError:  # damaged compression
        return None
    return None
