"""Base class of the data sets that torchvision downloads, each with its own test split."""

from pathlib import Path
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from losslab.data.base import InMemoryData, Options
from losslab.data.splits import TEST, TRAIN


class Downloaded(InMemoryData):
    """Files of a public data set, which are read if they exist and else downloaded.

    Validation is a sample of the training files: ``val_fraction`` is a fraction of these, and
    ``test_fraction`` is ignored. Subclasses implement ``load`` and :meth:`fetch`.

    Args:
        data_dir: folder that contains the folder of the files.
        download: whether to download missing files.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        FileNotFoundError: in ``prepare_data``, if files are missing and cannot be downloaded.
        ValueError: in ``setup``, if a file is invalid.
    """

    own_test: ClassVar[bool] = True
    full_name: ClassVar[str]
    """Name of the data set, for messages."""
    place: ClassVar[str]
    """Folder of the files in ``data_dir``; ``"."`` if they are in it."""
    files: ClassVar[tuple[str, ...]]
    """Files in that folder that tell that it is complete."""
    without_files: ClassVar[str] = "data=digits"
    """Choice of data of the same task that needs no files."""

    def __init__(
        self, *, data_dir: str = "data", download: bool = True, **options: Unpack[Options]
    ) -> None:
        super().__init__(**options)
        self.data_dir = Path(data_dir).expanduser()
        self.download = download

    def fetch(self, data_dir: str) -> None:
        """Download the files to a folder."""
        raise NotImplementedError(f"{type(self).__name__} must implement fetch(data_dir)")

    def prepare_data(self) -> None:
        """Download the files if they are missing."""
        if self._complete():
            return
        if not self.download:
            raise self._missing("data.download=true downloads them")
        try:
            self.fetch(str(self.data_dir))
        except (RuntimeError, OSError) as error:
            raise self._missing("they could not be downloaded") from error

    def require_files(self) -> str:
        """Return the absolute path of ``data_dir``.

        Raises:
            FileNotFoundError: if files are missing.
        """
        if not self._complete():
            raise self._missing("prepare_data() downloads them")
        return str(self.data_dir.resolve())

    def invalid(self, error: Exception) -> ValueError:
        """Return an error which says that the files are not those of the data set."""
        reason = " ".join(str(error).split())
        return ValueError(
            f"the files in {self.data_dir / self.place} must be {self.full_name}'s, unpacked, got "
            f"invalid ones ({reason:.200}): remove them to download them again"
        )

    def _complete(self) -> bool:
        return all((self.data_dir / self.place / name).is_file() for name in self.files)

    def _missing(self, why: str) -> FileNotFoundError:
        folder = (self.data_dir / self.place).absolute()
        content = self.files[0] if self.place == "." else self.place
        return FileNotFoundError(
            f"the {self.full_name} files are not in {folder}, and {why}: set paths.data_dir to the "
            f"folder that contains {content}, or use {self.without_files}, which needs no files"
        )


def train_then_test(training: int, test: int) -> Tensor:
    """Return the splits of samples of which those of training come first.

    Example:
        >>> train_then_test(2, 1)
        tensor([0, 0, 2])
    """
    return torch.tensor([TRAIN, TEST]).repeat_interleave(torch.tensor([training, test]))
