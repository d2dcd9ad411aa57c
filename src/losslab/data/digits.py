"""scikit-learn's handwritten digits: real, small, and there without a download."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Unpack

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from losslab.data.base import InMemoryData, Options, Raw


class Digits(InMemoryData):
    """1,797 real handwritten digits of 8 x 8 pixels, as scikit-learn ships them.

    Args:
        flat: inputs of shape ``(64,)`` instead of ``(1, 8, 8)``.
        positive: digits that are one class, all others being the other; by default each digit is
            a class of its own.
        options: those of :class:`~losslab.data.base.InMemoryData`.

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
        """Grey values from 0 to 1."""
        images, labels = _digits()
        inputs = images.flatten(1) if self.flat else images
        if self.positive is None:
            return Raw(inputs, labels, class_names=[str(digit) for digit in range(10)])
        hit = torch.isin(labels, torch.tensor(self.positive)).long()
        return Raw(inputs, hit, class_names=["others", ",".join(map(str, self.positive))])


def _require_some_digits(positive: Sequence[int]) -> tuple[int, ...]:
    chosen = tuple(sorted(set(positive)))
    if not 1 <= len(chosen) <= 9 or not set(chosen) <= set(range(10)):
        raise ValueError(f"positive must be one to nine digits from 0 to 9, got {list(positive)}")
    return chosen


@lru_cache(maxsize=1)  # the cells of a sweep share one read
def _digits() -> tuple[Tensor, Tensor]:
    bunch = load_digits()
    images = torch.from_numpy(bunch.images).float().unsqueeze(1) / 16
    return images, torch.from_numpy(bunch.target).long()
