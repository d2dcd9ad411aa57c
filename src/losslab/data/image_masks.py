"""Your own images with masks, in the folders ``images`` and ``masks``."""

from pathlib import Path
from typing import Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.files import Changes, PathList, files_in, fitting_files, visible_folders
from losslab.data.images import SUFFIXES, read_images, split_folders
from losslab.data.masks import Colours, read_masks, require_same_colours
from losslab.data.memory import Choice, InMemory
from losslab.data.paired_files import LookedAt, PairedFiles
from losslab.data.raw import IGNORED
from losslab.data.scan import scan
from losslab.data.splits import NAMES
from losslab.data.streaming import StreamedInputs
from losslab.data.workers import number_of_workers

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
        choice = self._choice(len(pairs))
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

    def reads_again(self) -> bool:
        """Return whether images and masks are read again in each epoch."""
        return not self._choice(len(self._pairs(Changes()))).in_memory

    def _choice(self, images: int) -> Choice:
        shape = (1 if self.grayscale else 3, self.image_size, self.image_size)
        return Choice(self.in_memory, images, shape)

    def _read(
        self, files: PairedFiles, changes: Changes
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
        self, files: PairedFiles, changes: Changes
    ) -> tuple[StreamedInputs, Tensor, NDArray[np.int64]]:
        """Return what reads images and masks, pixels per class, and the value of each class."""
        workers = number_of_workers(self.num_workers)
        content = scan(files, workers=workers, moments=self.standardize)
        changes.merge(content.changes)
        colours: Colours = {}
        known: set[int] = set()
        masks = [LookedAt(*each) for each in content.found]
        for place, mask in enumerate(masks):
            require_same_colours(mask.colours, files.masks[place], colours)
            known.update(mask.values)
        values, ignore = self._classes(np.array(sorted(known)))
        counts = torch.zeros(len(files), len(values) + 1, dtype=torch.int64)
        column = {value: place for place, value in enumerate(values.tolist())}
        for place, mask in enumerate(masks):
            columns = [column.get(value, -1) for value in mask.values]
            counts[place, columns] = torch.tensor(mask.counts)
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
    names = files_in(folder)
    files: dict[str, Path] = {}
    for file in (folder / name for name in fitting_files(names, folder, SUFFIXES, changes)):
        if file.stem in files:
            raise ValueError(
                f"{folder} must hold one file per name, got {files[file.stem]} and {file}"
            )
        files[file.stem] = file
    for inner in visible_folders(folder) if folder.is_dir() else []:
        changes.add("folders in images or masks left out", inner)
    if not files:
        raise FileNotFoundError(
            f"path must have the subfolders 'images' and 'masks', found no images in "
            f"{folder.absolute()}"
        )
    return files
