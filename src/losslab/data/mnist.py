"""MNIST, read by torchvision from local files or downloaded once."""

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
    """MNIST's handwritten digits of 28 x 28 pixels, with its own test split.

    Validation is a stratified sample of the training files: ``val_fraction`` is a fraction of
    these, and ``test_fraction`` is ignored.

    Args:
        data_dir: folder that contains ``MNIST/raw``.
        download: whether to download missing files.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        FileNotFoundError: in ``prepare_data``, if files are missing and cannot be downloaded.
        ValueError: in ``setup``, if a file is invalid.

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
        """Download the files if they are missing."""
        if self._complete():
            return
        if not self.download:
            raise self._missing("data.download=true downloads them")
        try:
            datasets.MNIST(str(self.data_dir), download=True)
        except (RuntimeError, OSError) as error:
            raise self._missing("they could not be downloaded") from error

    def load(self) -> Raw:
        """Return images scaled by constants to mean 0 and SD 1 over MNIST's training pixels."""
        if not self._complete():
            raise self._missing("prepare_data() downloads them")
        images, labels, fixed = _read(str(self.data_dir.resolve()))
        inputs = images.float().div_(255).sub_(MEAN).div_(SD)
        names = [str(digit) for digit in range(10)]
        return Raw(inputs, labels, class_names=names, fixed=fixed)

    def _complete(self) -> bool:
        """Return whether the four unpacked files exist."""
        names = (Path(url).stem for url, _ in datasets.MNIST.resources)
        return all((self._folder / name).is_file() for name in names)

    @property
    def _folder(self) -> Path:
        return self.data_dir / "MNIST" / "raw"

    def _missing(self, why: str) -> FileNotFoundError:
        return FileNotFoundError(
            f"the MNIST files are not in {self._folder.absolute()}, and {why}: set paths.data_dir "
            "to the folder that contains MNIST/raw, or use data=digits, which needs no files"
        )


@lru_cache(maxsize=1)  # read once per process, for all jobs of a sweep
def _read(data_dir: str) -> tuple[Tensor, Tensor, Tensor]:
    """Read images ``(n, 1, 28, 28)`` as bytes, labels, and the split of each image."""
    try:
        parts = [datasets.MNIST(data_dir, train=train) for train in (True, False)]
    except (ValueError, RuntimeError, AssertionError, OSError) as error:
        raise ValueError(
            f"the files in {Path(data_dir) / 'MNIST' / 'raw'} must be MNIST's, unpacked, got "
            f"invalid ones ({' '.join(str(error).split())}): remove them to download them again"
        ) from error
    images = torch.cat([part.data for part in parts]).unsqueeze(1)
    labels = torch.cat([part.targets for part in parts])
    sizes = [len(part.data) for part in parts]
    return images, labels, torch.tensor([TRAIN, TEST]).repeat_interleave(torch.tensor(sizes))
