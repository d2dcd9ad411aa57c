"""Targets read from a file: classes, values or several labels per sample."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losslab.data import checks
from losslab.data.files import Changes
from losslab.data.raw import IGNORED, KindName

ASKED = ("auto", "classes", "values", "multilabel")
MOST_CLASSES = 100
"""Maximum number of distinct integers that are taken to be classes without being asked."""


class Targets(NamedTuple):
    """Targets, their kind and names, as arguments of :class:`~losslab.data.raw.Raw`."""

    targets: Tensor
    kind: KindName
    names: list[str] | None


def read_targets(
    name: str,
    values: NDArray[np.generic],
    asked: str,
    labels: Sequence[str] | None = None,
    changes: Changes | None = None,
) -> Targets:
    """Convert the targets of a file to a tensor, and determine their kind and names.

    With ``"auto"``, several columns of 0 and 1 are labels; strings, booleans and integers are
    classes, numbered in sorted order; other numbers are values.

    Args:
        name: name of the targets for messages.
        values: ``(n,)`` or ``(n, K)``.
        asked: ``"auto"`` or a kind.
        labels: names of the columns, if there are any.
        changes: counts integers that become values.

    Raises:
        ValueError: if the values do not match the kind, or the kind is ambiguous.

    Example:
        >>> read_targets("targets", np.array(["cat", "dog", "cat"]), "auto")
        Targets(targets=tensor([0, 1, 0]), kind='classes', names=['cat', 'dog'])
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2) or 0 in values.shape:
        raise ValueError(f"{name} must have shape (n,) or (n, K), got {values.shape}")
    kind = _kind(name, values) if asked == "auto" else asked
    if kind == "classes":
        return _classes(name, values)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be numbers to be {kind}, got {_described(values)}")
    numbers = torch.from_numpy(values.astype(np.float32))
    if kind == "multilabel":
        if values.ndim != 2 or not _all_0_1(values[values != IGNORED]):
            raise ValueError(
                f"{name} must be 0 or 1, of shape (n, K), to be multilabel "
                f"({IGNORED} for a label that is not known), "
                f"got {_described(values)}"
            )
        return Targets(numbers, "multilabel", list(labels) if labels else None)
    for column in values.reshape(len(values), -1).T:
        checks.require_single_precision(name, column)
    if changes is not None and values.dtype.kind in "biu":
        changes.add("integer targets read as values", name)
    return Targets(numbers, "values", None)


def _kind(name: str, values: NDArray[np.generic]) -> str:
    if values.ndim == 2 and values.dtype.kind in "biuf" and _all_0_1(values):
        return "multilabel"
    if values.dtype.kind == "f":
        return "values"
    distinct = len(np.unique(values))
    if values.dtype.kind in "iu" and (values.ndim == 2 or distinct > MOST_CLASSES):
        raise ValueError(
            f"{name} could be classes or values, got {distinct} distinct integers of shape "
            f"{values.shape}: set data.target_kind=classes or data.target_kind=values"
        )
    return "classes"


def _classes(name: str, values: NDArray[np.generic]) -> Targets:
    broken = values.dtype.kind == "f" and not np.array_equal(values, np.round(values.astype(float)))
    if values.ndim != 1 or values.dtype.kind not in "biufUS" or broken:
        raise ValueError(
            f"{name} must be integers or strings of shape (n,) to be classes, "
            f"got {_described(values)}"
        )
    if values.dtype.kind == "f":
        values = values.astype(np.int64)
    known, indices = np.unique(values, return_inverse=True)
    if len(known) < 2:
        raise ValueError(f"{name} must hold at least 2 classes, got only {str(known[0])!r}")
    return Targets(torch.from_numpy(indices.astype(np.int64)), "classes", [str(k) for k in known])


def _all_0_1(values: NDArray[np.generic]) -> bool:
    return bool(np.isin(values, (0, 1)).all())


def _described(values: NDArray[np.generic]) -> str:
    return f"{values.dtype} of shape {values.shape}"


def read_fixed(name: str, values: NDArray[np.generic]) -> Tensor:
    """Convert the names or numbers of splits to 0, 1 or 2.

    Raises:
        ValueError: if there are other values, or not one per sample.

    Example:
        >>> read_fixed("split", np.array(["train", "test", "train"]))
        tensor([0, 2, 0])
    """
    codes = {"train": 0, "val": 1, "test": 2, "0": 0, "1": 1, "2": 2}
    words = values.astype(str)
    unknown = sorted(set(words.tolist()) - set(codes))
    if values.ndim != 1 or unknown:
        got = repr(unknown[0]) if unknown else f"shape {values.shape}"
        raise ValueError(f"{name} must be train, val, test or 0, 1, 2, of shape (n,), got {got}")
    return torch.tensor([codes[word] for word in words.tolist()])


def read_groups(name: str, values: NDArray[np.generic]) -> Tensor:
    """Return consecutive numbers, ``(n,)``, for groups of any type.

    Raises:
        ValueError: if there is not one per sample.
    """
    if values.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), got {values.shape}")
    return torch.from_numpy(np.unique(values, return_inverse=True)[1].astype(np.int64))


def read_weights(name: str, values: NDArray[np.generic]) -> Tensor:
    """Convert sample weights to a tensor ``(n,)``.

    Raises:
        ValueError: if there is not one number per sample.
    """
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be numbers of shape (n,), got {_described(values)}")
    return torch.from_numpy(values.astype(np.float32))
