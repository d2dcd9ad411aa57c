"""Columns of a table: which values may be missing, and how they become inputs of a network."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from losslab.data import checks
from losslab.data.files import Changes

Categories = Literal["one_hot", "ordinal"]
"""How text becomes numbers: one column of 0 and 1 per entry, or the entry's number."""
MOST_CATEGORIES = 100
"""Maximum number of entries of a one-hot encoded column; more are taken to be identifiers."""


def require_whole(
    file: Path | str, used: pd.DataFrame, gaps: Sequence[str], place: Callable[[int], str]
) -> None:
    """Refuse empty tables, missing values and infinite numbers.

    Args:
        file: file of the table, or what else it is called.
        used: the columns that are used.
        gaps: columns that may have missing values, though not only these.
        place: says where in the file a row is.

    Raises:
        ValueError: if there is one.
    """
    if not len(used):
        raise ValueError(f"{file} must have rows, got only a header")
    missing = used.isna()
    empty = [str(name) for name in used.columns if name in gaps and missing[name].all()]
    if empty:
        raise ValueError(
            f"{file} must have values in column {', '.join(map(repr, empty))}, got none: exclude "
            f"it with data.drop=[{','.join(empty)}]"
        )
    missing = missing.drop(columns=[name for name in gaps if name in missing])
    if missing.any(axis=None):
        column = str(missing.sum().idxmax())
        first = place(int(missing[column].to_numpy().argmax()))
        raise ValueError(
            f"{file} must have no missing values, got {missing[column].sum()} in column "
            f"{column!r}, the first in {first}: fill or remove them"
        )
    for name in used.select_dtypes("number"):
        infinite = np.isinf(used[name].to_numpy(dtype=float))
        if infinite.any():
            raise ValueError(
                f"{file} must have finite numbers, got {used[name][infinite].iloc[0]} in column "
                f"{name!r}, {place(int(infinite.argmax()))}"
            )


def without_marks(table: pd.DataFrame, missing: Sequence[str]) -> pd.DataFrame:
    """Return a table with gaps instead of words, and numbers, that mark a missing value."""
    if not missing:
        return table
    marks = [str(word) for word in missing]
    of_numbers = pd.to_numeric(pd.Series(marks), errors="coerce").dropna().tolist()
    words = table.select_dtypes(exclude="number").columns
    numbers = table.select_dtypes(include="number").columns
    for columns, own in ((words, marks), (numbers, of_numbers)):
        table[columns] = table[columns].where(~table[columns].isin(own))
    return table


class Encoded(NamedTuple):
    """Features as numbers.

    Attributes:
        inputs: ``(n, F)``; missing numbers are NaN.
        numeric: mask of the columns that hold quantities, ``(F,)``.
    """

    inputs: Tensor
    numeric: Tensor


def encoded(features: pd.DataFrame, categories: Categories, changes: Changes) -> Encoded:
    """Encode the features of a table.

    Numbers stay; each column of which some are missing is followed by one of 0 and 1 that says
    which. Missing text is a category of its own.

    Args:
        features: columns of numbers, booleans and text.
        categories: how text and booleans are encoded.
        changes: counts what was encoded, and what was missing.

    Raises:
        ValueError: if there are none, or columns hold too many entries to be one-hot encoded, all
            of which the message names.

    Example:
        >>> table = pd.DataFrame({"age": [30.0, None], "town": ["Rome", "Oslo"]})
        >>> encoded(table, "one_hot", Changes()).inputs
        tensor([[30.,  0.,  0.,  1.],
                [nan,  1.,  1.,  0.]])
    """
    blocks: list[NDArray[np.float32]] = []
    numeric: list[bool] = []
    wide: dict[str, int] = {}
    for name, column in features.items():
        values = plain(column)
        if values.dtype.kind in "iuf":
            block = _numbers(str(name), values, changes)
            numeric += [True, False][: block.shape[1]]
        else:
            known, places = _entries(str(name), column, values, changes)
            if categories == "one_hot" and len(known) > MOST_CATEGORIES:
                wide[str(name)] = len(known)
                continue
            what = "columns of text encoded as categories"
            changes.add(what, f"{name!r}, {len(known)} entries")
            block = _encoded_text(places, len(known), categories)
            numeric += [categories == "ordinal"] * block.shape[1]
        blocks.append(block)
    if wide:
        raise ValueError(_too_wide(wide))
    if not blocks:
        raise ValueError("the table must have a column besides the target, got none")
    return Encoded(torch.from_numpy(np.concatenate(blocks, axis=1)), torch.tensor(numeric))


def plain(column: "pd.Series[Any]") -> NDArray[np.generic]:
    """Convert a column to numbers, booleans or strings, never Python objects."""
    if pd.api.types.is_numeric_dtype(column):  # includes booleans
        return np.asarray(column)
    return np.asarray(column, dtype=np.str_)


def _numbers(name: str, column: NDArray[Any], changes: Changes) -> NDArray[np.float32]:
    """Return numbers as one column, or as two if some are missing."""
    missing = np.isnan(column)
    checks.require_single_precision(f"column {name!r}", column[~missing])
    values = column.astype(np.float32)
    if not missing.any():
        return values[:, None]
    what = "missing numbers replaced by the median of training and marked in a column of their own"
    changes.add(what, f"column {name!r}", int(missing.sum()))
    return np.stack([values, missing.astype(np.float32)], axis=1)


def _entries(
    name: str, column: "pd.Series[Any]", values: NDArray[Any], changes: Changes
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the sorted entries of a column of text, and the number of each row's entry."""
    if column.hasnans:
        what = "missing text read as a category of its own"
        changes.add(what, f"column {name!r}", int(column.isna().sum()))
        values = plain(column.astype(object).where(column.notna(), ""))
    known, places = np.unique(values, return_inverse=True)
    return known, places


def _encoded_text(
    places: NDArray[np.intp], known: int, categories: Categories
) -> NDArray[np.float32]:
    if categories == "ordinal":
        return places.astype(np.float32)[:, None]
    rows: NDArray[np.float32] = np.equal.outer(places, np.arange(known)).astype(np.float32)
    return rows


def _too_wide(wide: dict[str, int]) -> str:
    counts = ", ".join(f"{name!r} {count}" for name, count in wide.items())
    return (
        f"columns must have <= {MOST_CATEGORIES} different entries to be categorical, got "
        f"{counts}: exclude them with data.drop=[{','.join(wide)}], or number their entries with "
        "data.categories=ordinal"
    )
