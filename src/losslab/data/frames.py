"""From a DataFrame to samples: which column is what, and how it is encoded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from losslab.data import checks, targets
from losslab.data.columns import Categories, encoded, plain
from losslab.data.files import Changes
from losslab.data.raw import Raw, StandardizeTargets

Impute = Literal["median", "refuse"]
"""Whether missing features are filled from the training split, or refused."""
Array = NDArray[np.generic]


@dataclass(frozen=True)
class Roles:
    """What the columns of a table are, and how they are read.

    Args:
        target: columns of the target.
        group: column of groups; rows of one group stay in the same split.
        weight: column with the weight of each row in the loss.
        split: column with ``train``, ``val``, ``test`` or 0, 1, 2.
        drop: columns to ignore.
        impute: ``"median"``, or ``"refuse"`` to raise an error for missing values.
        categories: how text is encoded, see :func:`~losslab.data.columns.encoded`.
        target_kind: a kind, or ``"auto"``, see :func:`~losslab.data.targets.read_targets`.
        standardize: whether to standardize numeric columns.
        standardize_targets: whether to train on standardized values, too.

    Raises:
        ValueError: if an option is out of range.
    """

    target: tuple[str, ...]
    group: str | None = None
    weight: str | None = None
    split: str | None = None
    drop: tuple[str, ...] = ()
    impute: Impute = "median"
    categories: Categories = "one_hot"
    target_kind: str = "auto"
    standardize: bool = True
    standardize_targets: StandardizeTargets = True

    def __post_init__(self) -> None:
        checks.require_choice("target_kind", self.target_kind, targets.ASKED)
        checks.require_choice("impute", self.impute, get_args(Impute))
        checks.require_choice("categories", self.categories, get_args(Categories))
        if not self.target:
            raise ValueError("target must name a column, got none")

    def named(self) -> list[str]:
        """Return the columns that are not features."""
        others = [name for name in (self.group, self.weight, self.split) if name is not None]
        return [*self.target, *others, *self.drop]

    def gaps(self, header: Sequence[str]) -> list[str]:
        """Return the columns in which values may be missing."""
        named = self.named()
        return [name for name in header if name not in named and self.impute == "median"]

    def raw(self, table: pd.DataFrame, changes: Changes) -> Raw:
        """Return the samples of a table without missing values but in features.

        Raises:
            ValueError: if a column is not what it is to be.
        """
        features = table.drop(columns=self.named(), errors="ignore")
        inputs, numeric = encoded(features, self.categories, changes)
        target = self.target_of(table, changes)
        return Raw(
            inputs,
            target.targets,
            target.kind,
            target.names,
            _column(table, self.split, targets.read_fixed),
            _column(table, self.group, targets.read_groups),
            _column(table, self.weight, targets.read_weights),
            numeric if self.standardize else False,
            self.standardize_targets,
            impute=bool(inputs.isnan().any()),
            notes=changes.notes(),
        )

    def target_of(self, table: pd.DataFrame, changes: Changes) -> targets.Targets:
        """Return the targets.

        Raises:
            ValueError: if the columns differ in type, or do not match the kind.
        """
        columns = [plain(table[name]) for name in self.target]
        names = ", ".join(self.target)
        kinds = {"iuf" if column.dtype.kind in "iuf" else column.dtype.kind for column in columns}
        if len(kinds) > 1:
            raise ValueError(f"target columns must have the same type, got {names}")
        values = np.stack(columns, axis=1)
        return targets.read_targets(
            f"target {names}", values, self.target_kind, self.target, changes
        )


def names_of(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return one name, several or none as a tuple."""
    return (given,) if isinstance(given, str) else tuple(map(str, given or ()))


def _column(
    table: pd.DataFrame, name: str | None, read: Callable[[str, Array], Tensor]
) -> Tensor | None:
    """Read a column if one is named."""
    return None if name is None else read(f"column {name!r}", plain(table[name]))
