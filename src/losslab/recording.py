"""Record of a run: opened before it trains, with the reason if it fails."""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

import losslab.engines  # noqa: F401 (claims of runs name the job of this process)
from losslab.components import Components
from losslab.config import schema, secrets
from losslab.config.errors import UserError, raised_at
from losslab.config.instantiate import build
from losslab.config.interruption import interruption
from losslab.losses.functional import kernels
from losslab.metrics.labels import primary_metric
from losslab.modules.step_values import Diverged
from losslab.runs.claims import TakenOver
from losslab.runs.disk import FULL, disk_error, unwritable
from losslab.runs.environment import versions
from losslab.runs.folder import in_sweep, job_name
from losslab.runs.writer import RunWriter

log = logging.getLogger(__name__)


def make_run_writer(
    config: DictConfig, folder: Path, kind: type[RunWriter] = RunWriter
) -> RunWriter:
    """Create the run writer; it does not write anything yet."""
    return kind(
        folder,
        monitor=f"val/{config.task.monitor}",
        mode=config.task.mode,
        patience=config.callbacks.run_writer.patience,
        min_epochs=config.trainer.get("min_epochs") or 0,
        max_seconds=_seconds(config.trainer.get("max_time")),
        events=config.logger.events,
        choose=config.task.checkpoint,
        ties=config.task.ties,
        charts=("train/loss", f"val/{primary_metric(config.task)}"),
        hparams=None if in_sweep(folder) else schema.hparams(secrets.plain(config, resolve=False)),
    )


def _seconds(max_time: Any) -> float | None:
    """Return a duration as Lightning takes it, such as ``DD:HH:MM:SS``, in seconds.

    Raises:
        UserError: if it is invalid.
    """
    if max_time is None:
        return None
    timer = {"_target_": "pytorch_lightning.callbacks.Timer", "duration": max_time}
    seconds: float = build(timer, "trainer.max_time").time_remaining()
    return seconds


def open_record(
    writer: RunWriter,
    config: DictConfig,
    components: Components,
    last: Path | None,
    *,
    again: bool = False,
) -> None:
    """Create the run's folder and record, or resume them from the last checkpoint.

    Args:
        writer: the run's writer.
        config: the resolved config.
        components: the run's components.
        last: checkpoint to resume from.
        again: whether this command begins a run again that was killed before its first checkpoint.

    Raises:
        UserError: if the run is done, or another process works on it.
    """
    text = secrets.saved_text(config)
    overrides = secrets.plain(config.overrides, resolve=False)
    try:
        writer.folder.mkdir(parents=True, exist_ok=True)
        if last is not None:
            saved = torch.load(last, map_location="cpu", weights_only=True)
            writer.resume(saved["global_step"], text, saved.get("record"))
            return
        writer.start(
            {
                "task": config.choices.task,
                "data": config.choices.data,
                "loss": config.choices.loss,
                "seed": config.seed,
                "tags": list(config.tags),
                "cell": job_name(overrides),
                "choices": OmegaConf.to_container(config.choices),
                "hashes": {
                    "weights": components.weights_hash,
                    "data": components.data.fingerprint(),
                    "batches": components.data.order_fingerprint(),
                },
                "sampling": components.data.sampling,
                "sizes": components.data.sizes(),
                "primary": primary_metric(config.task),
                "rarest": _rarest(components),
                "data_notes": list(getattr(components.data, "notes", ())),
                "loss_notes": components.loss_notes,
                "network_notes": components.network_notes,
                # values of losses that are compiled differ from the others by rounding
                "versions": versions() | {"kernels": kernels.version()},
            },
            config=text,
            again=again,
        )
    except FileExistsError as error:
        raise UserError(str(error)) from error


def _rarest(components: Components) -> str | None:
    """Return the name of the rarest class in training, if the targets are classes."""
    rarest = getattr(components.data, "rarest", None)
    names = getattr(components.data, "class_names", None)
    return None if rarest is None else str(names[rarest] if names else rarest)


@contextmanager
def recorded(*writers: RunWriter) -> Iterator[None]:
    """Record errors of runs that have not ended; only interruptions are raised again.

    If another process took a run over, the others of its stack are interrupted.

    With ``HYDRA_FULL_ERROR``, unexpected errors are raised too.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        for writer in _going_on(writers):
            writer.interrupt()
        raise interruption(error) from None
    except TakenOver as error:
        for writer in _going_on(writers):
            writer.interrupt()
        raise UserError(str(error)) from error
    except Exception as error:
        full = bool(os.environ.get("HYDRA_FULL_ERROR"))
        running, disk = _going_on(writers), disk_error(error)
        if not running:
            if disk is None:
                raise
            raise UserError(unwritable(writers[0].folder, disk)) from error
        for writer in running:
            _record_failure(writer, error)
        if not full and not isinstance(error, Diverged | MemoryError) and disk is None:
            log.exception("the run failed")
        if full and not isinstance(error, Diverged | MemoryError):
            raise


def _going_on(writers: Iterable[RunWriter]) -> list[RunWriter]:
    return [writer for writer in writers if writer.is_going_on]


def _record_failure(writer: RunWriter, error: Exception) -> None:
    disk = disk_error(error)
    if disk is not None:
        _record_lack_of_space(writer, disk)
    elif isinstance(error, Diverged):
        writer.fail("diverged", str(error), error.step)
    elif isinstance(error, MemoryError):
        writer.fail("memory", str(error) or "out of memory")
    else:
        place = raised_at(error)
        writer.fail(_kind(error), _one_line(error) + (f" ({place})" if place else ""))


def _record_lack_of_space(writer: RunWriter, error: OSError) -> None:
    message = unwritable(writer.folder, error)
    try:
        writer.fail("space", f"no space: {message}" if error.errno in FULL else message)
    except OSError:
        raise UserError(message) from error


def _kind(error: Exception) -> str:
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return "memory"
    # the error of a spawned rank arrives as text
    return "diverged" if "Diverged" in str(error) else "exception"


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
