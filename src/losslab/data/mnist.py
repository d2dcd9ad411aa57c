"""MNIST and Fashion-MNIST, read by torchvision from local files or downloaded once."""

from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor
from torchvision import datasets

from losslab.data.base import Options, Raw
from losslab.data.downloads import Downloaded, train_then_test


class MNIST(Downloaded):
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

    full_name = "MNIST"
    place = "MNIST/raw"
    files = tuple(Path(url).stem for url, _ in datasets.MNIST.resources)
    reader: ClassVar[Any] = datasets.MNIST
    mean: ClassVar[float] = 0.1307
    """Mean of the pixels of the 60,000 training images."""
    sd: ClassVar[float] = 0.3081
    """Their standard deviation."""
    names: ClassVar[list[str]] = [str(digit) for digit in range(10)]

    def __init__(
        self, *, data_dir: str = "data", download: bool = True, **options: Unpack[Options]
    ) -> None:
        super().__init__(
            data_dir=data_dir, download=download, **({"val_fraction": 1 / 6} | options)
        )

    def fetch(self, data_dir: str) -> None:
        """Download the files to a folder."""
        self.reader(data_dir, download=True)

    def load(self) -> Raw:
        """Return images scaled by constants to mean 0 and SD 1 over the training pixels."""
        folder = self.require_files()
        try:
            images, labels, fixed = _read(self.reader, folder)
        except (ValueError, RuntimeError, AssertionError, OSError) as error:
            raise self.invalid(error) from error
        inputs = images.float().div_(255).sub_(self.mean).div_(self.sd)
        return Raw(inputs, labels, class_names=self.names, fixed=fixed)


class FashionMNIST(MNIST):
    """Fashion-MNIST's clothes of 28 x 28 pixels, with its own test split.

    Args:
        data_dir: folder that contains ``FashionMNIST/raw``.
        download: whether to download missing files.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Source:
        Xiao, Rasul, Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine
        learning algorithms", 2017.
    """

    full_name = "Fashion-MNIST"
    place = "FashionMNIST/raw"
    reader = datasets.FashionMNIST
    mean, sd = 0.2860, 0.3530
    names = datasets.FashionMNIST.classes


@lru_cache(maxsize=1)  # read once per process, for all jobs of a sweep
def _read(reader: Any, data_dir: str) -> tuple[Tensor, Tensor, Tensor]:
    """Read images ``(n, 1, 28, 28)`` as bytes, labels, and the split of each image."""
    parts = [reader(data_dir, train=train) for train in (True, False)]
    images = torch.cat([part.data for part in parts]).unsqueeze(1)
    labels = torch.cat([part.targets for part in parts])
    return images, labels, train_then_test(*(len(part.data) for part in parts))
