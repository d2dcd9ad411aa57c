"""Your own images with masks, in the folders ``images`` and ``masks``."""

import copy
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.content import digest, scan
from losslab.data.files import Changes, PathList, fitting_files, visible_folders
from losslab.data.images import (
    SUFFIXES,
    ReadImage,
    opened,
    read_images,
    read_streamed_image,
    split_folders,
    upright,
)
from losslab.data.memory import Choice, InMemory
from losslab.data.raw import IGNORED
from losslab.data.source import Sample, Source
from losslab.data.splits import NAMES
from losslab.data.streaming import StreamedInputs
from losslab.data.workers import number_of_workers

MOST_CLASSES = 64
"""Maximum number of grey values; more indicate a photograph or a mask saved as JPEG."""
Colours = dict[int, tuple[bytes, Path]]
"""Colour of each index of a palette, and a mask that uses it."""


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
        in_memory: whether images and masks are kept in memory; otherwise they are read again in
            each epoch. ``"auto"`` keeps them if they take at most an eighth of the memory.
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
        in_memory: InMemory = True,
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
        checks.require_choice("in_memory", in_memory, (True, False, "auto"))
        self.in_memory = in_memory

    def prepare_data(self) -> None:
        """Raise ``FileNotFoundError`` if an image has no mask, or a mask no image."""
        self._pairs(Changes())

    def load(self) -> Raw:
        """Read images ``(n, 1 or 3, size, size)`` and masks, or only look at them."""
        changes = Changes()
        pairs = self._pairs(changes)
        files = PairedFiles(
            PathList(image for _, image, _ in pairs),
            PathList(mask for *_, mask in pairs),
            self.image_size,
            grayscale=self.grayscale,
        )
        choice = Choice(self.in_memory, len(pairs), files.shape())
        read = self._read if choice.in_memory else self._looked_at
        images, targets, values = read(files, changes)
        return Raw(
            images,
            targets,
            target_kind="masks",
            class_names=["background", *(str(value) for value in values[1:])],
            fixed=torch.tensor([NAMES.index(part) for part, *_ in pairs]),
            standardize=self.standardize,
            notes=(*choice.notes, *changes.notes()),
        )

    def _read(
        self, files: "PairedFiles", changes: Changes
    ) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
        """Return images, masks of class indices, and the value of each class."""
        images, masks = (
            [paths[place] for place in range(len(files))] for paths in (files.images, files.masks)
        )
        pixels, sizes = read_images(
            images, self.image_size, grayscale=self.grayscale, changes=changes
        )
        grey = read_masks(masks, sizes, self.image_size, changes)
        values, ignore = self._classes(np.unique(grey))
        left_out = grey == ignore
        for file, number in zip(masks, left_out.sum(axis=(1, 2)).tolist(), strict=True):
            if number:
                changes.add(f"pixels of value {ignore} ignored", file, number)
        classes = np.where(left_out, IGNORED, np.searchsorted(values, grey))
        return pixels, torch.from_numpy(classes), values

    def _looked_at(
        self, files: "PairedFiles", changes: Changes
    ) -> tuple[StreamedInputs, Tensor, NDArray[np.int64]]:
        """Return what reads images and masks, pixels per class, and the value of each class."""
        workers = number_of_workers(self.num_workers)
        content = scan(files, workers=workers, moments=self.standardize)
        colours: Colours = {}
        for place, found in enumerate(content.found):
            changes.merge(found.changes)
            require_same_colours(found.colours, files.masks[place], colours)
        values, ignore = self._classes(
            np.unique(np.concatenate([found.values for found in content.found]))
        )
        counts = torch.zeros(len(files), len(values) + 1, dtype=torch.int64)
        for place, found in enumerate(content.found):
            column = np.where(found.values == ignore, -1, np.searchsorted(values, found.values))
            counts[place, torch.from_numpy(column)] = torch.from_numpy(found.counts)
            if ignored := int(counts[place, -1]):
                changes.add(f"pixels of value {ignore} ignored", files.masks[place], ignored)
        inputs = StreamedInputs(
            files.numbered(values, ignore), workers=workers, content=content, masks=True
        )
        return inputs, counts, values

    def _classes(self, known: NDArray[np.int64]) -> tuple[NDArray[np.int64], int | None]:
        """Return the values that are classes, and the one that is ignored."""
        ignore = _usual_mark(known) if self.ignore == "auto" else self.ignore
        values = known[known != ignore]
        if not 2 <= len(values) <= MOST_CLASSES:
            raise ValueError(
                f"the masks in {self.path} must hold 2 to {MOST_CLASSES} different values, one "
                f"per class, got {len(values)}"
            )
        return values, ignore

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


class LookedAt(NamedTuple):
    """What a look at an image and its mask finds.

    Attributes:
        changes: what reading them changed.
        values: the different values of the mask.
        counts: number of pixels of each.
        colours: colour of each value of a palette.
    """

    changes: Changes
    values: NDArray[np.int64]
    counts: NDArray[np.int64]
    colours: dict[int, bytes]


class PairedFiles(Source):
    """Images and masks that are read from their files.

    They are identified by hashes of the bytes of both files, the same on all machines.

    Args:
        images: files of the images.
        masks: files of their masks.
        side: side in pixels to which they are resized.
        grayscale: whether images have one channel instead of three.
    """

    def __init__(self, images: PathList, masks: PathList, side: int, *, grayscale: bool) -> None:
        self.images, self.masks = images, masks
        self.side, self.grayscale = side, grayscale
        self._values: NDArray[np.int64] = np.arange(0)
        self._ignore: int | None = None

    def numbered(self, values: NDArray[np.int64], ignore: int | None) -> "PairedFiles":
        """Return the same files, of whose masks the values are those of the classes."""
        other = copy.copy(self)
        other._values, other._ignore = values, ignore
        return other

    def shape(self) -> tuple[int, ...]:
        """Return the shape of an input."""
        return (1 if self.grayscale else 3, self.side, self.side)

    def __len__(self) -> int:
        return len(self.images)

    def label(self, index: int) -> str:
        """Return the path of an image."""
        return str(self.images[index])

    def read(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Read an image and its mask of class indices."""
        changes = Changes()
        image = self._image(index, changes)
        grey, _ = read_mask(self.masks[index], image.size, self.side, changes)
        classes = np.where(grey == self._ignore, IGNORED, np.searchsorted(self._values, grey))
        return image.pixels, torch.from_numpy(classes)

    def look(self, index: int, *, decode: bool) -> Sample:
        """Read an image and its mask, and find hashes, values and what reading changed."""
        changes = Changes()
        image = self._image(index, changes)
        grey, colours = read_mask(self.masks[index], image.size, self.side, changes)
        values, counts = np.unique(grey, return_counts=True)
        files = (paths[index].read_bytes() for paths in (self.images, self.masks))
        found = LookedAt(changes, values, counts, colours)
        return Sample(digest(*files), image.pixels if decode else None, found)

    def key(self) -> Hashable:
        """Return sizes and times of the files, and how they are read."""
        return (self.side, self.grayscale, self.images.state(), self.masks.state())

    def _image(self, index: int, changes: Changes) -> ReadImage:
        return read_streamed_image(
            self.images[index], self.side, grayscale=self.grayscale, changes=changes
        )


def read_masks(
    files: Sequence[Path], sizes: Sequence[tuple[int, int]], side: int, changes: Changes
) -> NDArray[np.int64]:
    """Read the values of masks, ``(n, side, side)``; a palette counts by its indices.

    Raises:
        ValueError: if a mask cannot be read, has several channels or frames, other values than
            whole numbers, or another size than its image, or if two palettes differ.
    """
    masks = np.empty((len(files), side, side), dtype=np.int64)
    known: Colours = {}
    for place, (file, size) in enumerate(zip(files, sizes, strict=True)):
        masks[place], colours = read_mask(file, size, side, changes)
        require_same_colours(colours, file, known)
    return masks


def read_mask(
    file: Path, size: tuple[int, int], side: int, changes: Changes
) -> tuple[NDArray[np.int64], dict[int, bytes]]:
    """Read the values of one mask, and their colours in a palette; see :func:`read_masks`."""
    with opened(file) as image:
        mask, frames = upright(image, file, changes), getattr(image, "n_frames", 1)
        values = np.asarray(mask.resize((side, side), Image.Resampling.NEAREST))
    _require_mask(mask, file, size, frames)
    if not np.array_equal(values, np.round(values)):  # also refuses NaN
        raise ValueError(f"{file} must hold whole numbers, one per class, got fractions or NaN")
    if mask.size != (side, side):
        changes.add(f"masks resized to {side} x {side} pixels, by nearest neighbours", file)
    values = values.astype(np.int64)
    palette = bytes(mask.getpalette("RGB") or []) if mask.mode == "P" else b""
    used = np.unique(values).tolist() if palette else []
    return values, {value: palette[3 * value : 3 * value + 3] for value in used}


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


def require_same_colours(colours: Mapping[int, bytes], file: Path, known: Colours) -> None:
    """Refuse a palette in which an index has another colour than in an earlier mask.

    Args:
        colours: the colour of each index that a mask uses.
        file: the mask.
        known: colours of earlier masks, to which these are added.
    """
    for value, colour in colours.items():
        before, other = known.setdefault(value, (colour, file))
        if before != colour:
            raise ValueError(
                f"{file} must have the palette of {other}, but index {value} has the colour "
                f"{tuple(colour)} there and {tuple(before)} in the other: save masks with one "
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
