"""Record of a run, ``record.json``, written atomically."""

import json
import math
import os
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from losslab.runs.disk import FULL, overwrite
from losslab.runs.files import FileError, read_json, require_types, require_version
from losslab.runs.folder import RunFolder, replace_file
from losslab.runs.process import is_running, process_start

SCHEMA = 1
"""Version of the schema; increased if a field changes its meaning, not if one is added."""

METRICS_VERSION = 4
"""Version of the metrics' definitions, increased if one changes: tables note mixed versions.

Since 2, AUROC is that of log-odds or margins, which do not round to equal values; a confidence of 1
counts in the last bin of the calibration error; and metrics of standardized targets are in the unit
of the target.

Since 3, Dice, IoU, precision and recall of masks leave out classes that neither an image nor its
prediction has (``task.definition.absent``); Recall@1 and MAP@R average over equally near
neighbours; average precision of the rarest class is that of log-odds; the calibration error is of
the class with the largest logit; metrics of what a split lacks are missing, not 0 or 1; and
probabilities are those of the loss's own inverse link.

Since 4, the latter holds for focal loss and for label smoothing, too, of which runs with 3 took the
logits for probabilities.
"""

ADDED_FIELDS: dict[str, Any] = {
    "metrics_version": 1,
    "resumed": [],
    "urls": {},
    "tags": [],
    "sampling": None,
    "sizes": {},
    "data_notes": [],
    "loss_notes": {},
    "network_notes": [],
    "cost": {},
    "improved": None,
    "stopped": None,
    "primary": None,
    "rarest": None,
}
"""Fields that records of earlier versions lack, with what their absence means."""

EPOCH_FIELDS = ("best", "improved", "final", "epochs", "steps")
"""Fields that belong to the last finished epoch."""

STALE_AFTER = 3600.0
"""Seconds without a heartbeat after which a running record counts as abandoned."""

Status = Literal["running", "done", "failed", "interrupted"]


class RunError(TypedDict):
    """Reason why a run failed."""

    kind: str
    """``diverged`` (a NaN or infinite loss), ``memory``, ``space`` (a disk that
    is full or cannot be written), ``exception``, ``input``."""
    message: str
    step: int | None


class EpochMetrics(TypedDict):
    """Epoch, counted from 0, with its validation metrics."""

    epoch: int
    metrics: dict[str, float]


class Record(TypedDict):
    """Record of a run. Metric names come without the split: ``accuracy``, ``ref/mse``."""

    schema: int
    status: Status
    error: RunError | None
    host: str
    pid: int
    process_start: str | None
    """Start of the process with that pid, if the system tells it, since pids are reused."""
    heartbeat: float
    """Last heartbeat, in seconds since 1970."""
    task: str
    data: str
    loss: str
    cell: str
    """Loss and its options, as :func:`losslab.runs.folder.job_name` writes them."""
    seed: int
    urls: dict[str, str]
    """Where the services of the run's loggers show it, by logger."""
    tags: list[str]
    """Words to find the run by."""
    choices: dict[str, Any]
    """Chosen option of each config group."""
    hashes: dict[str, str]
    """Hashes of the initial ``weights``, the ``data`` and the order of the ``batches``."""
    sampling: str | None
    """What differs between seeds: ``fresh`` samples, the ``redrawn`` splits of the same samples, or
    training alone (``fixed_test``); ``None`` for records without it."""
    sizes: dict[str, int]
    """Number of samples per split."""
    primary: str | None
    """Metric by which the losses of the task are compared; ``None`` for records without it."""
    rarest: str | None
    """Name of the class with the fewest training samples, to which ``rare_recall`` and other
    metrics of the rarest class belong; ``None`` for other targets and for records without it."""
    data_notes: list[str]
    """What reading the data changed or left out, one line each."""
    loss_notes: dict[str, Any]
    """What the loss ``estimates``, and ``warnings``, found by :mod:`losslab.passport`."""
    network_notes: list[str]
    """Which weights the network began with, if not its own, and what of it is trained."""
    best: EpochMetrics | None
    """Epoch whose checkpoint counts."""
    improved: int | None
    """Last epoch that was better than those before it, while :attr:`best` may equal it; ``None``
    for records without it, in which the two are the same."""
    final: EpochMetrics | None
    """Last finished epoch."""
    test: dict[str, float]
    """Test metrics; empty until the run is done, and with ``test=false``."""
    metrics_version: int
    """Version of the metrics, see :data:`METRICS_VERSION`; 1 for records without it."""
    baselines: dict[str, Any]
    """Test metrics of baselines that need no training, such as raw pixels, by name."""
    epochs: int
    """Number of finished epochs, the last of which was validated."""
    stopped: str | None
    """What ended the training before ``trainer.max_epochs``: ``patience``, ``max_time``, or another
    ``callback``; ``None`` if nothing did, and for records without it."""
    steps: int
    seconds: float
    """Time spent over all sessions of a resumed run."""
    peak_memory_mb: float | None
    """Peak memory of the process in MiB, with that of earlier runs in it."""
    cost: dict[str, float]
    """What was measured of ``loss_ms``, ``loss_mb``, ``step_ms`` and ``run_mb``; see
    :mod:`losslab.modules.cost`."""
    versions: dict[str, str]
    git: dict[str, Any] | None
    command: str
    resumed: list[str]
    """The commands that went on with the run, in order."""


def new_record() -> Record:
    """Create a running record of this process with all other fields empty.

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
        urls={},
        tags=[],
        choices={},
        hashes={},
        sampling=None,
        sizes={},
        primary=None,
        rarest=None,
        data_notes=[],
        loss_notes={},
        network_notes=[],
        best=None,
        improved=None,
        final=None,
        test={},
        metrics_version=METRICS_VERSION,
        baselines={},
        epochs=0,
        stopped=None,
        steps=0,
        seconds=0.0,
        peak_memory_mb=None,
        cost={},
        versions={},
        git=None,
        command="",
        resumed=[],
    )


def read_record(folder: Path) -> Record:
    """Read the record in a run's folder.

    Raises:
        FileNotFoundError: if the folder has no record.
        FileError: if the file is not a whole record, or this version cannot read it.
    """
    path = RunFolder(folder).record
    content: dict[str, Any] = _decoded(read_json(path))
    for name, meant in ADDED_FIELDS.items():
        content.setdefault(name, meant)
    require_version(content, "schema", SCHEMA, path)
    require_types(content, Record, path)
    if content["schema"] != SCHEMA:
        raise FileError(path, f"must have schema {SCHEMA}, got {content['schema']!r}")
    for name in ("heartbeat", "seconds", "epochs", "steps"):
        if not 0 <= content[name] < math.inf:
            raise FileError(path, f"has a wrong {name}: {content[name]}")
    return cast(Record, content)


def write_record(folder: Path, record: Record) -> None:
    """Write the record atomically; if the disk has no space for a second file, in place.

    JSON has no NaN or infinity: they are written as the strings ``"NaN"``, ``"Infinity"`` and
    ``"-Infinity"``, which :func:`read_record` converts back.
    """
    path, content = RunFolder(folder).record, _text(record)
    try:
        replace_file(path, content)
    except OSError as error:
        if error.errno not in FULL or not path.exists():
            raise
        overwrite(path, content)


def _text(record: Record) -> bytes:
    text = json.dumps(_encoded(record), indent=2, allow_nan=False, ensure_ascii=False)
    return text.encode() + b"\n"


def is_stale(record: Record) -> bool:
    """Return whether a record without a claim says "running" although its process is gone.

    On this host the process is looked up; on any host an hour without a heartbeat counts.
    """
    if record["status"] != "running":
        return False
    if time.time() - record["heartbeat"] > STALE_AFTER:
        return True
    here = record["host"] == platform.node()
    return here and not is_running(record["pid"], record["process_start"])


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
    """Decode numbers that are not finite; texts of many records are the same objects."""
    if isinstance(value, str):
        return _NOT_FINITE.get(value) or sys.intern(value)
    if isinstance(value, dict):
        return {sys.intern(key): _decoded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_decoded(entry) for entry in value]
    return value
