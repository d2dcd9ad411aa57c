"""The base class of every LightningModule here."""

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn
from torch.optim.lr_scheduler import ReduceLROnPlateau


class Module(pl.LightningModule):
    """LightningModule that keeps its metrics in float64 and sets plain attributes fast."""

    metrics: dict[str, dict[str, float]]
    """By split, what was evaluated last: what a record holds."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics = {}

    def report(self, split: str, values: Mapping[str, Any]) -> None:
        """Keep the metrics of a split, and hand them to Lightning for whoever else reads them.

        Lightning's own copy, which schedulers and loggers see, is rounded to float32.

        Args:
            split: ``val`` or ``test``.
            values: numbers by name, without the split; a split reported twice keeps both.
        """
        numbers = {name: float(value) for name, value in values.items()}
        self.metrics[split] = self.metrics.get(split, {}) | numbers
        self.log_dict({f"{split}/{name}": value for name, value in numbers.items()})

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; plain ones skip the search for parameters.

        Lightning notes the name of each hook on the module, some forty times a step, and a module's
        own ``__setattr__`` takes a tenth of a small network's step for it.
        """
        if value is None or type(value) in (str, bool, int):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    _scheduler: Callable[..., Any] | None = None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the scheduler as the config says it now."""
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.reschedule(checkpoint)

    def reschedule(self, checkpoint: dict[str, Any]) -> None:
        """Give a checkpoint the learning rates that the module's own scheduler has at its epoch.

        A checkpoint holds the scheduler's options. Where they differ from the module's, as after
        ``trainer.max_epochs`` has changed, the scheduler is stepped from its start again.

        Raises:
            ValueError: if the scheduler follows a metric, whose past values are not kept.
        """
        saved = checkpoint.get("lr_schedulers")
        options = self._scheduler.keywords if isinstance(self._scheduler, partial) else {}
        changed = [
            name for name, value in options.items() if saved and saved[0].get(name, value) != value
        ]
        if not saved or not changed:
            return
        made: Any = self.configure_optimizers()
        optimizer, scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]
        if isinstance(scheduler, ReduceLROnPlateau):
            raise ValueError(f"scheduler.{changed[0]} cannot change: what it has seen is not kept")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # there are no optimizer steps between these
            for _ in range(saved[0]["last_epoch"]):
                scheduler.step()
        saved[0] = scheduler.state_dict()
        now = optimizer.state_dict()["param_groups"]
        for state in checkpoint["optimizer_states"]:
            state["param_groups"] = now
