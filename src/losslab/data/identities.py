"""Identities, such as persons, for verification: those of test are not seen in training."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.digits_retrieval import rotate_and_shift
from losslab.data.files import Changes
from losslab.data.image_folder import ImageFolder
from losslab.rng import Purpose, generator

COARSE = 5
"""Side of the grid of random numbers that a pattern is interpolated from."""


class Identities(ImageFolder):
    """Images of persons, or other identities, below ``path/<identity>/``, as of LFW.

    All images of an identity are in the same split. Identities with fewer than two images, which
    form no pair, are left out. If ``path`` has a subfolder ``train``, see
    :class:`~losslab.data.image_folder.ImageFolder`.

    Args:
        path: path of the folder.
        options: options of :class:`~losslab.data.image_folder.ImageFolder`.

    Raises:
        ValueError: if an option is out of range or, in ``setup``, if an image cannot be read or
            folders of splits share an identity.
        FileNotFoundError: in ``prepare_data``, if there are not enough identities.
    """

    def load(self) -> Raw:
        """Read images ``(n, 1 or 3, image_size, image_size)``, or look at them, and identities."""
        return replace(super().load(), whole_classes=True)

    def _files(self, changes: Changes) -> list[tuple[str, str, str]]:
        """Return split, identity and path of each image, in sorted order."""
        files = super()._files(changes)
        images = Counter(name for _, name, _ in files)
        for name in sorted(name for name in images if images[name] < 2):
            changes.add("identities with one image left out", name)
        kept = [each for each in files if images[each[1]] >= 2]
        identities = {name for _, name, _ in kept}
        if len(identities) < 3:
            raise FileNotFoundError(
                "path must hold at least 3 folders with two or more images, one per identity, "
                f"found {len(identities)} in {Path(self.path).absolute()}"
            )
        return kept


class SyntheticIdentities(InMemoryData):
    """Random smooth patterns, each an identity, seen at other angles and in other light.

    A pattern is interpolated from 5 x 5 normal numbers and standardized. Each of its images is
    rotated and shifted, on a background of 0; then light that increases along a random direction
    and normal noise are added. All images of an identity are in the same split.

    Args:
        identities: number of identities over all splits.
        images: images per identity.
        image_size: side of a pattern in pixels.
        rotation: maximum angle in degrees, in both directions.
        shift: maximum shift, as a fraction of the pattern's side.
        lighting: standard deviation of the light at the image's edges, in each direction; the
            pattern's is 1.
        noise: standard deviation of the noise.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range.

    Example:
        >>> data = SyntheticIdentities(identities=10, images=4)
        >>> data.setup()
        >>> len(data.train.targets.unique()), len(data.test.targets.unique())
        (6, 2)
        >>> bool(torch.isin(data.test.targets, data.train.targets).any())
        False
    """

    fresh_per_seed = True

    def __init__(
        self,
        *,
        identities: int = 200,
        images: int = 10,
        image_size: int = 16,
        rotation: float = 30.0,
        shift: float = 0.125,
        lighting: float = 1.0,
        noise: float = 0.5,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("identities", identities, 3)
        checks.require_whole("images", images, 2)
        checks.require_whole("image_size", image_size, COARSE)
        checks.require_number("rotation", rotation, 0, 180)
        checks.require_number("shift", shift, 0, 0.5)
        checks.require_number("lighting", lighting, 0)
        checks.require_number("noise", noise, 0)
        self.identities, self.images, self.image_size = identities, images, image_size
        self.rotation, self.shift = rotation, shift
        self.lighting, self.noise = lighting, noise

    def load(self) -> Raw:
        """Generate the images of all identities, ``(n, 1, side, side)``, in order."""
        rng = generator(self.data_seed, Purpose.IDENTITY_IMAGES)
        labels = torch.arange(self.identities).repeat_interleave(self.images)
        images = rotate_and_shift(self._patterns()[labels], self.rotation, self.shift, rng)
        images += self.lighting * _light(len(images), images.shape[-1], rng)
        images += self.noise * torch.randn(images.shape, generator=rng)
        return Raw(images, labels, whole_classes=True)

    def _patterns(self) -> Tensor:
        rng = generator(self.data_seed, Purpose.IDENTITIES)
        coarse = torch.randn(self.identities, 1, COARSE, COARSE, generator=rng)
        size = (self.image_size, self.image_size)
        fine = interpolate(coarse, size=size, mode="bicubic", align_corners=True)
        mean, sd = (each(dim=(1, 2, 3), keepdim=True) for each in (fine.mean, fine.std))
        return (fine - mean) / sd


def _light(n: int, side: int, rng: torch.Generator) -> Tensor:
    """Draw planes ``(n, 1, side, side)`` of slopes that are normal in both directions."""
    slopes = torch.randn(n, 2, 1, 1, generator=rng)
    along = torch.linspace(-1, 1, side)
    return slopes[:, :1] * along.unsqueeze(1) + slopes[:, 1:] * along
