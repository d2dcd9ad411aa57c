"""Sources of samples, which are read one by one."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from losslab.data.files import Changes
from losslab.rng import Purpose, derive_seed, restored_state, seed_all


class Sample(NamedTuple):
    """What a look at one sample finds.

    Attributes:
        digest: hash of its content.
        inputs: its input, if it was decoded.
        found: what else its source wants to know, such as its target.
    """

    digest: bytes
    inputs: Tensor | None
    found: Any = None


class Source(ABC):
    """Samples that can be read one by one, in any process."""

    of_files: ClassVar[bool] = False
    """Whether :meth:`key` identifies the samples for later commands, and not only in this process;
    what a look finds then consists of what JSON has."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples."""

    @abstractmethod
    def read(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Read an input, float32, and its mask, int64 ``(H, W)``, if targets are masks."""

    @abstractmethod
    def label(self, index: int) -> str:
        """Return how messages call a sample."""

    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Return the shape of an input."""

    def look(self, index: int, changes: Changes, *, decode: bool) -> Sample:
        """Find what has to be known of a sample before training.

        Args:
            index: the sample.
            changes: counts what reading it changed.
            decode: whether its input is needed.
        """
        raise NotImplementedError

    def key(self) -> Hashable:
        """Return what identifies the samples, and how they are read."""
        raise NotImplementedError


def seed_sample(seed: int, epoch: int | None, index: int) -> None:
    """Seed what is drawn when a sample is read; without an epoch it is the same for all seeds."""
    if epoch is None:
        seed_all(derive_seed(0, Purpose.READING, index))
    else:
        seed_all(derive_seed(seed, Purpose.AUGMENTATION, epoch, index))


@contextmanager
def reading() -> Iterator[None]:
    """Read alike in all processes, and leave global generators and settings as they were.

    The number of threads may decide the last bit, and the default dtype what is drawn.
    """
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    if threads != 1:
        torch.set_num_threads(1)
    try:
        with restored_state():
            yield
    finally:
        torch.set_default_dtype(dtype)
        if threads != 1:
            torch.set_num_threads(threads)


class TensorSource(Source):
    """Samples in memory, which are read one by one if they are augmented.

    Args:
        inputs: ``(n, *)``.
        masks: ``(n, H, W)``, if targets are masks.
    """

    def __init__(self, inputs: Tensor, masks: Tensor | None) -> None:
        self.inputs, self.masks = inputs, masks

    def __len__(self) -> int:
        return len(self.inputs)

    def read(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Return an input and its mask."""
        return self.inputs[index], None if self.masks is None else self.masks[index]

    def shape(self) -> tuple[int, ...]:
        """Return the shape of an input."""
        return tuple(self.inputs.shape[1:])

    def label(self, index: int) -> str:
        """Return the number of a sample."""
        return f"sample {index}"
