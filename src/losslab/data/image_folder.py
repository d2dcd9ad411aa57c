"""Your own images, in one folder per class."""

import os
from collections.abc import Hashable
from pathlib import Path
from typing import Unpack

import torch
from torch import Tensor

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.content import digest
from losslab.data.files import Changes, PathList, files_below, fitting_files, visible_folders
from losslab.data.images import SUFFIXES, read_images, read_streamed_image, split_folders
from losslab.data.memory import Choice, InMemory
from losslab.data.scan import scan
from losslab.data.source import Sample, Source
from losslab.data.splits import NAMES
from losslab.data.streaming import StreamedInputs
from losslab.data.workers import number_of_workers


class ImageFolder(InMemoryData):
    """Images below ``path/<class>/``, resized to a common size.

    If ``path`` has a subfolder ``train``, the classes are read from ``path/train/<class>/`` and, if
    they exist, from ``path/val/<class>/`` and ``path/test/<class>/``; a missing split is drawn from
    train. Hidden files, files in hidden folders and files that are not images are left out. How
    files of other depths and colours are read says :func:`~losslab.data.images.read_images`.

    Args:
        path: path of the folder.
        image_size: side in pixels to which images are resized.
        grayscale: whether to use one channel instead of three.
        standardize: whether to standardize channels with the training split's means and standard
            deviations; otherwise values are from 0 to 1.
        in_memory: whether images are kept in memory; otherwise they are read again in each epoch.
            ``"auto"`` keeps them if they take at most an eighth of the machine's memory.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range or, in ``setup``, if an image cannot be read.
        FileNotFoundError: in ``prepare_data``, if there are no folders with images.
    """

    def __init__(
        self,
        path: str,
        *,
        image_size: int = 64,
        grayscale: bool = False,
        standardize: bool = True,
        in_memory: InMemory = True,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("image_size", image_size, 1)
        self.path = Path(path).expanduser()
        self.image_size = image_size
        self.grayscale = grayscale
        self.standardize = standardize
        checks.require_choice("in_memory", in_memory, (True, False, "auto"))
        self.in_memory = in_memory

    def prepare_data(self) -> None:
        """Raise ``FileNotFoundError`` if there are no images of at least two classes."""
        self._files(Changes())

    def load(self) -> Raw:
        """Read images ``(n, 1 or 3, image_size, image_size)``, or look at them, and classes."""
        changes = Changes()
        files = self._files(changes)
        names = sorted({name for _, name, _ in files})
        source = ImageFiles(
            PathList(file for *_, file in files), self.image_size, grayscale=self.grayscale
        )
        choice = self._choice(len(files))
        read = self._read if choice.in_memory else self._looked_at
        return Raw(
            read(source, changes),
            torch.tensor([names.index(name) for _, name, _ in files]),
            class_names=names,
            fixed=torch.tensor([NAMES.index(part) for part, _, _ in files]),
            standardize=self.standardize,
            notes=(*choice.notes, *changes.notes()),
        )

    def reads_again(self) -> bool:
        """Return whether images are read again in each epoch."""
        return not self._choice(len(self._files(Changes()))).in_memory

    def _choice(self, images: int) -> Choice:
        shape = (1 if self.grayscale else 3, self.image_size, self.image_size)
        return Choice(self.in_memory, images, shape)

    def _read(self, source: "ImageFiles", changes: Changes) -> Tensor:
        files = [source.paths[place] for place in range(len(source))]
        return read_images(files, self.image_size, grayscale=self.grayscale, changes=changes)[0]

    def _looked_at(self, source: "ImageFiles", changes: Changes) -> StreamedInputs:
        workers = number_of_workers(self.num_workers)
        content = scan(source, workers=workers, moments=self.standardize)
        changes.merge(content.changes)
        return StreamedInputs(source, content=content, workers=workers)

    def _files(self, changes: Changes) -> list[tuple[str, str, str]]:
        """Return split, class and path of each image, in sorted order."""
        if not self.path.is_dir():
            raise FileNotFoundError(
                f"path must be a folder with one folder per class, found none at "
                f"{self.path.absolute()}"
            )
        files = [
            (part, folder, file)
            for part, root in split_folders(self.path, changes).items()
            for folder, file in by_class(root, changes)
        ]
        classes = sorted({name for _, name, _ in files})
        if len(classes) < 2:
            raise FileNotFoundError(
                f"path must hold at least 2 folders with images, one per class, found "
                f"{', '.join(classes) or 'none'} in {self.path.absolute()}"
            )
        return files


class ImageFiles(Source):
    """Images that are read from their files.

    A file is identified by the hash of its bytes, which is the same on all machines.

    Args:
        paths: the files.
        side: side in pixels to which images are resized.
        grayscale: whether to use one channel instead of three.
    """

    of_files = True

    def __init__(self, paths: PathList, side: int, *, grayscale: bool) -> None:
        self.paths, self.side, self.grayscale = paths, side, grayscale

    def shape(self) -> tuple[int, ...]:
        """Return the shape of an input."""
        return (1 if self.grayscale else 3, self.side, self.side)

    def __len__(self) -> int:
        return len(self.paths)

    def label(self, index: int) -> str:
        """Return the path of a file."""
        return self.paths.name(index)

    def read(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Read an image."""
        return self._image(index, Changes()), None

    def look(self, index: int, changes: Changes, *, decode: bool) -> Sample:
        """Find the hash of a file and, if it is decoded, what reading it changes."""
        image = self._image(index, changes) if decode else None
        return Sample(digest(self.paths[index].read_bytes()), image)

    def key(self) -> Hashable:
        """Return the state of the files, and how they are read."""
        return ("images", self.side, self.grayscale, self.paths.state())

    def _image(self, index: int, changes: Changes) -> Tensor:
        file, side = self.paths[index], self.side
        read = read_streamed_image(file, side, grayscale=self.grayscale, changes=changes)
        return read.pixels


def by_class(root: Path, changes: Changes) -> list[tuple[str, str]]:
    """Return class and path of each image, in sorted order, and count what is left out."""
    found = []
    above = "" if root == Path() else f"{root}{os.sep}"
    for file in fitting_files(files_below(root), root, SUFFIXES, changes):
        name, *inner = file.split(os.sep, 1)
        if inner:
            found.append((name, above + file))
        else:
            changes.add("images outside of class folders left out", root / file)
    known = {name for name, _ in found}
    for folder in visible_folders(root):
        if folder.name not in known:
            changes.add("folders without images left out", folder)
    return found
