"""Rows of handwritten digits, labelled without positions."""

from typing import Literal, Unpack

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.digits import _digits
from losslab.rng import Purpose, generator

BLANK = 0


class DigitSequences(InMemoryData):
    """Images of several handwritten digits in a row, of varying number and spacing.

    The digits are divided among the splits before rows are composed, so the test rows contain no
    digit image from training. Digit d has the label d + 1; label 0 is the blank.

    Args:
        rows: number of rows over all splits.
        shortest: minimum number of digits in a row.
        longest: maximum number of digits in a row.
        gap: maximum gap before a digit in pixels.
        least_gap: minimum gap; gaps are uniform between both, and all equal if both are.
        noise: standard deviation of the noise on all pixels, with grey values from 0 to 1.
        source: ``"digits"`` (scikit-learn, 8 x 8 pixels) or ``"mnist"`` (reduced to 14 x 14).
        data_dir: folder that contains ``MNIST/raw``, for ``source="mnist"``.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Targets are ``(n, longest + 1)`` int64: the labels, padded with 0, then the row's width.

    Raises:
        ValueError: if an option is out of range.

    Example:
        >>> data = DigitSequences(rows=100)
        >>> data.setup()
        >>> data.input_shape, data.outputs, tuple(data.train.targets.shape)
        ((1, 8, 88), 11, (60, 9))
    """

    def __init__(
        self,
        *,
        rows: int = 4000,
        shortest: int = 3,
        longest: int = 8,
        gap: int = 3,
        least_gap: int = 0,
        noise: float = 0.05,
        source: Literal["digits", "mnist"] = "digits",
        data_dir: str = "data",
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("rows", rows, 10)
        checks.require_whole("shortest", shortest, 1)
        checks.require_whole("longest", longest, shortest)
        checks.require_whole("least_gap", least_gap, 0)
        checks.require_whole("gap", gap, least_gap)
        checks.require_number("noise", noise, 0)
        checks.require_choice("source", source, ("digits", "mnist"))
        self.rows, self.shortest, self.longest = rows, shortest, longest
        self.gap, self.least_gap = gap, least_gap
        self.noise, self.source, self.data_dir = noise, source, data_dir

    def load(self) -> Raw:
        """Generate the rows of each split from its own part of the digits."""
        images, labels = self._digits()
        rows, targets, fixed = [], [], []
        digits = self._divided_digits(len(images))
        for part, (index, size) in enumerate(zip(digits, self._row_counts(), strict=True)):
            new_rows, new_targets = self._rows(images[index], labels[index], size, part)
            rows.append(new_rows)
            targets.append(new_targets)
            fixed.append(torch.full((size,), part))
        return Raw(
            torch.cat(rows),
            torch.cat(targets),
            target_kind="sequences",
            fixed=torch.cat(fixed),
            redrawn=True,
            outputs=11,
        )

    def split_samples(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return which digits the rows of each split are made of."""
        return self._divided_digits(len(self._digits()[1]))

    def _row_counts(self) -> list[int]:
        counts = [round(self.rows * share) for share in (self.val_fraction, self.test_fraction)]
        return [self.rows - sum(counts), *counts]

    def _divided_digits(self, digits: int) -> tuple[Tensor, Tensor, Tensor]:
        """Divide the digits among the splits, in proportion to the rows."""
        sizes = self._row_counts()
        ends = [round(digits * sum(sizes[: part + 1]) / self.rows) for part in range(2)]
        order = torch.arange(digits)
        if self.test_split_seed is not None:
            carving = generator(self.test_split_seed, Purpose.TEST_SPLIT)
            order = torch.randperm(digits, generator=carving)
        left = digits if self.test_split_seed is None else ends[1]
        rng = generator(self.data_seed, Purpose.DIGIT_SPLIT)
        order[:left] = order[:left][torch.randperm(left, generator=rng)]
        train, val, test = order.tensor_split(ends)
        return train, val, test

    def _rows(self, images: Tensor, labels: Tensor, n: int, part: int) -> tuple[Tensor, Tensor]:
        """Generate ``n`` rows of these digits, with their targets."""
        stream = self._rng(Purpose.DIGIT_ROWS, part)
        side = images.shape[-1]
        width = self.longest * (side + self.gap)
        lengths = torch.randint(self.shortest, self.longest + 1, (n,), generator=stream)
        chosen = torch.randint(len(images), (n, self.longest), generator=stream)
        shape = (n, self.longest)
        gaps = torch.randint(self.least_gap, self.gap + 1, shape, generator=stream)
        canvas = self.noise * torch.randn(n, 1, side, width, generator=stream)
        targets = torch.zeros(n, self.longest + 1, dtype=torch.int64)
        for row in range(n):
            at = 0
            for place in range(int(lengths[row])):
                at += int(gaps[row, place])
                canvas[row, 0, :, at : at + side] += images[chosen[row, place], 0]
                at += side
            digits = labels[chosen[row, : lengths[row]]]
            targets[row, : lengths[row]] = digits + 1
            targets[row, -1] = at
        return canvas, targets

    def _digits(self) -> tuple[Tensor, Tensor]:
        if self.source == "digits":
            return _digits()
        from losslab.data.mnist import MNIST  # noqa: PLC0415 (imports torchvision)

        raw = MNIST(data_dir=self.data_dir).load()
        return interpolate(raw.inputs, size=14, mode="area"), raw.targets
