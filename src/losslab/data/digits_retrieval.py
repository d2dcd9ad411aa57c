"""Digits that are hard to find again: turned, shifted and noisy, with classes kept for later."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.batches import Split
from losslab.data.digits import Digits
from losslab.data.mnist import MEAN, MNIST, SD
from losslab.data.splits import TEST, TRAIN, VAL
from losslab.rng import Purpose


class DistortedDigits(InMemoryData):
    """What the two sets of distorted digits share; a subclass has ``load``, the clean images.

    Each image is turned by an angle drawn evenly from both directions, shifted by a part of its
    side, and overlaid with normal noise. What a shift would move out of the image has a margin to
    go to. The split is that of the clean images; each split is then distorted from streams of its
    own, once and in the same way in every run of a seed.

    Args:
        rotation: the largest angle in degrees.
        shift: the largest shift, as a share of the image's side.
        noise: the standard deviation of the noise; the ink is 1 and the paper 0.
        copies: how often each training image is there, each time distorted in another way.
        held_out_classes: classes of which training has no sample; theirs are divided among
            validation and test.
        options: those of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range, or names a class that there is not.
    """

    def __init__(
        self,
        *,
        rotation: float = 45.0,
        shift: float = 0.125,
        noise: float = 0.1,
        copies: int = 4,
        held_out_classes: Sequence[int] = (),
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_number("rotation", rotation, 0, 180)
        checks.require_number("shift", shift, 0, 0.5)
        checks.require_number("noise", noise, 0)
        checks.require_whole("copies", copies, 1)
        _require_digits(held_out_classes)
        if held_out_classes and (self.imbalance < 1 or self.label_noise > 0):
            raise ValueError(
                "held_out_classes must be empty where imbalance or label_noise spoil the training "
                f"classes, got {list(held_out_classes)}"
            )
        self.rotation = rotation
        self.shift = shift
        self.noise = noise
        self.copies = copies
        self.held_out_classes = tuple(held_out_classes)

    def setup(self, stage: str | None = None) -> None:
        """Split the clean images and distort each split; a second call does nothing."""
        if self._ready:
            return
        super().setup(stage)
        self.train = self._distorted(self.train, TRAIN, self.copies)
        self.val = self._distorted(self.val, VAL, 1)
        self.test = self._distorted(self.test, TEST, 1)
        self.input_shape = tuple(self.train.inputs.shape[1:])
        self._count()

    def _distorted(self, split: Split, part: int, copies: int) -> Split:
        images = turned_and_shifted(
            split.inputs.repeat(copies, 1, 1, 1),
            self.rotation,
            self.shift,
            self._stream(Purpose.PLACEMENT, part),
        )
        noise = torch.randn(images.shape, generator=self._stream(Purpose.PIXEL_NOISE, part))
        return Split(images + self.noise * noise, split.targets.repeat(copies))


class DigitsRetrieval(DistortedDigits):
    """scikit-learn's digits, distorted; the options are those of :class:`DistortedDigits`.

    Example:
        >>> data = DigitsRetrieval(held_out_classes=[8, 9])
        >>> data.setup()
        >>> data.train.targets.unique().tolist()
        [0, 1, 2, 3, 4, 5, 6, 7]
        >>> data.input_shape  # 8 x 8 pixels and a margin of one
        (1, 10, 10)
    """

    def load(self) -> Raw:
        """1,797 images of 8 x 8 pixels."""
        return replace(Digits().load(), held_out=self.held_out_classes)


class MNISTRetrieval(DistortedDigits):
    """MNIST, distorted, with its own test split.

    Args:
        data_dir: the folder that holds ``MNIST/raw``.
        download: whether to download what is not there.
        rotation: see :class:`DistortedDigits`.
        shift: see there.
        noise: see there.
        copies: see there; 60,000 images need no more than one.
        held_out_classes: see there; those of the test files stay in test.
        options: those of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range, or by ``setup`` if a file is broken.
        FileNotFoundError: by ``prepare_data``, if files are missing and cannot be downloaded.
    """

    def __init__(
        self,
        *,
        data_dir: str = "data",
        download: bool = True,
        rotation: float = 45.0,
        shift: float = 0.125,
        noise: float = 0.1,
        copies: int = 1,
        held_out_classes: Sequence[int] = (),
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            rotation=rotation,
            shift=shift,
            noise=noise,
            copies=copies,
            held_out_classes=held_out_classes,
            **({"val_fraction": 1 / 6} | options),
        )
        self.files = MNIST(data_dir=data_dir, download=download)

    def prepare_data(self) -> None:
        """Make sure that the files are there."""
        self.files.prepare_data()

    def load(self) -> Raw:
        """70,000 images of 28 x 28 pixels, from 0 to 1."""
        raw = self.files.load()
        ink = raw.inputs.mul_(SD).add_(MEAN)  # in place: they are this call's own
        return replace(raw, inputs=ink, held_out=self.held_out_classes)


def turned_and_shifted(
    images: Tensor, rotation: float, shift: float, rng: torch.Generator
) -> Tensor:
    """Images turned about their middle by up to ``rotation`` degrees, then shifted.

    Args:
        images: ``(n, C, H, W)``, on paper of 0.
        rotation: the largest angle.
        shift: the largest shift down and to the right, as a share of the height and width.
        rng: where angles and shifts are drawn, for all images first the one, then the other.

    Returns:
        ``(n, C, H + 2 m, W + 2 m)``, where the margin m is the largest shift in whole pixels.
    """
    margin = math.ceil(shift * max(images.shape[-2:]))
    roomy = F.pad(images, (margin, margin, margin, margin))
    angle = (torch.rand(len(images), generator=rng) * 2 - 1) * math.radians(rotation)
    # affine_grid counts half an image's side as 1
    part = 2 * shift * max(images.shape[-2:]) / max(roomy.shape[-2:])
    moves = (torch.rand(len(images), 2, generator=rng) * 2 - 1) * part
    placement = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1)
    # the grid says where each pixel comes from: the shift is undone before the turn
    turn = placement.reshape(-1, 2, 2)
    matrix = torch.cat([turn, -(turn @ moves.unsqueeze(2))], dim=2)
    grid = F.affine_grid(matrix, list(roomy.shape), align_corners=False)
    return F.grid_sample(roomy, grid, padding_mode="zeros", align_corners=False)


def _require_digits(classes: Sequence[int]) -> None:
    wrong = [label for label in classes if label not in range(10)]
    if wrong or len(set(classes)) > 8:
        raise ValueError(
            "held_out_classes must be digits, and leave at least 2 for training, "
            f"got {list(classes)}"
        )
