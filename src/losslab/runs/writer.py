"""The writer: the only writer of a run's folder while the run goes on."""

import functools
import math
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, cast

from losslab.runs.curves import Curves, Point
from losslab.runs.folder import RunFolder, remove, replace_file
from losslab.runs.projector import write_embedding
from losslab.runs.record import (
    Judged,
    Record,
    RunError,
    Status,
    is_live,
    new_record,
    read_record,
    write_record,
)
from losslab.runs.tensorboard import Events

HEARTBEAT_EVERY = 10.0
"""Seconds between signs of life within an epoch; curves and events go to disk with them."""

PACKAGES = (
    "losslab",
    "torch",
    "torchvision",
    "pytorch-lightning",
    "hydra-core",
    "torchmetrics",
    "tensorboard",
    "numpy",
    "scipy",
    "scikit-learn",
    "gymnasium",
)


class RunWriter:
    """Keeps one run's record, curves, events and checkpoints, and decides when to stop.

    Every decision follows from the record on disk, so that a run goes on after a kill, or in
    another process, as if nothing had happened. At an epoch's end the files are written in such an
    order that a kill at any point leaves a folder that can be resumed: curves, then the best
    checkpoint, then the record, then the last checkpoint. What was written of an epoch whose last
    checkpoint is missing is written again, and comes out the same.

    Epochs are counted from 0, in calls and in the record. Metrics carry their split
    (``val/accuracy``); the record keeps those of the monitored split, without it (``accuracy``).

    Args:
        folder: the run's folder.
        monitor: the metric that decides, such as ``val/accuracy``.
        mode: ``"min"`` or ``"max"``, whichever is better.
        patience: epochs without a better value before the run stops; ``None``: never.
        save_every: epochs between last checkpoints; a better epoch and a stop always leave one.
        events: whether TensorBoard events are written.
        choose: the checkpoint that counts: the one with the best metric, or the last one whose
            metric is a number (patience then never ends).

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
        mode: Literal["min", "max"],
        patience: int | None = None,
        *,
        save_every: int = 1,
        events: bool = True,
        choose: Literal["best", "last"] = "best",
    ) -> None:
        if choose not in ("best", "last"):
            raise ValueError(f"choose must be 'best' or 'last', got {choose!r}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        if patience is not None and patience < 1:
            raise ValueError(f"patience must be at least 1 or None, got {patience!r}")
        if save_every < 1:
            raise ValueError(f"save_every must be at least 1, got {save_every!r}")
        self.folder = Path(folder)
        self.files = RunFolder(self.folder)
        self.monitor = monitor
        self.mode = mode
        self.patience = patience
        self.save_every = save_every
        self.choose = choose
        self.curves = Curves(self.files.metrics)
        self.events = Events(self.folder) if events else None
        self._split = monitor.rpartition("/")[0]
        self._began: float | None = None
        self._beaten = -math.inf

    @property
    def record(self) -> Record:
        """The record as it stands on disk."""
        return read_record(self.folder)

    def start(
        self,
        fields: Mapping[str, Any],
        *,
        hparams: Mapping[str, object] | None = None,
        group: str | None = None,
    ) -> None:
        """Begin a run; what an earlier unfinished try left in the folder goes.

        Args:
            fields: what the record says from the start: task, data, loss, seed, choices, hashes.
            hparams: the run's columns in TensorBoard's HPARAMS tab.
            group: the loss and its options, the same for all seeds; the record's ``cell``.

        Raises:
            FileExistsError: if the folder holds a run that is done, or that another process works
                on.
            ValueError: if a field is none of the record's.
        """
        _require_fields(fields)
        self._clear_earlier_try()
        record = new_record()
        record["versions"] = versions()
        record["git"] = git_state()
        record["command"] = _command_line()
        record["cell"] = group or str(fields.get("loss", ""))
        cast(dict[str, Any], record).update(fields)
        self.files.checkpoints.mkdir(parents=True, exist_ok=True)
        self._began = time.monotonic()
        self._write(record)
        if self.events and hparams is not None:
            self.events.hparams(hparams, group)
        self._flush()

    def resume(self, step: int) -> None:
        """Go on from the last checkpoint; what was written beyond it goes.

        Args:
            step: the step of that checkpoint.

        Raises:
            FileNotFoundError: if the folder holds no run.
            FileExistsError: if another process works on it.
        """
        record = self.record
        self._refuse_live(record)
        now = new_record()
        for name in ("status", "error", "host", "pid", "process_start", "test"):
            record[name] = now[name]
        record["resumed"] = [*record["resumed"], _command_line()]
        self._began = time.monotonic() - record["seconds"]
        self._remove_leftovers()
        self.curves.cut(step, drop="test/")
        if self.events:
            self.events.purge(step)
        self._write(record)
        self._flush()

    def note(self, fields: Mapping[str, Any]) -> None:
        """Put into the record what became known on the way.

        Raises:
            ValueError: if a field is none of the record's.
        """
        _require_fields(fields)
        record = self.record
        cast(dict[str, Any], record).update(fields)
        self._write(record)

    def log(self, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each of these curves, and now and then a sign of life."""
        self._log(epoch, step, values)
        if time.monotonic() - self._beaten > HEARTBEAT_EVERY:
            self._flush()
            self._write(self.record)

    def image(self, tag: str, png: bytes, step: int) -> None:
        """Show a picture in TensorBoard, and keep it in ``figures/`` in place of an earlier one.

        Args:
            tag: its name, such as ``test/line``; the file is then ``test_line.png``.
            png: a PNG file's bytes.
            step: the step it shows.
        """
        if self.events:
            self.events.image(tag, png, step)
            self.events.flush()  # pictures are few, and may come from a process that ends soon
        self.files.figures.mkdir(exist_ok=True)
        replace_file(self.files.figures / f"{tag.replace('/', '_')}.png", png)

    def arrays(self, tag: str, content: bytes) -> None:
        """Keep what a picture shows, see :mod:`losslab.runs.figure_data`, beside the picture.

        Args:
            tag: the picture's; the file of ``test/line`` is ``test_line.npz``.
            content: the file's bytes.
        """
        self.files.figures.mkdir(exist_ok=True)
        replace_file(self.files.figures / f"{tag.replace('/', '_')}.npz", content)

    def embedding(self, rows: Iterable[Sequence[float]], labels: Iterable[str]) -> None:
        """Show vectors with their labels in TensorBoard's projector."""
        if self.events:
            write_embedding(self.folder, "embedding", rows, labels)

    def end_epoch(
        self, epoch: int, step: int, metrics: Mapping[str, float], save: Callable[[Path], None]
    ) -> bool:
        """Log the metrics, keep the checkpoints, and say whether the run should stop.

        An epoch is best if its monitored metric is strictly better than that of the best so far;
        NaN is never better, and the first epoch is best until another is.

        Args:
            epoch: the epoch that ended, counted from 0.
            step: the run's step at its end.
            metrics: with their split, among them the monitored one.
            save: writes the checkpoint to the path it gets.

        Returns:
            Whether the metric has not been better for as many epochs as the patience says.

        Raises:
            ValueError: if the monitored metric is missing.
        """
        if self.monitor not in metrics:
            raise ValueError(
                f"metrics must hold {self.monitor}, got {', '.join(metrics) or 'none'}"
            )
        self._log(epoch, step, metrics)
        self._flush()
        record = self.record
        judged = self._of_split(metrics)
        improved = self._is_best(epoch, metrics[self.monitor], record["best"])
        this = Judged(epoch=epoch, metrics=judged)
        best = this if improved else cast(Judged, record["best"])
        stop = self.patience is not None and epoch - best["epoch"] >= self.patience
        saves = improved or stop or (epoch + 1) % self.save_every == 0
        if saves:
            self._save(save)
        if improved:
            self._keep_as_best()
        record["best"], record["final"] = best, this
        record["epochs"], record["steps"] = epoch + 1, step
        self._account(record)
        self._write(record)
        if saves:
            self._keep_as_last()
        return stop

    def finish(self, test: Mapping[str, float], val: Mapping[str, float] | None = None) -> None:
        """End the run well.

        Args:
            test: test metrics of the best checkpoint, with or without ``test/``.
            val: validation metrics that were measured with it, with or without their split; those
                that its epoch did not measure join the record's. What its epoch measured stays as
                it was: a resumed run compares with it.
        """
        record = self.record
        results = {name.removeprefix("test/"): float(value) for name, value in test.items()}
        record["test"] = results
        if record["best"] is not None and val is not None:
            extra = {name.removeprefix(f"{self._split}/"): float(val[name]) for name in val}
            best = record["best"]
            record["best"] = Judged(epoch=best["epoch"], metrics=extra | best["metrics"])
        tagged = {f"test/{name}": value for name, value in results.items()}
        self._log(max(record["epochs"] - 1, 0), record["steps"], tagged)
        if self.events:
            self.events.end()
        self._end(record, "done")

    def fail(self, kind: str, message: str, step: int | None = None) -> None:
        """End the run with an error; the checkpoints of its good epochs stay.

        Args:
            kind: ``diverged``, ``memory``, ``exception``, ``input``.
            message: one line for the person who reads the table.
            step: where it happened.
        """
        record = self.record
        record["error"] = RunError(kind=kind, message=message, step=step)
        self._end(record, "failed")

    def interrupt(self) -> None:
        """End the run because somebody asked for it; it can be resumed."""
        self._end(self.record, "interrupted")

    def _clear_earlier_try(self) -> None:
        if not self.files.record.exists():
            self._remove_leftovers()
            return
        record = self.record
        self._refuse_live(record)
        if record["status"] == "done":
            raise FileExistsError(f"{self.folder} holds a run that is done; choose another folder")
        self._remove_leftovers()
        remove([self.files.metrics, self.files.best, self.files.last])
        remove(self.files.figures.glob("*.*"))
        remove(set(self.files.events) - ({self.events.path} if self.events else set()))

    def _remove_leftovers(self) -> None:
        """Remove what a kill in the middle of writing leaves."""
        remove(self.folder.glob(".*.tmp"))
        remove(self.files.checkpoints.glob("*.tmp"))  # those of whoever saves among them
        remove(self.files.figures.glob(".*.tmp"))
        remove([self.files.unfinished])

    def _refuse_live(self, record: Record) -> None:
        if is_live(record):
            raise FileExistsError(
                f"process {record['pid']} on {record['host']} is working on {self.folder}"
            )

    def _log(self, epoch: int, step: int, values: Mapping[str, float]) -> None:
        seconds = 0.0 if self._began is None else time.monotonic() - self._began
        numbers = {name: float(value) for name, value in values.items()}
        self.curves.append(Point(epoch, step, seconds, *entry) for entry in numbers.items())
        if self.events:
            self.events.scalars(numbers, step)

    def _flush(self) -> None:
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

    def _is_best(self, epoch: int, value: float, best: Judged | None) -> bool:
        # an epoch replayed after a kill is as good as it was
        if best is None or best["epoch"] == epoch:
            return True
        if self.choose == "last":
            return not math.isnan(value)
        reference = best["metrics"][self.monitor.removeprefix(f"{self._split}/")]
        if math.isnan(value) or math.isnan(reference):
            return not math.isnan(value)
        return value < reference if self.mode == "min" else value > reference

    def _save(self, save: Callable[[Path], None]) -> None:
        # after a kill the unfinished file can be the best one under a second name: saving must
        # not write into it
        remove([self.files.unfinished])
        save(self.files.unfinished)
        with self.files.unfinished.open("rb+") as file:
            os.fsync(file.fileno())

    def _keep_as_best(self) -> None:
        temporary = self.files.best.with_name(f".{self.files.best.name}.tmp")
        remove([temporary])
        try:
            os.link(self.files.unfinished, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(self.files.unfinished, temporary)
        temporary.replace(self.files.best)

    def _keep_as_last(self) -> None:
        self.files.unfinished.replace(self.files.last)

    def _account(self, record: Record) -> None:
        if self._began is not None:
            record["seconds"] = time.monotonic() - self._began
        peaks = [peak for peak in (record["peak_memory_mb"], peak_memory_mb()) if peak is not None]
        record["peak_memory_mb"] = max(peaks, default=None)

    def _end(self, record: Record, status: Status) -> None:
        self._flush()
        record["status"] = status
        self._account(record)
        self._write(record)

    def _write(self, record: Record) -> None:
        record["heartbeat"] = time.time()
        self._beaten = time.monotonic()
        write_record(self.folder, record)


def peak_memory_mb() -> float | None:
    """The most memory this process held so far; ``None`` where the system does not say.

    In a sweep within one process it includes the runs before.
    """
    if platform.system() == "Windows":
        return None
    import resource  # noqa: PLC0415  (not on Windows)

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if platform.system() == "Darwin" else peak / 2**10


@functools.cache
def _versions() -> dict[str, str]:
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # run from a checkout, or an extra that is not there
    return installed


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide a run's numbers."""
    return dict(_versions())


@functools.cache
def _git_state() -> tuple[str, bool] | None:
    def ask(*arguments: str) -> str | None:
        command = ["git", "--no-optional-locks", "-C", str(Path(__file__).parent), *arguments]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:  # no git on this machine
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    return None if commit is None else (commit, bool(ask("status", "--porcelain")))


def git_state() -> dict[str, Any] | None:
    """The commit of this code and whether it was changed since; ``None`` outside a repository."""
    state = _git_state()
    return None if state is None else {"commit": state[0], "dirty": state[1]}


def _command_line() -> str:
    return shlex.join(["python", *sys.argv])


def _require_fields(fields: Mapping[str, Any]) -> None:
    unknown = sorted(fields.keys() - Record.__annotations__.keys())
    if unknown:
        expected = ", ".join(Record.__annotations__)
        raise ValueError(f"fields must be of {expected}, got {', '.join(unknown)}")
