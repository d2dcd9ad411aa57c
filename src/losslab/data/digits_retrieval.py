"""Rotated, shifted and noisy digits for metric learning, with held-out classes."""

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
from losslab.data.mnist import MNIST
from losslab.data.splits import TEST, TRAIN, VAL
from losslab.rng import Purpose


class DistortedDigits(InMemoryData):
    """Base class of the distorted digits; subclasses load the clean images.

    Each image is rotated by a uniformly drawn angle, shifted by a fraction of its side, and
    overlaid with normal noise. A margin keeps shifted pixels inside the image. The clean images are
    split first; each split is then distorted once, by its own random generators and identically in
    every run of the same seed.

    Args:
        rotation: maximum angle in degrees, in both directions.
        shift: maximum shift, as a fraction of the image's side.
        noise: standard deviation of the noise; ink is 1 and paper 0.
        copies: number of differently distorted copies of each training image.
        held_out_classes: classes to exclude from training; their samples are divided among
            validation and test.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range, or names a class that does not exist.
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
        corrupted = self.corruption.imbalance < 1 or self.corruption.label_noise > 0
        if held_out_classes and corrupted:
            raise ValueError(
                "held_out_classes must be empty with imbalance or label_noise, "
                f"got {list(held_out_classes)}"
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
        images = rotate_and_shift(
            split.inputs.repeat(copies, 1, 1, 1),
            self.rotation,
            self.shift,
            self._rng(Purpose.PLACEMENT, part),
        )
        noise = torch.randn(images.shape, generator=self._rng(Purpose.PIXEL_NOISE, part))
        return Split(images + self.noise * noise, split.targets.repeat(copies))


class DigitsRetrieval(DistortedDigits):
    """Distorted digits of scikit-learn; for the options see :class:`DistortedDigits`.

    Example:
        >>> data = DigitsRetrieval(held_out_classes=[8, 9])
        >>> data.setup()
        >>> data.train.targets.unique().tolist()
        [0, 1, 2, 3, 4, 5, 6, 7]
        >>> data.input_shape  # 8 x 8 pixels and a margin of one
        (1, 10, 10)
    """

    def load(self) -> Raw:
        """Return the 1,797 clean images of 8 x 8 pixels."""
        return replace(Digits().load(), held_out=self.held_out_classes)


class MNISTRetrieval(DistortedDigits):
    """Distorted MNIST digits with MNIST's own test split.

    Args:
        data_dir: folder that contains ``MNIST/raw``.
        download: whether to download missing files.
        rotation, shift, noise, copies: see :class:`DistortedDigits`.
        held_out_classes: see :class:`DistortedDigits`; samples of the test files stay in test.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range or, in ``setup``, if a file is invalid.
        FileNotFoundError: in ``prepare_data``, if files are missing and cannot be downloaded.
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
        """Download the files if they are missing."""
        self.files.prepare_data()

    def load(self) -> Raw:
        """Return the 70,000 clean images of 28 x 28 pixels, from 0 to 1."""
        raw = self.files.load()
        ink = raw.inputs.mul_(MNIST.sd[0]).add_(MNIST.mean[0])  # in place: not shared
        return replace(raw, inputs=ink, held_out=self.held_out_classes)


def rotate_and_shift(images: Tensor, rotation: float, shift: float, rng: torch.Generator) -> Tensor:
    """Rotate images about their centre by up to ``rotation`` degrees, then shift them.

    Args:
        images: ``(n, C, H, W)`` with a background of 0.
        rotation: maximum angle in degrees, in both directions.
        shift: maximum shift, as a fraction of the larger side, in all directions.
        rng: random generator for the angles of all images, then for their shifts.

    Returns:
        ``(n, C, H + 2 m, W + 2 m)``, where the margin m is the maximum shift in whole pixels.
    """
    margin = math.ceil(shift * max(images.shape[-2:]))
    padded = F.pad(images, (margin, margin, margin, margin))
    angle = (torch.rand(len(images), generator=rng) * 2 - 1) * math.radians(rotation)
    # in affine_grid's coordinates, half an image's side is 1
    part = 2 * shift * max(images.shape[-2:]) / max(padded.shape[-2:])
    moves = (torch.rand(len(images), 2, generator=rng) * 2 - 1) * part
    grid = _placed(angle, moves, *padded.shape[-2:])
    return F.grid_sample(padded, grid, padding_mode="zeros", align_corners=False)


def _placed(angle: Tensor, moves: Tensor, height: int, width: int) -> Tensor:
    """Return the grid ``(n, H, W, 2)`` of :func:`torch.nn.functional.affine_grid`.

    It maps output to input pixels, so the shift is undone before the rotation. Its last bits do not
    depend on the processor, as those of a matrix product do.
    """
    cos, sin, right, down = (
        each.view(-1, 1, 1) for each in (angle.cos(), angle.sin(), *moves.unbind(dim=1))
    )
    y, x = (torch.linspace(-1, 1, side) * (side - 1) / side for side in (height, width))
    y = y.unsqueeze(1)
    across = x * cos + y * -sin - (cos * right - sin * down)
    along = x * sin + y * cos - (sin * right + cos * down)
    return torch.stack([across, along], dim=3)


def _require_digits(classes: Sequence[int]) -> None:
    wrong = [label for label in classes if label not in range(10)]
    if wrong or len(set(classes)) > 8:
        raise ValueError(
            "held_out_classes must be digits, and leave at least 2 for training, "
            f"got {list(classes)}"
        )
