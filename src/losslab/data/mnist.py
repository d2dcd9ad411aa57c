"""MNIST and Fashion-MNIST, read by torchvision from local files or downloaded once."""

from pathlib import Path
from typing import Any, ClassVar

from torchvision import datasets

from losslab.data.small_images import SmallImages


class MNIST(SmallImages):
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
    val_fraction_of_files = 1 / 6
    names: ClassVar[list[str]] = [str(digit) for digit in range(10)]
    mean, sd = (0.1307,), (0.3081,)

    @classmethod
    def read(cls, data_dir: str, *, download: bool = False) -> list[tuple[Any, Any]]:
        """Return the images of training and of test, with their labels."""
        parts = [cls.reader(data_dir, train=train, download=download) for train in (True, False)]
        return [(part.data.unsqueeze(1).numpy(), part.targets.numpy()) for part in parts]


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
    mean, sd = (0.2860,), (0.3530,)
    names = datasets.FashionMNIST.classes
