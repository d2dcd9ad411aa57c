"""Your own images, in one folder per class."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.splits import NAMES

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


class ImageFolder(InMemoryData):
    """Images below ``path/<class>/``, read into memory and resized to a common size.

    If ``path`` has a subfolder ``train``, the classes are read from ``path/train/<class>/`` and, if
    they exist, from ``path/val/<class>/`` and ``path/test/<class>/``; a missing split is drawn from
    train. Hidden files and files that are not images are ignored.

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
        self._files()

    def load(self) -> Raw:
        """Read images ``(n, 1 or 3, image_size, image_size)`` and their classes."""
        files = self._files()
        names = sorted({name for _, name, _ in files})
        images = torch.stack([self._image(file) for *_, file in files])
        labels = torch.tensor([names.index(name) for _, name, _ in files])
        fixed = torch.tensor([NAMES.index(part) for part, _, _ in files])
        return Raw(
            images.float().div_(255),
            labels,
            class_names=names,
            fixed=fixed,
            standardize=self.standardize,
        )

    def _files(self) -> list[tuple[str, str, Path]]:
        """Return split, class and path of each image, in sorted order."""
        if not self.path.is_dir():
            raise FileNotFoundError(
                f"path must be a folder with one folder per class, found none at "
                f"{self.path.absolute()}"
            )
        files = [
            (part, folder.name, file)
            for part, root in split_folders(self.path).items()
            for folder in sorted(root.iterdir())
            if folder.is_dir() and not folder.name.startswith(".")
            for file in sorted(folder.rglob("*"))
            if is_image(file)
        ]
        classes = sorted({name for _, name, _ in files})
        if len(classes) < 2:
            raise FileNotFoundError(
                f"path must hold at least 2 folders with images, one per class, found "
                f"{', '.join(classes) or 'none'} in {self.path.absolute()}"
            )
        return files

    def _image(self, file: Path) -> Tensor:
        with opened(file) as image:
            return pixels(image, self.image_size, grayscale=self.grayscale)


def split_folders(path: Path) -> dict[str, Path]:
    """Return the folder of each split; without a folder ``train``, ``path`` is the train folder."""
    if not (path / "train").is_dir():
        return {"train": path}
    return {name: path / name for name in NAMES if (path / name).is_dir()}


def is_image(file: Path) -> bool:
    """Return whether the file name is that of an image, and not hidden."""
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def pixels(image: Image.Image, size: int, *, grayscale: bool) -> Tensor:
    """Resize an image to a square of bytes ``(1 or 3, size, size)``."""
    scaled = image.convert("L" if grayscale else "RGB").resize((size, size))
    return torch.from_numpy(np.array(scaled)).reshape(size, size, -1).permute(2, 0, 1)


@contextmanager
def opened(file: Path) -> Iterator[Image.Image]:
    """Open an image and raise errors that name the file.

    Raises:
        ValueError: if it cannot be read, also later, when its pixels are decoded.
    """
    try:
        with Image.open(file) as image:
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{file} must be a readable image, got: {reason}") from error
