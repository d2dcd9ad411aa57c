"""Choice between data in memory and data that are read again in each epoch."""

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

InMemory = bool | Literal["auto"]

COPIES = 8
"""Copies of the data that have to fit: as read, per split, standardized, for several seeds."""


class Choice:
    """Whether samples are kept in memory, and what is said of it.

    ``"auto"`` compares them with the memory of the machine and not with what is free at the moment,
    so that all runs on a machine choose alike.

    Args:
        asked: ``True``, ``False`` or ``"auto"``.
        samples: number of samples.
        shape: shape of an input.
        changing: why samples differ between epochs, which are then not kept.

    Raises:
        ValueError: if samples that differ between epochs are to be kept.

    Example:
        >>> Choice("auto", 100, (3, 64, 64)).notes
        ('kept in memory: 4.92 MB',)
    """

    def __init__(
        self, asked: InMemory, samples: int, shape: Sequence[int], changing: str = ""
    ) -> None:
        if changing and asked is True:
            raise ValueError(
                f"{changing}, which would be the same in each epoch: leave out in_memory=true"
            )
        size = 4 * samples * math.prod(shape)
        self.in_memory = asked is True
        self.notes: tuple[str, ...] = (
            () if asked is True else ("read again in each epoch, as asked",)
        )
        if asked == "auto":
            self.in_memory = not changing and COPIES * size <= machine_bytes()
            big = f"{size / 1e9:.3g} GB would take more than an eighth of the memory"
            why = f"read again in each epoch, since {changing or big}"
            self.notes = (f"kept in memory: {size / 1e6:.3g} MB" if self.in_memory else why,)


def machine_bytes() -> int:
    """Return the memory of this machine, or of its control group, such as a container."""
    limits = []
    if hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, ValueError):  # another system, or "max"
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(limits, default=8 * 2**30)
