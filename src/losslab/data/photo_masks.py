"""Oxford-IIIT Pet and Pascal VOC: photographs with a class per pixel, downloaded once."""

from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import datasets

from losslab.data import checks
from losslab.data.base import Options, Raw
from losslab.data.downloads import Downloaded, train_then_test
from losslab.data.files import Changes
from losslab.data.images import read_images
from losslab.data.masks import read_masks
from losslab.data.raw import IGNORED


def _class_of(classes: dict[int, int]) -> NDArray[np.int64]:
    """Return the class of each value of a mask; those without one are ignored."""
    numbers = np.full(256, IGNORED, dtype=np.int64)
    numbers[list(classes)] = list(classes.values())
    return numbers


class PhotoMasks(Downloaded):
    """Base class of the sets: photographs and masks, resized to a common size.

    Args:
        data_dir: folder that contains the files.
        download: whether to download missing files.
        image_size: side in pixels to which images and masks are resized.
        standardize: whether to standardize channels with the training split's means and standard
            deviations; otherwise values are from 0 to 1.
        options: options of :class:`~losslab.data.base.InMemoryData`.
    """

    without_files = "data=segmentation"
    names: ClassVar[list[str]]
    class_of: ClassVar[NDArray[np.int64]]
    """Class of each of the 256 values of a mask."""

    def __init__(
        self,
        *,
        data_dir: str = "data",
        download: bool = True,
        image_size: int = 64,
        standardize: bool = True,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(data_dir=data_dir, download=download, **options)
        checks.require_whole("image_size", image_size, 4)
        self.image_size = image_size
        self.standardize = standardize

    def pair(self, name: str) -> tuple[str, str]:
        """Return image and mask of a name."""
        raise NotImplementedError(f"{type(self).__name__} must implement pair(name)")

    def load(self) -> Raw:
        """Read images ``(n, 3, size, size)`` and masks ``(n, size, size)``."""
        folder = Path(self.require_files()) / self.place
        training, test = ([*map(self.pair, _first_words(folder / file))] for file in self.files)
        images, grey, notes = _read(folder, (*training, *test), self.image_size)
        return Raw(
            images,
            torch.from_numpy(self.class_of[grey]),
            target_kind="masks",
            class_names=self.names,
            fixed=train_then_test(len(training), len(test)),
            standardize=self.standardize,
            notes=notes,
        )


class OxfordPets(PhotoMasks):
    """Oxford-IIIT Pet: 7,349 photographs of cats and dogs, and which pixels are the animal.

    The border between animal and background is ignored.

    Its folder in ``data_dir`` is ``oxford-iiit-pet``; for the arguments see :class:`PhotoMasks`.

    Source:
        Parkhi et al., "Cats and Dogs", 2012.
    """

    full_name = "Oxford-IIIT Pet"
    place = "oxford-iiit-pet"
    files = ("annotations/trainval.txt", "annotations/test.txt")
    names: ClassVar[list[str]] = ["background", "pet"]
    class_of = _class_of({1: 1, 2: 0})

    def fetch(self, data_dir: str) -> None:
        """Download the files to a folder."""
        datasets.OxfordIIITPet(data_dir, target_types="segmentation", download=True)

    def pair(self, name: str) -> tuple[str, str]:
        """Return image and mask of a name."""
        return f"images/{name}.jpg", f"annotations/trimaps/{name}.png"


class VOCSegmentation(PhotoMasks):
    """Pascal VOC 2012: 2,913 photographs with 20 kinds of objects and the background.

    Its validation images are the test split, since those of its test split have no public masks;
    validation is a sample of its training images. Borders, of value 255, are ignored.

    Its folder in ``data_dir`` is ``VOCdevkit``; for the arguments see :class:`PhotoMasks`.

    Source:
        Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", 2010.
    """

    full_name = "Pascal VOC 2012"
    place = "VOCdevkit/VOC2012"
    files = ("ImageSets/Segmentation/train.txt", "ImageSets/Segmentation/val.txt")
    names: ClassVar[list[str]] = [
        *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
        *("chair", "cow", "dining table", "dog", "horse", "motorbike", "person", "potted plant"),
        *("sheep", "sofa", "train", "tv monitor"),
    ]
    class_of = _class_of({value: value for value in range(21)})

    def fetch(self, data_dir: str) -> None:
        """Download the files to a folder."""
        datasets.VOCSegmentation(data_dir, year="2012", image_set="train", download=True)

    def pair(self, name: str) -> tuple[str, str]:
        """Return image and mask of a name."""
        return f"JPEGImages/{name}.jpg", f"SegmentationClass/{name}.png"


def _first_words(file: Path) -> list[str]:
    """Return the first word of each line that is not a comment."""
    lines = [line.split() for line in file.read_text().splitlines()]
    return [words[0] for words in lines if words and not words[0].startswith("#")]


@lru_cache(maxsize=1)  # read once per process, for all jobs of a sweep
def _read(
    folder: Path, pairs: tuple[tuple[str, str], ...], side: int
) -> tuple[Tensor, NDArray[np.int64], tuple[str, ...]]:
    """Read images, the values of masks, and what reading changed."""
    changes = Changes()
    images, masks = ([folder / name for name in names] for names in zip(*pairs, strict=True))
    pixels, sizes = read_images(images, side, grayscale=False, changes=changes)
    return pixels, read_masks(masks, sizes, side, changes), changes.notes()
