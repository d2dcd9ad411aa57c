"""Check that the files of a run are whole, so that a damaged one is neither used nor kept."""

from pathlib import Path

from losslab.runs.claims import Holder, holder, latest_claim
from losslab.runs.config_file import read_config
from losslab.runs.curves import Curves, read_columns
from losslab.runs.files import FileError, LaterVersionError, require_zip
from losslab.runs.folder import RunFolder
from losslab.runs.packs import is_packed
from losslab.runs.record import Record, is_stale, read_record, write_record
from losslab.runs.saved_units import unit_claims


def needs_running(folder: Path) -> bool:
    """Return whether a resumed sweep must run this job: missing, unfinished, stale or damaged.

    Raises:
        LaterVersionError: if a later version of losslab made the run.
    """
    record = _whole_record(folder)
    if record is None:
        return holder(folder) is None and unit_worker(folder) is None
    return not (_is_whole(folder, record) or is_live(folder, record))


def is_live(folder: Path, record: Record) -> bool:
    """Return whether a process works on the run."""
    return worker_of(folder, record) is not None


def worker_of(folder: Path, record: Record) -> str | None:
    """Return which process works on a run, such as ``process 12 on node3``; ``None`` if none does.

    Whoever works on a unit works on its runs. Runs of earlier versions have no claim: their records
    tell.
    """
    if record["status"] == "done":
        return None
    if record["status"] == "running" and not is_packed(folder):
        latest = latest_claim(folder)
        if latest is None and not is_stale(record):
            return f"process {record['pid']} on {record['host']}"
        if latest is not None and latest.is_live():
            return latest.where
    other = unit_worker(folder)
    return None if other is None else other.where


def unit_worker(folder: Path) -> Holder | None:
    """Return the claim of the unit of a run by another process; ``None`` if none works on it."""
    claims = unit_claims(folder)
    held = None if claims is None else holder(claims)
    return None if held is None or held.is_own else held


def interrupt_dead(folder: Path) -> None:
    """Record that a run is interrupted if it is running according to a process that is gone."""
    record = _whole_record(folder)  # a damaged record is told when it is read
    running = record is not None and record["status"] == "running" and not is_packed(folder)
    if record is not None and running and not is_live(folder, record):
        record["status"] = "interrupted"
        write_record(folder, record)


def is_finished(folder: Path) -> bool:
    """Return whether a run is done and its files are whole.

    Raises:
        LaterVersionError: if a later version of losslab made the run.
    """
    record = _whole_record(folder)
    return record is not None and _is_whole(folder, record)


def has_failed(folder: Path) -> bool:
    """Return whether a run has failed, so that it would probably fail again."""
    record = _whole_record(folder)
    return record is not None and record["status"] == "failed"


def is_untried(folder: Path) -> bool:
    """Return whether a run must be trained, nobody works on it, and it has not failed."""
    return needs_running(folder) and not has_failed(folder)


def has_ended(folder: Path) -> bool:
    """Return whether a run is done or has failed: nobody has to train it, unless asked to."""
    return is_finished(folder) or has_failed(folder)


def _whole_record(folder: Path) -> Record | None:
    try:
        return read_record(folder)
    except LaterVersionError:
        raise
    except (FileNotFoundError, FileError):
        return None


def _is_whole(folder: Path, record: Record) -> bool:
    return record["status"] == "done" and damage(folder, record) is None


def damage(folder: Path, record: Record) -> FileError | None:
    """Return what is wrong with the first damaged file of a run; ``None`` if it is whole.

    A run may lack curves, scores and checkpoints, which somebody may have removed to save space. A
    packed run was whole when it was packed.

    Args:
        folder: the run's folder.
        record: its record, which is whole.
    """
    files = RunFolder(folder)
    if is_packed(folder):
        return None
    try:
        read_config(folder)
        if files.metrics.exists():
            require_curves(folder, record, read_columns(folder))
        for path in (files.scores, files.best, files.last):
            require_zip(path)
    except FileNotFoundError as error:
        return FileError(Path(error.filename), "is missing")
    except FileError as error:
        return error
    return None


def never_recorded(folder: Path) -> bool:
    """Return whether a run was killed after writing its config and before its record."""
    files = RunFolder(folder)
    return files.config.is_file() and not (files.record.exists() or files.last.exists())


def require_curves(folder: Path, record: Record, curves: Curves) -> None:
    """Check that the curves of a run that has ended are as long as its record says.

    Raises:
        FileError: if they end before, because the file was truncated.
    """
    if record["status"] == "running":  # the record may be ahead of the curves
        return
    _require_epoch(folder, record, curves)
    tested = {f"test/{name}" for name in record["test"]}
    if missing := tested - set(curves.name[len(curves.name) - len(tested) :]):
        raise _incomplete(folder, f"it lacks {min(missing)}")


def require_curves_until(folder: Path, step: int) -> None:
    """Check that the curves of a run that resumes at a step reach it.

    Raises:
        FileError: if they are missing, damaged or end before.
    """
    try:
        curves = read_columns(folder)
    except FileNotFoundError as error:
        raise FileError(RunFolder(folder).metrics, "is missing") from error
    _require_step(folder, curves, step)
    record = read_record(folder)
    if record["steps"] == step:
        _require_epoch(folder, record, curves)


def _require_epoch(folder: Path, record: Record, curves: Curves) -> None:
    """Check that the curves reach the last epoch of the record, with all of its metrics."""
    _require_step(folder, curves, record["steps"])
    if record["final"] is not None:
        last = set(curves.name[curves.step == record["steps"]])
        if missing := {f"val/{name}" for name in record["final"]["metrics"]} - last:
            raise _incomplete(folder, f"it lacks {min(missing)} at step {record['steps']}")


def _require_step(folder: Path, curves: Curves, step: int) -> None:
    last = int(curves.step.max(initial=0))
    if last < step:
        raise _incomplete(folder, f"it ends at step {last} of {step}")


def _incomplete(folder: Path, how: str) -> FileError:
    return FileError(RunFolder(folder).metrics, f"is incomplete: {how}")
