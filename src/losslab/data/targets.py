"""What the targets of a file mean: classes, values or several labels a sample."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losslab.data.base import TargetKind

ASKED = ("auto", "classes", "values", "multilabel")
MOST_CLASSES = 100
"""More distinct integers than this may be counts: then the user has to say what they are."""


class Meaning(NamedTuple):
    """Targets as :class:`~losslab.data.base.Raw` takes them."""

    targets: Tensor
    kind: TargetKind
    names: list[str] | None


def read_targets(
    name: str, values: NDArray[np.generic], asked: str, labels: Sequence[str] | None = None
) -> Meaning:
    """Targets of a file as a tensor, their kind and the names of classes or labels.

    Left to ``"auto"``, columns of 0 and 1 are several labels a sample; strings, truth values and
    integers are classes, numbered in sorted order; other numbers are values.

    Args:
        name: what messages call the targets.
        values: ``(n,)`` or ``(n, K)``.
        asked: ``"auto"`` or a kind.
        labels: the names of the columns, where they have some.

    Raises:
        ValueError: if the values do not fit the kind, or could be two kinds.

    Example:
        >>> read_targets("targets", np.array(["cat", "dog", "cat"]), "auto")
        Meaning(targets=tensor([0, 1, 0]), kind='classes', names=['cat', 'dog'])
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
        if values.ndim != 2 or not _all_0_1(values):
            raise ValueError(
                f"{name} must be 0 or 1, of shape (n, K), to be multilabel, "
                f"got {_described(values)}"
            )
        return Meaning(numbers, "multilabel", list(labels) if labels else None)
    return Meaning(numbers, "values", None)


def _kind(name: str, values: NDArray[np.generic]) -> str:
    if values.ndim == 2 and values.dtype.kind in "biuf" and _all_0_1(values):
        return "multilabel"
    if values.dtype.kind == "f":
        return "values"
    distinct = len(np.unique(values))
    if values.dtype.kind in "iu" and (values.ndim == 2 or distinct > MOST_CLASSES):
        raise ValueError(
            f"{name} could be classes or values, got {distinct} distinct integers of shape "
            f"{values.shape}: say data.target_kind=classes or data.target_kind=values"
        )
    return "classes"


def _classes(name: str, values: NDArray[np.generic]) -> Meaning:
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
    return Meaning(torch.from_numpy(indices.astype(np.int64)), "classes", [str(k) for k in known])


def _all_0_1(values: NDArray[np.generic]) -> bool:
    return bool(np.isin(values, (0, 1)).all())


def _described(values: NDArray[np.generic]) -> str:
    return f"{values.dtype} of shape {values.shape}"


def read_fixed(name: str, values: NDArray[np.generic]) -> Tensor:
    """The split of each sample, 0, 1 or 2, from these numbers or their names.

    Raises:
        ValueError: if something else stands there, or no sample is for training.

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
    """Groups of any kind, numbered ``(n,)``.

    Raises:
        ValueError: if there is not one a sample.
    """
    if values.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), got {values.shape}")
    return torch.from_numpy(np.unique(values, return_inverse=True)[1].astype(np.int64))


def read_weights(name: str, values: NDArray[np.generic]) -> Tensor:
    """Sample weights ``(n,)``.

    Raises:
        ValueError: if there is not one number a sample.
    """
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be numbers of shape (n,), got {_described(values)}")
    return torch.from_numpy(values.astype(np.float32))
