"""One's own data as a table in a .csv file."""

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

Array = NDArray[np.generic]
MOST_CATEGORIES = 100
"""A column of text with more distinct entries is taken for names or identifiers and refused."""


class Table(InMemoryData):
    """A ``.csv`` file with a header, of which one column, or several, are the target.

    Numbers are features as they are, text and truth values become one column of 0 and 1 for each
    entry that occurs. A missing value is refused: fill or drop it before.

    Args:
        path: the file.
        target: the target's column, or a list of columns for several values or labels.
        group: a column; rows of one group stay in one split.
        weight: a column with the weight of each row in the loss.
        split: a column with ``train``, ``val``, ``test`` or 0, 1, 2; what is not named is drawn
            from train.
        drop: columns that are no features, as identifiers.
        target_kind: ``"classes"``, ``"values"``, ``"multilabel"``, or ``"auto"``, which
            :func:`~losslab.data.targets.read_targets` describes.
        standardize: whether columns of numbers get mean 0 and standard deviation 1, by the
            training split's figures.
        standardize_targets: the same for values; metrics are then in standard deviations.
        options: those of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range, or by ``setup`` if the file is broken.
        FileNotFoundError: by ``prepare_data``, if there is no file.
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
        target_kind: str = "auto",
        standardize: bool = True,
        standardize_targets: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_choice("target_kind", target_kind, targets.ASKED)
        self.path = path
        self.target = [target] if isinstance(target, str) else [str(name) for name in target]
        if not self.target:
            raise ValueError("target must name a column, got none")
        self.group = group
        self.weight = weight
        self.split = split
        self.drop = [drop] if isinstance(drop, str) else [str(name) for name in drop]
        self.asked_kind = target_kind
        self.standardize = standardize
        self.standardize_targets = standardize_targets

    def prepare_data(self) -> None:
        """Make sure that the file is there."""
        checks.require_file(self.path, "a .csv file")

    def load(self) -> Raw:
        """Features, targets and what the other columns say."""
        table = self._read(checks.require_file(self.path, "a .csv file"))
        features = table.drop(columns=list(dict.fromkeys(self._special_columns())))
        inputs, numeric = _encoded(features)
        values = table[self.target]
        if len({_plain(values[name]).dtype.kind for name in self.target}) > 1:
            raise ValueError(f"target columns must be of one kind, got {', '.join(self.target)}")
        columns = np.stack([_plain(values[name]) for name in self.target], axis=1)
        name = f"target {', '.join(self.target)}"
        meaning = targets.read_targets(name, columns, self.asked_kind, self.target)
        return Raw(
            inputs,
            meaning.targets,
            meaning.kind,
            meaning.names,
            self._column(table, self.split, targets.read_fixed),
            self._column(table, self.group, targets.read_groups),
            self._column(table, self.weight, targets.read_weights),
            numeric if self.standardize else False,
            self.standardize_targets,
        )

    def _column(
        self, table: pd.DataFrame, name: str | None, read: Callable[[str, Array], Tensor]
    ) -> Tensor | None:
        """What a column says beside features and targets, where one is named."""
        return None if name is None else read(f"column {name!r}", _plain(table[name]))

    def _special_columns(self) -> list[str]:
        others = [name for name in (self.group, self.weight, self.split) if name is not None]
        return [*self.target, *others, *self.drop]

    def _read(self, file: Path) -> pd.DataFrame:
        """The table, with the columns asked for and no gaps in those that are used."""
        try:
            table = pd.read_csv(file)
        except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
            raise ValueError(f"{file} must be a .csv file with a header, got {error}") from error
        table.columns = table.columns.map(str)
        missing = [name for name in self._special_columns() if name not in table.columns]
        if missing:
            raise ValueError(
                f"{file} must have the column {missing[0]!r}, got {', '.join(table.columns)}"
            )
        used = table.drop(columns=[name for name in self.drop if name not in self.target])
        holes = used.isna().sum()
        if holes.any():
            column = str(holes.idxmax())
            row = int(used[column].isna().to_numpy().argmax())
            raise ValueError(
                f"{file} must have no missing values, got {holes[column]} in column {column!r}, "
                f"the first in line {row + 2}: fill or remove them"
            )
        if used.empty:
            raise ValueError(f"{file} must have rows, got only a header")
        return table


def _plain(column: "pd.Series[Any]") -> Array:
    """A column as numbers, truth values or strings, never as Python objects."""
    if pd.api.types.is_numeric_dtype(column):  # truth values are, too
        return np.asarray(column)
    return np.asarray(column, dtype=np.str_)


def _encoded(features: pd.DataFrame) -> tuple[Tensor, Tensor]:
    """Features ``(n, F)``, and a mask of those that are numbers of their own."""
    blocks: list[NDArray[np.float32]] = []
    numeric: list[bool] = []
    for name in features.columns:
        column = _plain(features[name])
        if column.dtype.kind in "iuf":
            blocks.append(column.astype(np.float32)[:, None])
            numeric.append(True)
            continue
        known = np.unique(column)
        if len(known) > MOST_CATEGORIES:
            raise ValueError(
                f"column {name!r} must have <= {MOST_CATEGORIES} different entries to be a "
                f"category, got {len(known)}: leave it out with data.drop=[{name}]"
            )
        blocks.append((column[:, None] == known).astype(np.float32))
        numeric += [False] * len(known)
    if not blocks:
        raise ValueError("the table must have a column beside the target, got none")
    return torch.from_numpy(np.concatenate(blocks, axis=1)), torch.tensor(numeric)
