"""torchvision's MNIST, from files that are there or downloaded once."""

from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Unpack

import torch
from torch import Tensor
from torchvision import datasets

from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.splits import TEST, TRAIN

MEAN, SD = 0.1307, 0.3081  # of MNIST's 60,000 training images


class MNIST(InMemoryData):
    """MNIST's handwritten digits, 28 x 28 pixels, with its own test split.

    Validation is drawn from the training files, stratified: ``val_fraction`` is a share of these,
    and ``test_fraction`` is not read.

    Args:
        data_dir: the folder that holds ``MNIST/raw``.
        download: whether to download what is not there.
        options: those of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        FileNotFoundError: by ``prepare_data``, if files are missing and cannot be downloaded.
        ValueError: by ``setup``, if a file is broken.

    Source:
        LeCun, Cortes, Burges, "The MNIST database of handwritten digits", 1998.
    """

    own_test: ClassVar[bool] = True

    def __init__(
        self, *, data_dir: str = "data", download: bool = True, **options: Unpack[Options]
    ) -> None:
        super().__init__(**({"val_fraction": 1 / 6} | options))
        self.data_dir = Path(data_dir).expanduser()
        self.download = download

    def prepare_data(self) -> None:
        """Make sure that the files are there."""
        if self._complete():
            return
        if not self.download:
            raise self._missing("download=true fetches them")
        try:
            datasets.MNIST(str(self.data_dir), download=True)
        except (RuntimeError, OSError) as error:
            raise self._missing("they could not be downloaded") from error

    def load(self) -> Raw:
        """Grey values scaled by constants, so that MNIST's training pixels have mean 0 and SD 1."""
        if not self._complete():
            raise self._missing("prepare_data() fetches them")
        images, labels, fixed = _read(str(self.data_dir.resolve()))
        inputs = images.float().div_(255).sub_(MEAN).div_(SD)
        names = [str(digit) for digit in range(10)]
        return Raw(inputs, labels, class_names=names, fixed=fixed)

    def _complete(self) -> bool:
        """Whether the four files are there, unpacked."""
        names = (Path(url).stem for url, _ in datasets.MNIST.resources)
        return all((self._folder / name).is_file() for name in names)

    @property
    def _folder(self) -> Path:
        return self.data_dir / "MNIST" / "raw"

    def _missing(self, why: str) -> FileNotFoundError:
        return FileNotFoundError(
            f"the MNIST files are not in {self._folder.absolute()}, and {why}: set paths.data_dir "
            "to the folder that holds MNIST/raw, or take data=digits, which needs no files"
        )


@lru_cache(maxsize=1)  # the cells of a sweep share one read
def _read(data_dir: str) -> tuple[Tensor, Tensor, Tensor]:
    """Images ``(n, 1, 28, 28)`` as bytes, labels, and whether each is training or test."""
    try:
        parts = [datasets.MNIST(data_dir, train=train) for train in (True, False)]
    except (ValueError, RuntimeError, AssertionError, OSError) as error:
        raise ValueError(
            f"the files in {Path(data_dir) / 'MNIST' / 'raw'} must be MNIST's, unpacked, "
            f"got broken ones ({' '.join(str(error).split())}): remove them to download them again"
        ) from error
    images = torch.cat([part.data for part in parts]).unsqueeze(1)
    labels = torch.cat([part.targets for part in parts])
    sizes = [len(part.data) for part in parts]
    return images, labels, torch.tensor([TRAIN, TEST]).repeat_interleave(torch.tensor(sizes))
