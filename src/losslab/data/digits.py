"""Handwritten digits of scikit-learn: real, small, and available without a download."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from losslab.data.base import InMemoryData, Options, Raw


class Digits(InMemoryData):
    """The 1,797 handwritten digits of 8 x 8 pixels that scikit-learn includes.

    Args:
        flat: whether inputs have the shape ``(64,)`` instead of ``(1, 8, 8)``.
        positive: digits of the positive class, for a binary problem; by default each digit is a
            class.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Source:
        Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998 (test part).

    Example:
        >>> data = Digits()
        >>> data.setup()
        >>> data.input_shape, data.outputs
        ((1, 8, 8), 10)
    """

    def __init__(
        self,
        *,
        flat: bool = False,
        positive: Sequence[int] | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        self.flat = flat
        self.positive = None if positive is None else _require_some_digits(positive)

    def load(self) -> Raw:
        """Return images with grey values from 0 to 1, and their labels."""
        images, labels = _digits()
        inputs = images.flatten(1) if self.flat else images
        if self.positive is None:
            return Raw(inputs, labels, class_names=[str(digit) for digit in range(10)])
        is_positive = torch.isin(labels, torch.tensor(self.positive)).long()
        return Raw(inputs, is_positive, class_names=["others", ",".join(map(str, self.positive))])


def _require_some_digits(positive: Sequence[int]) -> tuple[int, ...]:
    chosen = tuple(sorted(set(positive)))
    if not 1 <= len(chosen) <= 9 or not set(chosen) <= set(range(10)):
        raise ValueError(f"positive must be one to nine digits from 0 to 9, got {list(positive)}")
    return chosen


@lru_cache(maxsize=1)  # read once per process, for all jobs of a sweep
def _digits() -> tuple[Tensor, Tensor]:
    table = torch.from_numpy(_table())
    return table[:, :-1].float().reshape(-1, 1, 8, 8) / 16, table[:, -1].long()


def _table() -> "np.ndarray[Any, Any]":
    """Return a row of 64 grey values from 0 to 16 and the digit for each image.

    The file that scikit-learn includes is read without importing scikit-learn, which takes a
    second; if a version of it has the file elsewhere, it is asked.
    """
    found = find_spec("sklearn")
    for folder in (found and found.submodule_search_locations) or ():
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits  # noqa: PLC0415

    return np.column_stack(load_digits(return_X_y=True))
