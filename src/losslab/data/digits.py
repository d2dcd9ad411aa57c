"""scikit-learn's handwritten digits: real, small, and there without a download."""

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
        options: those of :class:`~losslab.data.base.InMemoryData`.

    Source:
        Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998 (test part).

    Example:
        >>> data = Digits()
        >>> data.setup()
        >>> data.input_shape, data.outputs
        ((1, 8, 8), 10)
    """

    def __init__(self, *, flat: bool = False, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.flat = flat

    def load(self) -> Raw:
        """Grey values from 0 to 1."""
        images, labels = _digits()
        inputs = images.flatten(1) if self.flat else images
        return Raw(inputs, labels, class_names=[str(digit) for digit in range(10)])


@lru_cache(maxsize=1)  # the cells of a sweep share one read
def _digits() -> tuple[Tensor, Tensor]:
    bunch = load_digits()
    images = torch.from_numpy(bunch.images).float().unsqueeze(1) / 16
    return images, torch.from_numpy(bunch.target).long()
