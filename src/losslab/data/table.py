"""Your own data as a table in a .csv file."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from losslab.data import checks, targets
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.csv_file import CsvFile, CsvOptions
from losslab.data.files import Changes
from losslab.data.raw import StandardizeTargets

Array = NDArray[np.generic]
MOST_CATEGORIES = 100
"""Maximum number of categories of a text column; more are taken to be identifiers."""


class Table(InMemoryData):
    """A ``.csv`` file with a header and one or more target columns.

    Numeric columns are features; text and boolean columns are one-hot encoded. Missing values raise
    an error: fill or drop them first. An empty field is one, and so is a word like ``NA`` among
    numbers; in a column of text it is text like any other, unless ``missing`` names it.

    Args:
        path: path of the file.
        target: target column, or a list of columns for several values or labels.
        group: column of groups; rows of one group stay in the same split.
        weight: column with the weight of each row in the loss.
        split: column with ``train``, ``val``, ``test`` or 0, 1, 2; a missing split is drawn from
            train.
        drop: columns to ignore, such as identifiers.
        text: columns to read as text, though their entries are numbers.
        missing: words that mark a missing value in every column.
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
        checks.require_choice("target_kind", target_kind, targets.ASKED)
        self.path = path
        self.target = _names(target)
        if not self.target:
            raise ValueError("target must name a column, got none")
        self.group = group
        self.weight = weight
        self.split = split
        self.drop = _names(drop)
        self.reading = CsvOptions(
            separator, decimal, thousands, encoding, _names(missing), _names(text)
        ).check()
        self.asked_kind = target_kind
        self.standardize = standardize
        self.standardize_targets = standardize_targets

    def prepare_data(self) -> None:
        """Raise ``FileNotFoundError`` if the file does not exist."""
        checks.require_file(self.path, "a .csv file")

    def load(self) -> Raw:
        """Read features, targets and the columns of splits, groups and weights."""
        changes = Changes()
        table = self._read(checks.require_file(self.path, "a .csv file"), changes)
        features = table.drop(columns=list(dict.fromkeys(self._special_columns())))
        inputs, numeric = _encoded(features, changes)
        values = table[self.target]
        if len({_plain(values[name]).dtype.kind for name in self.target}) > 1:
            raise ValueError(
                f"target columns must have the same type, got {', '.join(self.target)}"
            )
        columns = np.stack([_plain(values[name]) for name in self.target], axis=1)
        name = f"target {', '.join(self.target)}"
        target = targets.read_targets(name, columns, self.asked_kind, self.target, changes)
        return Raw(
            inputs,
            target.targets,
            target.kind,
            target.names,
            self._column(table, self.split, targets.read_fixed),
            self._column(table, self.group, targets.read_groups),
            self._column(table, self.weight, targets.read_weights),
            numeric if self.standardize else False,
            self.standardize_targets,
            notes=changes.notes(),
        )

    def _column(
        self, table: pd.DataFrame, name: str | None, read: Callable[[str, Array], Tensor]
    ) -> Tensor | None:
        """Read a column if one is named."""
        return None if name is None else read(f"column {name!r}", _plain(table[name]))

    def _special_columns(self) -> list[str]:
        others = [name for name in (self.group, self.weight, self.split) if name is not None]
        return [*self.target, *others, *self.drop]

    def _read(self, file: Path, changes: Changes) -> pd.DataFrame:
        """Read the table and check that the named columns exist."""
        if file.suffix.lower() in (".npz", ".npy"):
            raise ValueError(
                f"{file} holds arrays, but data=table reads .csv files: use data=arrays "
                f"data.path={file}, without data.target"
            )
        opened = CsvFile(file, self.reading, changes)
        for name in (*self._special_columns(), *self.reading.text):
            if name not in opened.header and not name.startswith("Unnamed: "):
                raise ValueError(
                    f"{file} must have the column {name!r}, got {', '.join(opened.header)}"
                )
        return opened.frame(drop=[name for name in self.drop if name not in self.target])


def _names(given: str | Sequence[str]) -> list[str]:
    """Return one name or several as a list."""
    return [given] if isinstance(given, str) else [str(name) for name in given]


def _plain(column: "pd.Series[Any]") -> Array:
    """Convert a column to numbers, booleans or strings, never Python objects."""
    if pd.api.types.is_numeric_dtype(column):  # includes booleans
        return np.asarray(column)
    return np.asarray(column, dtype=np.str_)


def _encoded(features: pd.DataFrame, changes: Changes) -> tuple[Tensor, Tensor]:
    """Encode features as ``(n, F)``; also return a mask of the numeric columns."""
    blocks: list[NDArray[np.float32]] = []
    numeric: list[bool] = []
    for name in features.columns:
        column = _plain(features[name])
        if column.dtype.kind in "iuf":
            checks.require_single_precision(f"column {name!r}", column)
            blocks.append(column.astype(np.float32)[:, None])
            numeric.append(True)
            continue
        known = np.unique(column)
        if len(known) > MOST_CATEGORIES:
            raise ValueError(
                f"column {name!r} must have <= {MOST_CATEGORIES} different entries to be "
                f"categorical, got {len(known)}: exclude it with data.drop=[{name}]"
            )
        changes.add("columns of text encoded as categories", f"{name!r}, {len(known)} entries")
        blocks.append((column[:, None] == known).astype(np.float32))
        numeric += [False] * len(known)
    if not blocks:
        raise ValueError("the table must have a column besides the target, got none")
    return torch.from_numpy(np.concatenate(blocks, axis=1)), torch.tensor(numeric)
