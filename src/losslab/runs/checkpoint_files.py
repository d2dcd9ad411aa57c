"""Checkpoint files of a run, each whole at any moment: it is written under another name first."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from losslab.runs.folder import RunFolder, remove

Save = Callable[[Path], None]
"""Function that writes a checkpoint to a path."""


class CheckpointFiles:
    """Writer of the checkpoints ``best.ckpt`` and ``last.ckpt`` of a run."""

    def __init__(self, files: RunFolder) -> None:
        self.files = files

    def save(self, save: Save) -> None:
        """Save a checkpoint, and wait until it is on the disk."""
        # after a kill the unfinished file can be a hard link to the best one: saving must not
        # write into it
        remove([self.files.unfinished])
        save(self.files.unfinished)
        with self.files.unfinished.open("rb+") as file:
            os.fsync(file.fileno())

    def keep_as_best(self) -> None:
        """Make the saved checkpoint the best one; it can then become the last one as well."""
        temporary = self.files.best.with_name(f".{self.files.best.name}.tmp")
        remove([temporary])
        try:
            os.link(self.files.unfinished, temporary)
        except OSError:  # no hard links on this file system
            shutil.copyfile(self.files.unfinished, temporary)
        temporary.replace(self.files.best)

    def keep_as_last(self) -> None:
        """Make the saved checkpoint the last one."""
        self.files.unfinished.replace(self.files.last)


class BufferedCheckpointFiles(CheckpointFiles):
    """Checkpoints that are written by :meth:`write` only, by the functions given last."""

    def __init__(self, files: RunFolder) -> None:
        super().__init__(files)
        self._unfinished: Save | None = None
        self._best: Save | None = None
        self._last: Save | None = None
        self._written: tuple[Save | None, Save | None] = (None, None)

    def save(self, save: Save) -> None:
        """Keep a function that writes the checkpoint."""
        self._unfinished = save

    def keep_as_best(self) -> None:
        """Make its checkpoint the best one."""
        self._best = self._unfinished

    def keep_as_last(self) -> None:
        """Make its checkpoint the last one."""
        self._last = self._unfinished

    def write(self) -> None:
        """Write the checkpoints that are not on disk yet."""
        best, last = self._written
        if self._best is not None and self._best is not best:
            super().save(self._best)
            super().keep_as_best()
        if self._last is not None and self._last is not last:
            if self._last is not self._best:
                super().save(self._last)
            super().keep_as_last()
        self._written = (self._best, self._last)
