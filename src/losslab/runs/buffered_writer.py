"""Writer that buffers a run in memory, for runs that are trained together in one process."""

import time
from typing import Any

from losslab.runs.checkpoint_files import BufferedCheckpointFiles
from losslab.runs.record import EPOCH_FIELDS, Record, Status
from losslab.runs.writer import HEARTBEAT_EVERY, RunWriter


class BufferedRunWriter(RunWriter):
    """Run writer that makes the decisions of :class:`RunWriter` but seldom writes files.

    Record, curves and events are written with each heartbeat, checkpoints by :meth:`save` and at
    the run's end: writing each epoch of a hundred stacked runs would take longer than training
    them. If the process is killed, the record may be ahead of the checkpoint, which therefore has
    to hold :attr:`state`.

    The ``save`` argument of :meth:`end_epoch` must be able to write the epoch's checkpoint later.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
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
        self.checkpoints: BufferedCheckpointFiles = BufferedCheckpointFiles(self.files)

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
        self.checkpoints.write()
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

    def _end(self, record: Record, status: Status) -> None:
        super()._flush()
        self.checkpoints.write()
        super()._end(record, status)
