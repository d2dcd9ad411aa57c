"""Your own images, in one folder per class."""

from pathlib import Path
from typing import Unpack

import torch

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.files import Changes, files_below, fitting_files, visible_folders
from losslab.data.images import SUFFIXES, read_images, split_folders
from losslab.data.splits import NAMES


class ImageFolder(InMemoryData):
    """Images below ``path/<class>/``, read into memory and resized to a common size.

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
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("image_size", image_size, 1)
        self.path = Path(path).expanduser()
        self.image_size = image_size
        self.grayscale = grayscale
        self.standardize = standardize

    def prepare_data(self) -> None:
        """Raise ``FileNotFoundError`` if there are no images of at least two classes."""
        self._files(Changes())

    def load(self) -> Raw:
        """Read images ``(n, 1 or 3, image_size, image_size)`` and their classes."""
        changes = Changes()
        files = self._files(changes)
        names = sorted({name for _, name, _ in files})
        images, _ = read_images(
            [file for *_, file in files],
            self.image_size,
            grayscale=self.grayscale,
            changes=changes,
        )
        labels = torch.tensor([names.index(name) for _, name, _ in files])
        fixed = torch.tensor([NAMES.index(part) for part, _, _ in files])
        return Raw(
            images,
            labels,
            class_names=names,
            fixed=fixed,
            standardize=self.standardize,
            notes=changes.notes(),
        )

    def _files(self, changes: Changes) -> list[tuple[str, str, Path]]:
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


def by_class(root: Path, changes: Changes) -> list[tuple[str, Path]]:
    """Return class and path of each image, in sorted order, and count what is left out."""
    found = []
    for file in fitting_files(files_below(root), root, SUFFIXES, changes):
        name, *inner = file.relative_to(root).parts
        if inner:
            found.append((name, file))
        else:
            changes.add("images outside of class folders left out", file)
    known = {name for name, _ in found}
    for folder in visible_folders(root):
        if folder.name not in known:
            changes.add("folders without images left out", folder)
    return found
