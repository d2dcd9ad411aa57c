"""Writer that buffers a run in memory, for runs that are trained together in one process."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from losslab.runs.record import EPOCH_FIELDS, Record, Status
from losslab.runs.writer import HEARTBEAT_EVERY, RunWriter

Save = Callable[[Path], None]


class BufferedRunWriter(RunWriter):
    """Run writer that makes the decisions of :class:`RunWriter` but seldom writes files.

    Record, curves and events are written with each heartbeat, checkpoints by :meth:`save` and at
    the run's end: writing each epoch of a hundred stacked runs would take longer than training
    them. If the process is killed, the record may be ahead of the checkpoint, which therefore has
    to hold :attr:`state`.

    The ``save`` argument of :meth:`end_epoch` must be able to write the epoch's checkpoint later.

    Example:
        >>> import tempfile
        >>> writer = BufferedRunWriter(Path(tempfile.mkdtemp()), "val/mae", "min", events=False)
        >>> writer.start({"loss": "mse"})
        >>> for epoch, mae in enumerate([2.0, 3.0]):
        ...     save = lambda path, epoch=epoch: path.write_text(f"epoch {epoch}") and None
        ...     stop = writer.end_epoch(epoch, 10 * (epoch + 1), {"val/mae": mae}, save)
        >>> writer.files.best.exists()
        False
        >>> writer.finish({"test/mae": 2.5})
        >>> writer.files.best.read_text(), writer.files.last.read_text()
        ('epoch 0', 'epoch 1')
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._held: Record | None = None
        self._unfinished: Save | None = None
        self._best: Save | None = None
        self._last: Save | None = None
        self._saved: tuple[Save | None, Save | None] = (None, None)

    @property
    def record(self) -> Record:
        """Record in memory; before the run has begun, the record on disk."""
        return super().record if self._held is None else self._held

    @property
    def state(self) -> dict[str, Any]:
        """Fields of the record from which a run resumes after its last finished epoch."""
        record: dict[str, Any] = {**self.record}
        return {name: record[name] for name in EPOCH_FIELDS}

    def save(self) -> None:
        """Write curves, checkpoints and record of the last finished epoch."""
        super()._flush()
        self._save_checkpoints()
        super()._write(self.record)

    def _flush(self) -> None:
        if self._held is None or self._is_due():
            super()._flush()

    def _write(self, record: Record) -> None:
        begins = self._held is None
        self._held = record
        if begins or record["status"] != "running" or self._is_due():
            super()._write(record)

    def _is_due(self) -> bool:
        return time.monotonic() - self._beaten > HEARTBEAT_EVERY

    def _save(self, save: Save) -> None:
        self._unfinished = save

    def _keep_as_best(self) -> None:
        self._best = self._unfinished

    def _keep_as_last(self) -> None:
        self._last = self._unfinished

    def _end(self, record: Record, status: Status) -> None:
        super()._flush()
        self._save_checkpoints()
        super()._end(record, status)

    def _save_checkpoints(self) -> None:
        """Write the checkpoints that are not on disk yet."""
        best, last = self._saved
        if self._best is not None and self._best is not best:
            super()._save(self._best)
            super()._keep_as_best()
        if self._last is not None and self._last is not last:
            if self._last is not self._best:
                super()._save(self._last)
            super()._keep_as_last()
        self._saved = (self._best, self._last)
