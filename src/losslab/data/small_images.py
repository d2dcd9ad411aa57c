"""Small images of public sets, such as CIFAR-10, read by torchvision or downloaded once."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar, Unpack

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from losslab.data.base import Options, Raw
from losslab.data.downloads import Downloaded, train_then_test


class SmallImages(Downloaded):
    """Base class of the sets; subclasses read both parts of the files.

    Args:
        data_dir: folder that contains the files.
        download: whether to download missing files.
        options: options of :class:`~losslab.data.base.InMemoryData`.
    """

    names: ClassVar[list[str]]
    mean: ClassVar[tuple[float, ...]]
    """Means of the channels over the training images."""
    sd: ClassVar[tuple[float, ...]]
    """Their standard deviations."""
    val_fraction_of_files: ClassVar[float] = 0.1
    """Default of ``val_fraction``."""

    def __init__(
        self, *, data_dir: str = "data", download: bool = True, **options: Unpack[Options]
    ) -> None:
        own: Options = {"val_fraction": self.val_fraction_of_files}
        super().__init__(data_dir=data_dir, download=download, **(own | options))

    @classmethod
    def read(cls, data_dir: str, *, download: bool = False) -> list[tuple[Any, Any]]:
        """Return the images ``(n, C, H, W)`` of training and of test, with their labels."""
        raise NotImplementedError("subclasses implement read(data_dir)")

    def fetch(self, data_dir: str) -> None:
        """Download the files to a folder."""
        self.read(data_dir, download=True)

    def load(self) -> Raw:
        """Return images scaled by constants to mean 0 and SD 1 over the training pixels."""
        folder = self.require_files()
        try:
            images, labels, fixed = _joined(self.read, folder)
        except Exception as error:  # what unpickling a damaged file raises
            raise self.invalid(error) from error
        mean, sd = (torch.tensor(each).view(-1, 1, 1) for each in (self.mean, self.sd))
        inputs = images.float().div_(255).sub_(mean).div_(sd)
        return Raw(inputs, labels, class_names=self.names, fixed=fixed)


class CIFAR10(SmallImages):
    """CIFAR-10: 60,000 images of ten kinds of animals and vehicles, with its own test split.

    Args:
        data_dir: folder that contains ``cifar-10-batches-py``.
        download: whether to download missing files.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Source:
        Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """

    full_name = "CIFAR-10"
    place = datasets.CIFAR10.base_folder
    files = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
    names: ClassVar[list[str]] = [
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ]
    mean, sd = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)

    @classmethod
    def read(cls, data_dir: str, *, download: bool = False) -> list[tuple[Any, Any]]:
        """Return the images of training and of test, with their labels."""
        parts = [datasets.CIFAR10(data_dir, each, download=download) for each in (True, False)]
        return [(part.data.transpose(0, 3, 1, 2), part.targets) for part in parts]


class SVHN(SmallImages):
    """Street View House Numbers: 99,289 digits cut from photographs, with its own test split.

    Args:
        data_dir: folder that contains ``SVHN``.
        download: whether to download missing files.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Source:
        Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature Learning", 2011.
    """

    full_name = "SVHN"
    place = "SVHN"
    files = ("train_32x32.mat", "test_32x32.mat")
    names: ClassVar[list[str]] = [str(digit) for digit in range(10)]
    mean, sd = (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)

    @classmethod
    def read(cls, data_dir: str, *, download: bool = False) -> list[tuple[Any, Any]]:
        """Return the images of training and of test, with their labels."""
        names = ("train", "test")
        parts = [datasets.SVHN(f"{data_dir}/SVHN", each, download=download) for each in names]
        return [(part.data, part.labels) for part in parts]


@lru_cache(maxsize=1)  # read once per process, for all jobs of a sweep
def _joined(read: Callable[[str], Any], data_dir: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return images as bytes, labels, and the split of each image."""
    images, labels = zip(*read(data_dir), strict=True)
    return (
        torch.from_numpy(np.concatenate(images)),
        torch.from_numpy(np.concatenate(labels).astype(np.int64)),
        train_then_test(*map(len, images)),
    )
