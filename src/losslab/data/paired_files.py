"""Images and masks that are read from their files one by one."""

import copy
from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losslab.data.content import digest
from losslab.data.files import Changes, PathList
from losslab.data.images import ReadImage, read_streamed_image
from losslab.data.masks import read_mask
from losslab.data.raw import IGNORED
from losslab.data.source import Sample, Source


class LookedAt(NamedTuple):
    """What a look at an image and its mask finds.

    Attributes:
        values: the different values of the mask.
        counts: number of pixels of each.
        colours: values of a palette with their colours, red, green and blue.
    """

    values: list[int]
    counts: list[int]
    colours: list[tuple[int, list[int]]]


class PairedFiles(Source):
    """Images and masks that are read from their files.

    They are identified by hashes of the bytes of both files, the same on all machines.

    Args:
        images: files of the images.
        masks: files of their masks.
        side: side in pixels to which they are resized.
        grayscale: whether images have one channel instead of three.
    """

    of_files = True

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
        return self.images.name(index)

    def read(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Read an image and its mask of class indices."""
        changes = Changes()
        image = self._image(index, changes)
        grey, _ = read_mask(self.masks[index], image.size, self.side, changes)
        classes = np.where(grey == self._ignore, IGNORED, np.searchsorted(self._values, grey))
        return image.pixels, torch.from_numpy(classes)

    def look(self, index: int, changes: Changes, *, decode: bool) -> Sample:
        """Read an image and its mask, and find hashes, values and what reading changes."""
        image = self._image(index, changes)
        grey, colours = read_mask(self.masks[index], image.size, self.side, changes)
        values, counts = np.unique(grey, return_counts=True)
        files = (paths[index].read_bytes() for paths in (self.images, self.masks))
        of_palette = [(value, list(colour)) for value, colour in colours.items()]
        found = LookedAt(values.tolist(), counts.tolist(), of_palette)
        return Sample(digest(*files), image.pixels if decode else None, found)

    def key(self) -> Hashable:
        """Return the state of the files, and how they are read."""
        return ("masks", self.side, self.grayscale, self.images.state(), self.masks.state())

    def _image(self, index: int, changes: Changes) -> ReadImage:
        return read_streamed_image(
            self.images[index], self.side, grayscale=self.grayscale, changes=changes
        )
