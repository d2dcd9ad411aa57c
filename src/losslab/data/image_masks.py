"""Your own images with masks, in the folders ``images`` and ``masks``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.files import Changes, fitting_files, visible_folders
from losslab.data.images import (
    SUFFIXES,
    opened,
    read_images,
    split_folders,
    upright,
)
from losslab.data.raw import IGNORED
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
    and files that are not images are left out.

    Args:
        path: path of the folder.
        image_size: side in pixels to which images and masks are resized.
        grayscale: whether to use one channel instead of three.
        standardize: whether to standardize channels with the training split's means and standard
            deviations; otherwise values are from 0 to 1.
        ignore: value of the pixels that losses and metrics ignore, ``None`` if there is none;
            ``"auto"`` takes 255 if the others are consecutive numbers from 0 or 1.
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
        ignore: int | Literal["auto"] | None = "auto",
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("image_size", image_size, 4)
        if ignore is not None and ignore != "auto":
            checks.require_whole("ignore", ignore, 0)
        self.path = Path(path).expanduser()
        self.image_size = image_size
        self.grayscale = grayscale
        self.standardize = standardize
        self.ignore = ignore

    def prepare_data(self) -> None:
        """Raise ``FileNotFoundError`` if an image has no mask, or a mask no image."""
        self._pairs(Changes())

    def load(self) -> Raw:
        """Read images ``(n, 1 or 3, size, size)`` and masks ``(n, size, size)``."""
        changes = Changes()
        pairs = self._pairs(changes)
        images, sizes = read_images(
            [image for _, image, _ in pairs],
            self.image_size,
            grayscale=self.grayscale,
            changes=changes,
        )
        masks = [mask for *_, mask in pairs]
        grey = read_masks(masks, sizes, self.image_size, changes)
        known = np.unique(grey)
        ignore = _usual_mark(known) if self.ignore == "auto" else self.ignore
        left_out = grey == ignore
        for file, pixels in zip(masks, left_out.sum(axis=(1, 2)).tolist(), strict=True):
            if pixels:
                changes.add(f"pixels of value {ignore} ignored", file, pixels)
        values = known[known != ignore]
        if not 2 <= len(values) <= MOST_CLASSES:
            raise ValueError(
                f"the masks in {self.path} must hold 2 to {MOST_CLASSES} different values, one "
                f"per class, got {len(values)}"
            )
        classes = np.where(left_out, IGNORED, np.searchsorted(values, grey))
        return Raw(
            images,
            torch.from_numpy(classes),
            target_kind="masks",
            class_names=["background", *(str(value) for value in values[1:])],
            fixed=torch.tensor([NAMES.index(part) for part, *_ in pairs]),
            standardize=self.standardize,
            notes=changes.notes(),
        )

    def _pairs(self, changes: Changes) -> list[tuple[str, Path, Path]]:
        """Return split, image and mask of each pair, in sorted order."""
        return [
            (part, *pair)
            for part, root in split_folders(self.path, changes).items()
            for pair in pairs_in(root, changes)
        ]


def _usual_mark(values: NDArray[np.int64]) -> int | None:
    """Return 255 if it is no class, but marks pixels to ignore, as in Pascal VOC and Cityscapes.

    Example:
        >>> _usual_mark(np.array([0, 1, 2, 255])), _usual_mark(np.array([0, 255]))
        (255, None)
    """
    *others, last = values.tolist()
    consecutive = others == list(range(others[0], others[0] + len(others))) if others else False
    return 255 if last == 255 and consecutive and len(others) > 1 and others[0] < 2 else None


def read_masks(
    files: Sequence[Path], sizes: Sequence[tuple[int, int]], side: int, changes: Changes
) -> NDArray[np.int64]:
    """Read the values of masks, ``(n, side, side)``; a palette counts by its indices.

    Raises:
        ValueError: if a mask cannot be read, has several channels or frames, other values than
            whole numbers, or another size than its image, or if two palettes differ.
    """
    masks = np.empty((len(files), side, side), dtype=np.int64)
    colours: dict[int, tuple[bytes, Path]] = {}
    for place, (file, size) in enumerate(zip(files, sizes, strict=True)):
        with opened(file) as image:
            mask, frames = upright(image, file, changes), getattr(image, "n_frames", 1)
            values = np.asarray(mask.resize((side, side), Image.Resampling.NEAREST))
        _require_mask(mask, file, size, frames)
        if not np.array_equal(values, np.round(values)):  # also refuses NaN
            raise ValueError(f"{file} must hold whole numbers, one per class, got fractions or NaN")
        if mask.size != (side, side):
            changes.add(f"masks resized to {side} x {side} pixels, by nearest neighbours", file)
        masks[place] = values
        if mask.mode == "P":
            _require_same_colours(mask, file, np.unique(masks[place]).tolist(), colours)
    return masks


def _require_mask(mask: Image.Image, file: Path, size: tuple[int, int], frames: int) -> None:
    bands = len(mask.getbands())
    for what, count in (("channel", bands), ("frame", frames)):
        if count > 1:
            raise ValueError(f"{file} must have one {what}, got {count}")
    if mask.size != size:
        turned = ", rotated as its EXIF orientation says" if mask.size == size[::-1] else ""
        raise ValueError(
            f"{file} must have the size of its image, {size[0]} x {size[1]} pixels{turned}, "
            f"got {mask.size[0]} x {mask.size[1]}"
        )


def _require_same_colours(
    mask: Image.Image, file: Path, values: list[int], colours: dict[int, tuple[bytes, Path]]
) -> None:
    """Refuse a palette in which an index has another colour than in an earlier mask."""
    palette = bytes(mask.getpalette("RGB") or [])
    for value in values:
        colour = palette[3 * value : 3 * value + 3]
        known, other = colours.setdefault(value, (colour, file))
        if known != colour:
            raise ValueError(
                f"{file} must have the palette of {other}, but index {value} has the colour "
                f"{tuple(colour)} there and {tuple(known)} in the other: save masks with one "
                f"value per class"
            )


def pairs_in(root: Path, changes: Changes) -> list[tuple[Path, Path]]:
    """Return each image of ``root/images`` with its mask in ``root/masks``, in sorted order.

    Raises:
        FileNotFoundError: if a folder is missing or empty, an image has no mask, or a mask has no
            image.
        ValueError: if two files of a folder differ only in their suffix.
    """
    images, masks = (_by_stem(root / name, changes) for name in ("images", "masks"))
    for stem, file in images.items():
        if stem not in masks:
            raise FileNotFoundError(f"{file} must have a mask {stem}.* in {root / 'masks'}")
    for stem, file in masks.items():
        if stem not in images:
            raise FileNotFoundError(f"{file} must have an image {stem}.* in {root / 'images'}")
    return [(images[stem], masks[stem]) for stem in sorted(images)]


def _by_stem(folder: Path, changes: Changes) -> dict[str, Path]:
    """Return the images of a folder by their names without suffix."""
    entries = list(folder.iterdir()) if folder.is_dir() else []
    files: dict[str, Path] = {}
    for file in fitting_files(entries, folder, SUFFIXES, changes):
        if file.stem in files:
            raise ValueError(
                f"{folder} must hold one file per name, got {files[file.stem]} and {file}"
            )
        files[file.stem] = file
    for inner in visible_folders(folder) if entries else []:
        changes.add("folders in images or masks left out", inner)
    if not files:
        raise FileNotFoundError(
            f"path must have the subfolders 'images' and 'masks', found no images in "
            f"{folder.absolute()}"
        )
    return files
