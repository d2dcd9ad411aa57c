"""Run writer: the only writer of a run's folder while the run is in progress."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, cast

from losslab.runs.check import is_finished, unit_worker, worker_of
from losslab.runs.checkpoint_files import CheckpointFiles, Save
from losslab.runs.claims import Claim, Claimed, claim
from losslab.runs.curves import CurveWriter, Point
from losslab.runs.environment import command_line, git_state, peak_memory_mb, versions
from losslab.runs.files import FileError
from losslab.runs.folder import RunFolder, file_name, remove, replace_file
from losslab.runs.projector import write_embedding
from losslab.runs.record import (
    EPOCH_FIELDS,
    EpochMetrics,
    Record,
    RunError,
    Status,
    new_record,
    read_record,
    write_record,
)
from losslab.runs.scores import Scores, write_scores
from losslab.runs.selection import Mode, Selection, TieBreak
from losslab.runs.tensorboard import (
    FIGURES,
    RESULTS,
    SESSION,
    Events,
    file_alone,
    first_charts,
    number_table,
    write_session,
)

HEARTBEAT_EVERY = 10.0
"""Seconds between heartbeats within an epoch; curves and events are written with them."""


class RunWriter:
    """Writer of a run's record, curves, events and checkpoints, which also decides when to stop.

    All decisions depend only on the record on disk, so a run can resume after a kill, or in
    another process, with the same result. At the end of an epoch the files are written in an
    order such that a kill at any point leaves a folder that can be resumed: curves, best
    checkpoint, record, last checkpoint. An epoch whose last checkpoint is missing is repeated
    with the same result.

    Epochs are counted from 0, in calls and in the record. Metric names include their split
    (``val/accuracy``); the record keeps those of the monitored split, without it (``accuracy``).

    Args:
        folder: the run's folder.
        monitor: monitored metric, such as ``val/auroc``.
        mode: ``"min"`` or ``"max"``, whichever is better.
        patience: epochs without improvement before the run stops; ``None`` to never stop.
        min_epochs: epochs before which the run does not stop.
        max_seconds: seconds, over all sessions of the run, after which it stops.
        save_every: epochs between last checkpoints; one is also saved on improvement and stop.
        events: whether to write TensorBoard events.
        choose: checkpoint that counts: ``"best"`` by the metric, or the ``"last"`` one whose
            metric is not NaN (the run then never stops early).
        ties: which of two epochs with equal metrics is better: the one with the better tie-break,
            and if that is equal too the ``"later"`` one; or the ``"first"``, as in version 0.1.
        charts: curves that TensorBoard shows first, such as ``train/loss``.
        hparams: the run's columns in TensorBoard's HPARAMS tab; ``None`` for a run of a sweep,
            which has one row for all seeds.

    Raises:
        ValueError: if an option is out of range.

    Example:
        >>> import tempfile
        >>> writer = RunWriter(Path(tempfile.mkdtemp()), "val/mae", "min", patience=1, events=False)
        >>> writer.start({"loss": "mse"})
        >>> save = lambda path: path.write_text("weights") and None
        >>> writer.end_epoch(0, 10, {"val/mae": 2.0}, save)
        False
        >>> writer.end_epoch(1, 20, {"val/mae": 3.0}, save)
        True
        >>> writer.record["best"]
        {'epoch': 0, 'metrics': {'mae': 2.0}}
    """

    def __init__(
        self,
        folder: Path,
        monitor: str,
        mode: Mode,
        patience: int | None = None,
        *,
        min_epochs: int = 0,
        max_seconds: float | None = None,
        save_every: int = 1,
        events: bool = True,
        choose: Literal["best", "last"] = "best",
        ties: Literal["later", "first"] = "later",
        charts: Sequence[str] = (),
        hparams: Mapping[str, object] | None = None,
    ) -> None:
        if save_every < 1:
            raise ValueError(f"save_every must be at least 1, got {save_every!r}")
        self.folder = Path(folder)
        self.files = RunFolder(self.folder)
        self.monitor = monitor
        self.save_every = save_every
        self.charts = tuple(charts)
        self.hparams = hparams
        self.checkpoints = CheckpointFiles(self.files)
        self.curves = CurveWriter(self.files.metrics)
        self.events = Events(self.folder) if events else None
        self._split, _, metric = monitor.rpartition("/")
        self.selection = Selection(
            metric,
            mode,
            patience,
            min_epochs=min_epochs,
            max_seconds=max_seconds,
            choose=choose,
            ties=ties,
        )
        self._began: float | None = None
        self._beaten = -math.inf
        self._claim: Claim | None = None

    @property
    def is_going_on(self) -> bool:
        """Whether this writer has begun the run and not ended it, and nobody took it over."""
        if self._claim is None or self._claim.is_lost():
            return False
        return self.record["status"] == "running"

    @property
    def record(self) -> Record:
        """Record on disk."""
        return read_record(self.folder)

    def start(
        self,
        fields: Mapping[str, Any],
        *,
        config: str | None = None,
        again: bool = False,
    ) -> None:
        """Begin a run, removing the files of an earlier unfinished attempt.

        Args:
            fields: initial fields of the record: task, data, loss, seed, choices, hashes.
            config: content of ``config.yaml``, which is there whenever the record is.
            again: whether this command resumes a run that has no checkpoint; the record keeps the
                command that began it.

        Raises:
            FileExistsError: if the folder has a finished run, or another process works on it.
            ValueError: if the record has no such field.
        """
        _require_fields(fields)
        record = new_record()
        record["versions"] = versions()
        record["git"] = git_state()
        record["command"] = command_line()
        record["cell"] = str(fields.get("loss", ""))
        cast(dict[str, Any], record).update(fields)
        self.files.checkpoints.mkdir(parents=True, exist_ok=True)
        self._began = time.monotonic()
        with self._claimed():
            if again and self.files.record.exists():
                earlier, now = self.record, record["command"]
                record["command"] = earlier["command"]
                record["resumed"] = [*earlier["resumed"], now]
            self._clear_earlier_try()
            self._save_config(config)
            self._write(record)
        self._flush()

    def resume(
        self, step: int, config: str | None = None, fields: Mapping[str, Any] | None = None
    ) -> None:
        """Resume from the last checkpoint, removing what was written after it.

        Args:
            step: step of that checkpoint.
            config: content of ``config.yaml``.
            fields: :data:`EPOCH_FIELDS` of the record at that step, which the record on disk may
                have passed.

        Raises:
            FileNotFoundError: if the folder has no run.
            FileExistsError: if another process works on the run.
        """
        with self._claimed():
            record = self.record
            if fields is not None:
                cast(dict[str, Any], record).update({name: fields[name] for name in EPOCH_FIELDS})
            self._save_config(config)
            self._write(self._continued(record))
        self._began = time.monotonic() - record["seconds"]
        self._remove_leftovers()
        remove([self.files.scores, file_alone(self.folder, SESSION)])
        self.curves.cut(step, drop="test/")
        if self.events:
            self.events.purge(step)
        self._flush()

    def _continued(self, record: Record) -> Record:
        """Return the record of a run with which this process goes on."""
        now = new_record()
        for name in ("status", "error", "host", "pid", "process_start", "test", "metrics_version"):
            record[name] = now[name]
        record["resumed"] = [*record["resumed"], command_line()]
        record["stopped"] = self.selection.reason_to_stop(record)
        return record

    def _save_config(self, config: str | None) -> None:
        if config is not None:
            replace_file(self.files.config, config.encode())

    def note(self, fields: Mapping[str, Any]) -> None:
        """Update fields of the record.

        Raises:
            ValueError: if the record has no such field.
        """
        _require_fields(fields)
        record = self.record
        cast(dict[str, Any], record).update(fields)
        self._write(record)

    def log(self, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each of the curves, with a heartbeat if one is due."""
        self._log(epoch, step, values)
        if time.monotonic() - self._beaten > HEARTBEAT_EVERY:
            self._flush()
            self._write(self.record)

    def image(self, tag: str, png: bytes, step: int) -> None:
        """Add a figure to TensorBoard and save it in ``figures/``, replacing an earlier one.

        Args:
            tag: name such as ``test/line``, saved as ``test_line.png``.
            png: bytes of a PNG file.
            step: step that the figure shows.
        """
        self._require_claim()
        if self.events:
            self.events.image(f"{FIGURES}/{tag}", png, step)
            self.events.flush()  # figures are few, and may come from a process that ends soon
        self.files.figures.mkdir(exist_ok=True)
        replace_file(self.files.figures / f"{_file_of(tag)}.png", png)

    def arrays(self, tag: str, content: bytes) -> None:
        """Save the data of a figure, see :mod:`losslab.runs.figure_data`, beside the figure.

        Args:
            tag: tag of the figure; ``test/line`` is saved as ``test_line.npz``.
            content: bytes of the file.
        """
        self._require_claim()
        self.files.figures.mkdir(exist_ok=True)
        replace_file(self.files.figures / f"{_file_of(tag)}.npz", content)

    def scores(self, scores: Scores) -> None:
        """Save the scores of the test samples, which belong to the metrics of :meth:`finish`."""
        write_scores(self.folder, scores)

    def embedding(self, rows: Iterable[Sequence[float]], labels: Iterable[str]) -> None:
        """Write labelled vectors for TensorBoard's projector."""
        if self.events:
            write_embedding(self.folder, "embedding", rows, labels)

    def end_epoch(
        self,
        epoch: int,
        step: int,
        metrics: Mapping[str, float],
        save: Save,
        tie_break: TieBreak | None = None,
    ) -> bool:
        """Log the metrics, save the checkpoints and decide whether the run should stop.

        An epoch becomes the best if its monitored metric is better than the best so far, or equal
        and ``ties`` decides for it; NaN is worse than any number.

        Args:
            epoch: epoch that ended, counted from 0.
            step: step at the end of the epoch.
            metrics: metrics with their split, including the monitored one.
            save: function that writes the checkpoint to a path.
            tie_break: measures the tie-break, by name and without split. It is called for epochs
                that are better or equal only, and its values are kept with the best epoch.

        Returns:
            Whether the run should stop, and the record says why: ``patience`` epochs have passed
            since one was better than those before it (an equal one does not count), or
            ``max_seconds``.

        Raises:
            ValueError: if the monitored metric is missing.
        """
        if self.monitor not in metrics:
            raise ValueError(
                f"metrics must include {self.monitor}, got {', '.join(metrics) or 'none'}"
            )
        record = self.record
        own = self._of_split(metrics)
        found, broken = self.selection.order(epoch, own, record, tie_break)
        is_best = self.selection.is_best(found)
        tagged = {f"{self._split}/{name}": value for name, value in broken.items()}
        self._log(epoch, step, {**metrics, **tagged})
        self._flush()
        this = EpochMetrics(epoch=epoch, metrics=own | broken)
        best = this if is_best else cast(EpochMetrics, record["best"])
        if found > 0:
            record["improved"] = epoch
        record["best"], record["final"] = best, this
        record["epochs"], record["steps"] = epoch + 1, step
        self._account(record)
        record["stopped"] = self.selection.reason_to_stop(record)
        stop = record["stopped"] is not None
        saves = is_best or stop or (epoch + 1) % self.save_every == 0
        if saves:
            self.checkpoints.save(save)
        if is_best:
            self.checkpoints.keep_as_best()
        self._write(record)
        if saves:
            self.checkpoints.keep_as_last()
        return stop

    def finish(self, test: Mapping[str, float], val: Mapping[str, float] | None = None) -> None:
        """End the run as done.

        Args:
            test: test metrics of the best checkpoint, with or without ``test/``.
            val: its validation metrics, with or without ``val/``. Only those that its epoch did
                not measure are added to the record, since a resumed run compares with the others.
        """
        record = self.record
        results = {name.removeprefix("test/"): float(value) for name, value in test.items()}
        record["test"] = results
        if record["best"] is not None and val is not None:
            extra = {name.removeprefix(f"{self._split}/"): float(val[name]) for name in val}
            best = record["best"]
            record["best"] = EpochMetrics(epoch=best["epoch"], metrics=extra | best["metrics"])
        tagged = {f"test/{name}": value for name, value in results.items()}
        self._log(max(record["epochs"] - 1, 0), record["steps"], tagged)
        if self.events:
            self.events.text(RESULTS, _results_table(record), record["steps"])
        self._end(record, "done")

    def fail(self, kind: str, message: str, step: int | None = None) -> None:
        """End the run as failed, keeping its checkpoints.

        Args:
            kind: ``diverged``, ``memory``, ``space``, ``exception`` or ``input``.
            message: one line for the user.
            step: step at which it happened.
        """
        record = self.record
        record["error"] = RunError(kind=kind, message=message, step=step)
        self._end_anyway(record, "failed")

    def interrupt(self) -> None:
        """End the run as interrupted; it can be resumed."""
        self._end_anyway(self.record, "interrupted")

    def _clear_earlier_try(self) -> None:
        if not self.files.record.exists():
            self._remove_leftovers()
            return
        if is_finished(self.folder):
            raise FileExistsError(f"{self.folder} has a finished run; choose another folder")
        self._remove_leftovers()
        remove([self.files.metrics, self.files.best, self.files.last, self.files.scores])
        # files are replaced, so that there is a config whenever there is a record
        remove(path for path in (self.files.record, self.files.config) if not path.is_file())
        remove(self.files.figures.glob("*.*"))
        remove(set(self.files.events) - ({self.events.path} if self.events else set()))

    def _remove_leftovers(self) -> None:
        """Remove temporary files that are left if a run is killed while writing."""
        remove(self.folder.glob(".*.tmp"))
        remove(self.files.checkpoints.glob("*.tmp"))  # including those of Lightning
        remove(self.files.figures.glob(".*.tmp"))
        remove([self.files.unfinished])

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        """Claim the run; if the block fails, release it."""
        with suppress(FileNotFoundError, FileError):  # a damaged run is made again
            if worker := worker_of(self.folder, self.record):  # maybe of an earlier version
                raise Claimed(f"{worker} is working on {self.folder}: wait for it or end it")
        self._claim = claim(self.folder)
        try:
            # looked at after the run is claimed: whoever works on the unit claims it first, and
            # leaves the runs that are claimed
            if other := unit_worker(self.folder):
                raise Claimed(f"{other.where} is working on the unit of {self.folder}")
            yield
        except BaseException:
            self._release(done=is_finished(self.folder))
            raise

    def _release(self, *, done: bool = False) -> None:
        if self._claim is not None:
            self._claim.release(remove_file=done)
            self._claim = None

    def _require_claim(self) -> None:
        if self._claim is not None:
            self._claim.require()

    def _log(self, epoch: int, step: int, values: Mapping[str, float]) -> None:
        seconds = 0.0 if self._began is None else time.monotonic() - self._began
        numbers = {name: float(value) for name, value in values.items()}
        self.curves.append(Point(epoch, step, seconds, *entry) for entry in numbers.items())
        if self.events:
            self.events.scalars(first_charts(numbers, self.charts), step)

    def _flush(self) -> None:
        self._require_claim()
        self.curves.flush()
        if self.events:
            self.events.flush()

    def _of_split(self, metrics: Mapping[str, float]) -> dict[str, float]:
        prefix = f"{self._split}/" if self._split else ""
        return {
            name.removeprefix(prefix): float(value)
            for name, value in metrics.items()
            if name.startswith(prefix)
        }

    def _account(self, record: Record) -> None:
        if self._began is not None:
            record["seconds"] = time.monotonic() - self._began
        peaks = [peak for peak in (record["peak_memory_mb"], peak_memory_mb()) if peak is not None]
        record["peak_memory_mb"] = max(peaks, default=None)

    def _end(self, record: Record, status: Status) -> None:
        self._flush()
        record["status"] = status
        self._account(record)
        if self.events and self.hparams is not None and status != "interrupted":
            results = {f"test/{name}": value for name, value in record["test"].items()}
            name = f"{record['cell']} on {record['data']}, {self.folder.name}"
            write_session(self.folder, {**self.hparams, **results}, name, done=status == "done")
        self._write(record)

    def _end_anyway(self, record: Record, status: Status) -> None:
        """End the run; on a full disk, write at least the record."""
        try:
            self._end(record, status)
        except OSError:
            self._remove_leftovers()  # the space of the file that did not fit
            record["status"] = status
            self._write(record)

    def _write(self, record: Record) -> None:
        self._require_claim()
        record["heartbeat"] = time.time()
        self._beaten = time.monotonic()
        write_record(self.folder, record)
        if record["status"] != "running":
            self._release(done=record["status"] == "done")


def _file_of(tag: str) -> str:
    return file_name(tag.split("/"), joiner="_")


def _results_table(record: Record) -> str:
    """Return the results of a run as a Markdown table with one row per metric."""
    validation = record["best"]["metrics"] if record["best"] else {}
    columns = {"validation": validation, "test": record["test"]}
    return number_table("metric", columns)


def _require_fields(fields: Mapping[str, Any]) -> None:
    unknown = sorted(fields.keys() - Record.__annotations__.keys())
    if unknown:
        expected = ", ".join(Record.__annotations__)
        raise ValueError(f"fields must be among {expected}, got {', '.join(unknown)}")
