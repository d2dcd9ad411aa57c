"""Checkpoints of stacked runs, in the format from which a Trainer resumes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from losslab.runs.environment import versions


def checkpoint(
    epoch: int,
    batches: int,
    val_batches: int,
    *,
    weights: Mapping[str, Tensor],
    optimizer: Mapping[str, Any],
    scheduler: Mapping[str, Any] | None,
    updates: int | None = None,
) -> dict[str, Any]:
    """Build the checkpoint that Lightning saves at the end of a training epoch.

    Args:
        epoch: epoch, counted from 0.
        batches: number of steps per epoch.
        val_batches: number of batches of the validation split.
        weights: ``state_dict`` of the module.
        optimizer: ``state_dict`` of the optimizer.
        scheduler: ``state_dict`` of the scheduler, if there is one.
        updates: number of optimizer steps, for a module with its own training step; ``None`` if
            each batch is a step.
    """
    steps = batches * (epoch + 1)
    scheduled = (0, 0) if scheduler is None else (epoch + 1, 1)
    counted = _Counted((steps, batches), (0, 0), scheduled)
    if updates is not None:
        counted = _Counted((0, 0), (updates, updates), (0, 0))
    return {
        "epoch": epoch,
        "global_step": steps if updates is None else updates,
        "pytorch-lightning_version": versions()["pytorch-lightning"],
        "state_dict": dict(weights),
        "loops": {
            "fit_loop": _fit_loop(epoch, batches, val_batches, counted),
            "validate_loop": _idle_loop(),
            "test_loop": _idle_loop(),
            "predict_loop": {
                "state_dict": {},
                "batch_progress": {"total": _batches(0), "current": _batches(0)},
            },
        },
        "callbacks": {},
        "optimizer_states": [dict(optimizer)],
        "lr_schedulers": [] if scheduler is None else [dict(scheduler)],
    }


class _Counted(NamedTuple):
    """Counters of Lightning's optimization loops: in total and in the current loop."""

    automatic: tuple[int, int]
    manual: tuple[int, int]
    scheduled: tuple[int, int]


def _fit_loop(epoch: int, batches: int, val_batches: int, counted: _Counted) -> dict[str, Any]:
    steps = batches * (epoch + 1)
    # the epoch is complete only after the callbacks that save it
    epochs = _batches(epoch + 1) | {"completed": epoch}
    return {
        "state_dict": {},
        "epoch_loop.state_dict": {"_batches_that_stepped": steps},
        "epoch_loop.batch_progress": _progress(steps, batches),
        "epoch_loop.scheduler_progress": _both(counted.scheduled),
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {
                "step": _both(counted.automatic),
                "zero_grad": {
                    name: _ready(count) | {"started": count}
                    for name, count in zip(("total", "current"), counted.automatic, strict=True)
                },
            }
        },
        "epoch_loop.manual_optimization.state_dict": {},
        "epoch_loop.manual_optimization.optim_step_progress": _both(counted.manual),
        "epoch_loop.val_loop.state_dict": {},
        "epoch_loop.val_loop.batch_progress": _progress(val_batches, val_batches),
        "epoch_progress": {"total": epochs, "current": dict(epochs)},
    }


def _idle_loop() -> dict[str, Any]:
    return {"state_dict": {}, "batch_progress": _progress(0, 0) | {"is_last_batch": False}}


def _progress(total: int, current: int) -> dict[str, Any]:
    return {"total": _batches(total), "current": _batches(current), "is_last_batch": True}


def _both(counts: tuple[int, int]) -> dict[str, Any]:
    return {"total": _ready(counts[0]), "current": _ready(counts[1])}


def _ready(count: int) -> dict[str, int]:
    return {"ready": count, "completed": count}


def _batches(count: int) -> dict[str, int]:
    return _ready(count) | {"started": count, "processed": count}
