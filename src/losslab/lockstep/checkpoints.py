"""The checkpoint of a run that no Trainer ran, in the form in which a Trainer goes on from it."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from losslab.runs.keeper import versions


def checkpoint(
    epoch: int,
    batches: int,
    val_batches: int,
    *,
    weights: Mapping[str, Tensor],
    optimizer: Mapping[str, Any],
    scheduler: Mapping[str, Any] | None,
    plateau: bool,
) -> dict[str, Any]:
    """What Lightning saves at the end of a training epoch.

    Args:
        epoch: counted from 0.
        batches: steps in an epoch.
        val_batches: batches of the validation split.
        weights: the module's ``state_dict``.
        optimizer: the optimizer's.
        scheduler: the scheduler's, where there is one.
        plateau: whether the scheduler reads a metric.
    """
    steps = batches * (epoch + 1)
    # one that reads a metric steps after the checkpoint is saved
    now = 0 if scheduler is None or plateau else 1
    scheduled = 0 if scheduler is None else epoch + now
    return {
        "epoch": epoch,
        "global_step": steps,
        "pytorch-lightning_version": versions()["pytorch-lightning"],
        "state_dict": dict(weights),
        "loops": {
            "fit_loop": _fit_loop(epoch, batches, val_batches, steps, (scheduled, now)),
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


def _fit_loop(
    epoch: int, batches: int, val_batches: int, steps: int, scheduled: tuple[int, int]
) -> dict[str, Any]:
    # the epoch that ends is complete only after the callbacks that save it
    epochs = _batches(epoch + 1) | {"completed": epoch}
    return {
        "state_dict": {},
        "epoch_loop.state_dict": {"_batches_that_stepped": steps},
        "epoch_loop.batch_progress": _progress(steps, batches),
        "epoch_loop.scheduler_progress": {
            "total": _ready(scheduled[0]),
            "current": _ready(scheduled[1]),
        },
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {
                "step": {"total": _ready(steps), "current": _ready(batches)},
                "zero_grad": {
                    "total": _ready(steps) | {"started": steps},
                    "current": _ready(batches) | {"started": batches},
                },
            }
        },
        "epoch_loop.manual_optimization.state_dict": {},
        "epoch_loop.manual_optimization.optim_step_progress": {
            "total": _ready(0),
            "current": _ready(0),
        },
        "epoch_loop.val_loop.state_dict": {},
        "epoch_loop.val_loop.batch_progress": _progress(val_batches, val_batches),
        "epoch_progress": {"total": epochs, "current": dict(epochs)},
    }


def _idle_loop() -> dict[str, Any]:
    return {"state_dict": {}, "batch_progress": _progress(0, 0) | {"is_last_batch": False}}


def _progress(total: int, current: int) -> dict[str, Any]:
    return {"total": _batches(total), "current": _batches(current), "is_last_batch": True}


def _ready(count: int) -> dict[str, int]:
    return {"ready": count, "completed": count}


def _batches(count: int) -> dict[str, int]:
    return _ready(count) | {"started": count, "processed": count}
