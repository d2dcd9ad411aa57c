"""What a run says of itself: ``record.json``, written whole or not at all."""

import json
import math
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from losslab.runs.folder import RunFolder, replace_file

SCHEMA = 1
"""Raised when a field changes its meaning; an added field leaves it as it is."""

METRICS_VERSION = 1
"""Raised when a metric of the same name is defined differently: runs of two versions are not
pooled in a table without a note."""

ADDED_FIELDS: dict[str, Any] = {"metrics_version": 1, "resumed": []}
"""Fields that records of earlier versions lack, with what their absence means."""

STALE_AFTER = 3600.0
"""Seconds without a sign of life after which a running record counts as abandoned."""

Status = Literal["running", "done", "failed", "interrupted"]
STATUSES = ("running", "done", "failed", "interrupted")


class RunError(TypedDict):
    """Why a run failed."""

    kind: str
    """``diverged`` (a NaN or infinite loss), ``memory``, ``exception``, ``input``."""
    message: str
    step: int | None


class Judged(TypedDict):
    """An epoch, counted from 0, and its validation metrics."""

    epoch: int
    metrics: dict[str, float]


class Record(TypedDict):
    """A run's record. Metric names stand without the split: ``accuracy``, ``ref/mse``."""

    schema: int
    status: Status
    error: RunError | None
    host: str
    pid: int
    process_start: str | None
    """When the process of that pid began, where the system says it: a pid is used again."""
    heartbeat: float
    """The last sign of life, in seconds since 1970."""
    task: str
    data: str
    loss: str
    cell: str
    """The loss and its options, as :func:`losslab.runs.folder.job_name` writes them."""
    seed: int
    choices: dict[str, Any]
    """What was chosen of every config group."""
    hashes: dict[str, str]
    """Of the initial ``weights``, the ``data`` and the order of the ``batches``."""
    best: Judged | None
    """The epoch whose checkpoint counts."""
    final: Judged | None
    """The last epoch that is done."""
    test: dict[str, float]
    """Empty for a run that is done where it left the test split unread (``test=false``)."""
    metrics_version: int
    """Of the metrics' definitions, see :data:`METRICS_VERSION`; 1 for records without it."""
    baselines: dict[str, Any]
    """Test metrics of what needs no training, such as raw pixels; by name."""
    epochs: int
    """How many epochs are done."""
    steps: int
    seconds: float
    """Time spent, over all sessions of a resumed run."""
    peak_memory_mb: float | None
    versions: dict[str, str]
    git: dict[str, Any] | None
    command: str
    resumed: list[str]
    """The commands that went on with the run, in order."""


def new_record() -> Record:
    """A running record of this process with every other field empty.

    Example:
        >>> new_record()["status"]
        'running'
    """
    pid = os.getpid()
    return Record(
        schema=SCHEMA,
        status="running",
        error=None,
        host=platform.node(),
        pid=pid,
        process_start=process_start(pid),
        heartbeat=time.time(),
        task="",
        data="",
        loss="",
        cell="",
        seed=0,
        choices={},
        hashes={},
        best=None,
        final=None,
        test={},
        metrics_version=METRICS_VERSION,
        baselines={},
        epochs=0,
        steps=0,
        seconds=0.0,
        peak_memory_mb=None,
        versions={},
        git=None,
        command="",
        resumed=[],
    )


def read_record(folder: Path) -> Record:
    """The record in a run's folder.

    Raises:
        FileNotFoundError: if the folder holds none.
        ValueError: if the file is no record, or one that this version cannot read.
    """
    path = RunFolder(folder).record
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:  # not JSON, or not even text
        raise ValueError(f"{path} is no valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(content).__name__}")
    for name, meant in ADDED_FIELDS.items():
        content.setdefault(name, meant)
    missing = sorted(Record.__annotations__.keys() - content.keys())
    if missing:
        raise ValueError(f"{path} lacks the fields {', '.join(missing)}")
    if content["schema"] != SCHEMA:
        raise ValueError(f"{path} must have schema {SCHEMA}, got {content['schema']!r}")
    if content["status"] not in STATUSES:
        expected = ", ".join(STATUSES)
        raise ValueError(f"{path}: status must be one of {expected}, got {content['status']!r}")
    return cast(Record, _decoded(content))


def write_record(folder: Path, record: Record) -> None:
    """Write the record, whole or not at all.

    JSON knows no NaN and no infinity: they are written as the strings ``"NaN"``, ``"Infinity"``
    and ``"-Infinity"``, and :func:`read_record` gives the numbers back.
    """
    text = json.dumps(_encoded(record), indent=2, allow_nan=False, ensure_ascii=False)
    replace_file(RunFolder(folder).record, text.encode() + b"\n")


def is_stale(record: Record) -> bool:
    """Whether the record says that it runs, but nobody runs it any more.

    On this host the process is looked up; on every host an hour without a sign of life counts.
    """
    if record["status"] != "running":
        return False
    if time.time() - record["heartbeat"] > STALE_AFTER:
        return True
    return record["host"] == platform.node() and not _lives(record)


def is_live(record: Record) -> bool:
    """Whether somebody is working on this run now."""
    return record["status"] == "running" and not is_stale(record)


def needs_running(folder: Path) -> bool:
    """Whether a resumed sweep must run this cell: missing, failed, interrupted or stale.

    Raises:
        ValueError: if the record is broken.
    """
    if not RunFolder(folder).record.is_file():
        return True
    record = read_record(folder)
    return record["status"] != "done" and not is_live(record)


def process_start(pid: int) -> str | None:
    """When a living process began, as an opaque text; ``None`` where the system does not say."""
    fields = _process_fields(pid)
    if fields is None:
        return None
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{boot.read_text().strip() if boot.is_file() else ''}/{fields[19]}"


def _process_fields(pid: int) -> list[str] | None:
    """What ``/proc/<pid>/stat`` says after the command's name, from the state on."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:  # no such process, or no /proc on this system
        return None
    return text.rpartition(")")[2].split()


def _lives(record: Record) -> bool:
    if record["process_start"] is not None and Path("/proc/self/stat").is_file():
        fields = _process_fields(record["pid"])
        is_zombie = fields is not None and fields[0] in "ZX"
        return not is_zombie and process_start(record["pid"]) == record["process_start"]
    if os.name == "nt":  # signal 0 is Ctrl-C there: only the heartbeat can tell
        return True
    try:
        os.kill(record["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # there, and somebody else's
        return True
    return True


_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _encoded(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: _encoded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_encoded(entry) for entry in value]
    return value


def _decoded(value: Any) -> Any:
    if isinstance(value, str):
        return _NOT_FINITE.get(value, value)
    if isinstance(value, dict):
        return {key: _decoded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_decoded(entry) for entry in value]
    return value
