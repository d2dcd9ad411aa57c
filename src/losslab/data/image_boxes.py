"""Base class of your own images with boxes, whatever format their annotations have."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Unpack, get_args

import torch
from torch import Tensor

from losslab.data import checks
from losslab.data.annotations import Annotated, KeepBoxes, box_targets
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.content import digest
from losslab.data.files import Changes, PathList
from losslab.data.image_folder import ImageFiles
from losslab.data.images import read_images, read_streamed_image
from losslab.data.memory import Choice, InMemory
from losslab.data.scan import scan
from losslab.data.source import Sample
from losslab.data.splits import NAMES
from losslab.data.streaming import StreamedInputs
from losslab.data.workers import number_of_workers

SPLITS = {"train": "train", "valid": "val", "val": "val", "validation": "val", "test": "test"}
"""Splits by their names in those of files and folders."""
Sizes = list[tuple[int, int]]
"""Width and height of each upright image."""


class BoxOptions(Options, total=False):
    """Options of every data set of images with boxes; see :class:`ImageBoxes`."""

    image_size: int
    grayscale: bool
    standardize: bool
    keep_boxes: KeepBoxes
    in_memory: InMemory


class ImageBoxes(InMemoryData):
    """Images with boxes, resized to squares; subclasses implement :meth:`annotated`.

    Boxes are resized with their images, clipped to them, and left out if they have no area; their
    numbers are in :attr:`notes`. Classes without boxes are left out.

    Args:
        path: path of the data set.
        image_size: side in pixels to which images are resized.
        grayscale: whether to use one channel instead of three.
        standardize: whether to standardize channels with the training split's means and standard
            deviations; otherwise values are from 0 to 1.
        keep_boxes: ``"all"``, or ``"largest"`` for the largest box of each image, without images
            that have none.
        in_memory: whether images are kept in memory; otherwise they are read again in each epoch.
            ``"auto"`` keeps them if they take at most an eighth of the machine's memory.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range or, in ``setup``, if annotations or images are
            invalid or do not belong together.
        FileNotFoundError: in ``prepare_data``, if annotations or images are missing.
    """

    def __init__(
        self,
        path: str,
        *,
        image_size: int = 64,
        grayscale: bool = False,
        standardize: bool = True,
        keep_boxes: KeepBoxes = "all",
        in_memory: InMemory = True,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("image_size", image_size, 4)
        checks.require_choice("keep_boxes", keep_boxes, get_args(KeepBoxes))
        checks.require_choice("in_memory", in_memory, (True, False, "auto"))
        self.path = Path(path).expanduser()
        self.image_size = image_size
        self.grayscale = grayscale
        self.standardize = standardize
        self.keep_boxes = keep_boxes
        self.in_memory = in_memory

    def annotated(self, changes: Changes) -> tuple[list[Annotated], Mapping[Hashable, str]]:
        """Return the images with their boxes, and the names of the classes, in order."""
        raise NotImplementedError(f"{type(self).__name__} must implement annotated(changes)")

    def prepare_data(self) -> None:
        """Raise ``FileNotFoundError`` if annotations or images are missing."""
        self.annotated(Changes())

    def load(self) -> Raw:
        """Read images ``(n, 1 or 3, size, size)``, or look at them, and boxes."""
        changes = Changes()
        images, names = self.annotated(changes)
        files = SizedFiles(
            PathList(each.image for each in images), self.image_size, grayscale=self.grayscale
        )
        choice = self._choice(len(images))
        inputs, sizes = (self._read if choice.in_memory else self._looked_at)(files, changes)
        targets = box_targets(images, names, sizes, self.image_size, self.keep_boxes, changes)
        fixed = torch.tensor([NAMES.index(each.split) for each in images])
        return Raw(
            inputs.index_select(0, targets.kept) if len(targets.kept) < len(images) else inputs,
            targets.boxes,
            target_kind="boxes",
            class_names=targets.class_names,
            fixed=fixed[targets.kept],
            standardize=self.standardize,
            notes=(*choice.notes, *changes.notes()),
        )

    def reads_again(self) -> bool:
        """Return whether images are read again in each epoch."""
        return not self._choice(self.number_of_images()).in_memory

    def number_of_images(self) -> int:
        """Return the number of images that are read."""
        return len(self.annotated(Changes())[0])

    def _choice(self, images: int) -> Choice:
        shape = (1 if self.grayscale else 3, self.image_size, self.image_size)
        return Choice(self.in_memory, images, shape)

    def _read(self, source: "SizedFiles", changes: Changes) -> tuple[Tensor, Sizes]:
        files = [source.paths[place] for place in range(len(source))]
        return read_images(files, self.image_size, grayscale=self.grayscale, changes=changes)

    def _looked_at(self, source: "SizedFiles", changes: Changes) -> tuple[StreamedInputs, Sizes]:
        workers = number_of_workers(self.num_workers)
        content = scan(source, workers=workers, moments=self.standardize)
        changes.merge(content.changes)
        sizes = [(width, height) for width, height in content.found]
        return StreamedInputs(source, content=content, workers=workers), sizes


class SizedFiles(ImageFiles):
    """Images that are read from their files; a look at one finds its size, too."""

    def look(self, index: int, changes: Changes, *, decode: bool) -> Sample:
        """Read an image, and find the hash of its file, its size and what reading it changes."""
        file = self.paths[index]
        image = read_streamed_image(file, self.side, grayscale=self.grayscale, changes=changes)
        pixels = image.pixels if decode else None
        return Sample(digest(file.read_bytes()), pixels, list(image.size))

    def key(self) -> Hashable:
        """Return the state of the files, and how they are read."""
        return ("sizes", super().key())
