"""Your own images with masks, in the folders ``images`` and ``masks``."""

from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.image_folder import is_image, opened, pixels, split_folders
from losslab.data.splits import NAMES

MOST_CLASSES = 64
"""Maximum number of grey values; more indicate a photograph or a mask saved as JPEG."""


class ImageMasks(InMemoryData):
    """Images in ``path/images`` with masks of the same names in ``path/masks``.

    ``images/a.jpg`` belongs to ``masks/a.png``. A mask has one channel whose values are classes,
    numbered in sorted order: the smallest value of all masks is the background (0 and 255, or 0, 1,
    2, or the indices of a palette). Images and masks are resized to a common size, masks by nearest
    neighbours.

    If ``path`` has a subfolder ``train``, the two folders are read from ``path/train`` and, if they
    exist, from ``path/val`` and ``path/test``; a missing split is drawn from train. Hidden files
    and files that are not images are ignored.

    Args:
        path: path of the folder.
        image_size: side in pixels to which images and masks are resized.
        grayscale: whether to use one channel instead of three.
        standardize: whether to standardize channels with the training split's means and standard
            deviations; otherwise values are from 0 to 1.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range or, in ``setup``, if images and masks do not match
            or cannot be read.
        FileNotFoundError: in ``prepare_data``, if a folder, an image or a mask is missing.
    """

    def __init__(
        self,
        path: str,
        *,
        image_size: int = 64,
        grayscale: bool = False,
        standardize: bool = True,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("image_size", image_size, 4)
        self.path = Path(path).expanduser()
        self.image_size = image_size
        self.grayscale = grayscale
        self.standardize = standardize

    def prepare_data(self) -> None:
        """Raise ``FileNotFoundError`` if an image has no mask, or a mask no image."""
        self._pairs()

    def load(self) -> Raw:
        """Read images ``(n, 1 or 3, size, size)`` and masks ``(n, size, size)``."""
        pairs = self._pairs()
        both = [self._read(image, mask) for _, image, mask in pairs]
        grey = np.stack([mask for _, mask in both])
        values, classes = np.unique(grey, return_inverse=True)
        if not 2 <= len(values) <= MOST_CLASSES:
            raise ValueError(
                f"the masks in {self.path} must hold 2 to {MOST_CLASSES} different values, one "
                f"per class, got {len(values)}"
            )
        return Raw(
            torch.stack([image for image, _ in both]),
            torch.from_numpy(classes.reshape(grey.shape).astype(np.int64)),
            target_kind="masks",
            class_names=["background", *(str(value) for value in values[1:])],
            fixed=torch.tensor([NAMES.index(part) for part, *_ in pairs]),
            standardize=self.standardize,
        )

    def _pairs(self) -> list[tuple[str, Path, Path]]:
        """Return split, image and mask of each pair, in sorted order."""
        return [
            (part, *pair)
            for part, root in split_folders(self.path).items()
            for pair in pairs_in(root)
        ]

    def _read(self, image: Path, mask: Path) -> tuple[Tensor, NDArray[np.int64]]:
        """Read an image from 0 to 1 ``(C, image_size, image_size)`` and the values of its mask."""
        side = self.image_size
        with opened(image) as picture:
            size = picture.size
            channels = pixels(picture, side, grayscale=self.grayscale)
        with opened(mask) as picture:
            mask_size, bands = picture.size, picture.getbands()
            values = np.asarray(picture.resize((side, side), Image.Resampling.NEAREST))
        if len(bands) > 1:
            raise ValueError(f"{mask} must have one channel, got {len(bands)}")
        if mask_size != size:
            raise ValueError(
                f"{mask} must have the size of its image, {size[0]} x {size[1]} pixels, "
                f"got {mask_size[0]} x {mask_size[1]}"
            )
        return channels.float() / 255, values.astype(np.int64)


def pairs_in(root: Path) -> list[tuple[Path, Path]]:
    """Return each image of ``root/images`` with its mask in ``root/masks``, in sorted order.

    Raises:
        FileNotFoundError: if a folder is missing or empty, an image has no mask, or a mask has no
            image.
        ValueError: if two files of a folder differ only in their suffix.
    """
    images, masks = _by_stem(root / "images"), _by_stem(root / "masks")
    for stem, file in images.items():
        if stem not in masks:
            raise FileNotFoundError(f"{file} must have a mask {stem}.* in {root / 'masks'}")
    for stem, file in masks.items():
        if stem not in images:
            raise FileNotFoundError(f"{file} must have an image {stem}.* in {root / 'images'}")
    return [(images[stem], masks[stem]) for stem in sorted(images)]


def _by_stem(folder: Path) -> dict[str, Path]:
    """Return the images of a folder by their names without suffix."""
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    files: dict[str, Path] = {}
    for file in found:
        if not is_image(file):
            continue
        if file.stem in files:
            raise ValueError(
                f"{folder} must hold one file per name, got {files[file.stem]} and {file}"
            )
        files[file.stem] = file
    if not files:
        raise FileNotFoundError(
            f"path must have the subfolders 'images' and 'masks', found no images in "
            f"{folder.absolute()}"
        )
    return files
