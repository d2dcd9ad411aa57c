"""One's own images, sorted into one folder a class."""

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
    """Images below ``path/<class>/``, read into memory at one size.

    Where ``path`` holds a folder ``train``, the classes lie in ``path/train/<class>/`` and, as they
    are there, ``path/val/<class>/`` and ``path/test/<class>/``; what is not there is drawn from
    train. Hidden files and files of other kinds than images are passed over.

    Args:
        path: the folder.
        image_size: the side in pixels to which each image is scaled.
        grayscale: one channel instead of three.
        standardize: whether channels get mean 0 and standard deviation 1, by the training split's
            figures; otherwise they are from 0 to 1.
        options: those of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range, or by ``setup`` if an image cannot be read.
        FileNotFoundError: by ``prepare_data``, if there is no folder with classes of images.
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
        """Make sure that there are images of at least two classes."""
        self._files()

    def load(self) -> Raw:
        """Images ``(n, 1 or 3, image_size, image_size)``."""
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
        """Split, class and path of each image, in sorted order."""
        if not self.path.is_dir():
            raise FileNotFoundError(
                f"path must be a folder with one folder a class, found none at "
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
                f"path must hold at least 2 folders with images, one a class, found "
                f"{', '.join(classes) or 'none'} in {self.path.absolute()}"
            )
        return files

    def _image(self, file: Path) -> Tensor:
        with opened(file) as image:
            return pixels(image, self.image_size, grayscale=self.grayscale)


def split_folders(path: Path) -> dict[str, Path]:
    """The folder of each split that has one; without ``train``, ``path`` is to be divided."""
    if not (path / "train").is_dir():
        return {"train": path}
    return {name: path / name for name in NAMES if (path / name).is_dir()}


def is_image(file: Path) -> bool:
    """Whether the name is that of an image, and not of a hidden file."""
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def pixels(image: Image.Image, size: int, *, grayscale: bool) -> Tensor:
    """An image scaled to a square, as bytes ``(1 or 3, size, size)``."""
    scaled = image.convert("L" if grayscale else "RGB").resize((size, size))
    return torch.from_numpy(np.array(scaled)).reshape(size, size, -1).permute(2, 0, 1)


@contextmanager
def opened(file: Path) -> Iterator[Image.Image]:
    """An image, whose errors say which file it was.

    Raises:
        ValueError: if it cannot be read; an image is read when its pixels are asked for.
    """
    try:
        with Image.open(file) as image:
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{file} must be an image that can be read, got: {reason}") from error
